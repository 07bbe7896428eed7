// SPDX-License-Identifier: Apache-2.0

package test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"syscall"
	"testing"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/test/harness"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"
)

// datagramWalks are a masqueraded, a published, a local and a hairpin walk to
// UDP echo servers. Sandboxes c1 (published), c2 and c3 are running.
func datagramWalks(t *testing.T, e *harness.Env) func(t *testing.T, f harness.Family) map[string]walk {
	t.Helper()
	e.Network(t, "a", numA)
	e.Network(t, "b", numB)
	c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
	c2 := e.Sandbox(t, "c2", "--network", "a")
	c3 := e.Sandbox(t, "c3", "--network", "b")
	serve(t, c1.Netns, 80, "c1")
	serve(t, e.WAN, 80, "wan")
	return func(t *testing.T, f harness.Family) map[string]walk {
		return map[string]walk{
			"within the network": {c2.Netns, at(c1.IP(t, "a", f), 80)},
			"masqueraded":        {c1.Netns, at(f.WAN, 80)},
			"published":          {e.WAN, at(f.Host, 8080)},
			"hairpin":            {c3.Netns, at(f.Host, 8080)},
			"from the host":      {e.Host, at(f.Host, 8080)},
		}
	}
}

type walk struct {
	from *harness.Netns
	dst  string
}

// FRG-01: datagrams that need fragments arrive whole, both ways.
func TestFragments(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		walks := datagramWalks(t, e)
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			for name, w := range walks(t, f) {
				exchange(t, name, w, 4000)
			}
		})
	})
}

// FRG-05: the pieces of a datagram arrive whatever their order (RFC 4787, REQ-14): from
// outside, from a container outwards and to a published port, and answers to a container.
func TestReversedFragments(t *testing.T) { reversedFragments(t) }

// The same where netfilter judges the pieces.
func TestReversedFragmentsPastNetfilter(t *testing.T) {
	reversedFragments(t, harness.FirstPacket())
}

func reversedFragments(t *testing.T, opts ...harness.Option) {
	t.Helper()
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Network(t, "b", numB)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80/udp")
		c3 := e.Sandbox(t, "c3", "--network", "b")
		serve(t, c1.Netns, 80, "c1")
		serve(t, e.WAN, 80, "wan")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			lan1 := harness.Ethernet(harness.HardwareAddr(t, e.LAN1, "eth0"), harness.HardwareAddr(t, e.Host, "eth0"), f)
			reversals(t, "published", e.LAN1, lan1, f.LAN1, f.Host, 8080)
			reversals(t, "masqueraded", c1.Netns, harness.Ethernet(c1.MAC(t, "a"), bridgeMAC(t, e, c1, f), f), c1.IP(t, "a", f), f.WAN, 80)
			reversals(t, "hairpin", c3.Netns, harness.Ethernet(c3.MAC(t, "b"), harness.HardwareAddr(t, e.Host, bridgeOf(t, e, "b")), f), c3.IP(t, "b", f), f.Host, 8080)
		})
	}, opts...)
}

// reversals sends datagrams in pieces, in several orders, from a device eth0 to an echo
// server at a port.
func reversals(t *testing.T, what string, n *harness.Netns, eth *layers.Ethernet, src, dst string, port uint16) {
	t.Helper()
	const size = 1200
	answers := harness.Sniff(t, n, "eth0", nil)
	for i, order := range [][]int{{2, 1, 0}, {1, 0, 2}, {2, 0, 1}, {1, 2, 1, 0}, {0, 2, 1}} {
		name := fmt.Sprintf("%s-%d", what, i)
		pieces := frame.Between(model.MAC(eth.SrcMAC), model.MAC(eth.DstMAC)).IP(netip.MustParseAddr(src), netip.MustParseAddr(dst)).
			ID(uint16(0x5000+i)).UDP(uint16(42000+i), port).Content(append([]byte(" "+name+" "), make([]byte, 3000)...)...).Fragments(size)
		var frames [][]byte
		for _, at := range order {
			frames = append(frames, pieces[at])
		}
		harness.Inject(t, n, "eth0", frames...)
		answers.Wait(t, "answer to "+name, harness.Contains(" "+name+" "))
	}
}

// FRG-05: the same of what real sockets send, to a published port and back to a container.
func TestReversedDatagrams(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80/udp")
		serve(t, c1.Netns, 80, "c1")
		serve(t, e.LAN1, 80, "lan1")
		e.ReverseLAN1(t)
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			for _, size := range []int{64, 4000, 60000} {
				exchange(t, "published", walk{e.LAN1, at(f.Host, 8080)}, size)
				exchange(t, "answered", walk{c1.Netns, at(f.LAN1, 80)}, size)
			}
		})
	}, harness.Own())
}

// CAP-04: pieces of datagrams that never become whole, far more than there is room for,
// keep no other datagram from a container, in order or not; nor do a container's own.
func TestIncompleteDatagrams(t *testing.T) {
	const incomplete = 100_000
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80/udp")
		c2 := e.Sandbox(t, "c2", "--network", "a")
		serve(t, c1.Netns, 80, "c1")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			lan1 := harness.Ethernet(harness.HardwareAddr(t, e.LAN1, "eth0"), harness.HardwareAddr(t, e.Host, "eth0"), f)
			lan2 := harness.Ethernet(harness.HardwareAddr(t, e.LAN2, "eth0"), harness.HardwareAddr(t, e.Host, "eth0"), f)
			spray(t, e.LAN2, lan2, f.LAN2, f.Host, incomplete)
			spray(t, c2.Netns, harness.Ethernet(c2.MAC(t, "a"), bridgeMAC(t, e, c2, f), f), c2.IP(t, "a", f), f.WAN, incomplete)
			c, err := harness.DialUDP(e.LAN1, at(f.Host, 8080))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if e.Protects("CAP-04") {
				if _, err := c.Exchange(4000, harness.Patience); err != nil {
					t.Errorf("datagram in pieces: %v", err)
				}
				reversals(t, "published", e.LAN1, lan1, f.LAN1, f.Host, 8080)
				return
			}
			if _, err := c.Exchange(4000, harness.Silence); err == nil {
				t.Error("a datagram in pieces is answered")
			}
		})
	}, harness.Own())
}

// spray sends the last pieces of many datagrams from a device eth0.
func spray(t *testing.T, n *harness.Netns, eth *layers.Ethernet, src, dst string, count int) {
	t.Helper()
	datagram := frame.Between(model.MAC(eth.SrcMAC), model.MAC(eth.DstMAC)).IP(netip.MustParseAddr(src), netip.MustParseAddr(dst)).UDP(43000, 8080).Payload(600)
	piece, id := datagram.Fragments(400)[1], uint32(0)
	taken := harness.Spray(t, n, "eth0", count, func() []byte {
		id++
		frame.Renumber(piece, id)
		return piece
	})
	if taken < count/2 {
		t.Errorf("%d of %d pieces were sent", taken, count)
	}
}

func exchange(t *testing.T, name string, w walk, size int, opts ...harness.DialOption) {
	t.Helper()
	c, err := harness.DialUDP(w.from, w.dst, opts...)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	defer c.Close()
	if _, err := c.Exchange(size, harness.Patience/4); err != nil {
		t.Errorf("%s, %d bytes: %v", name, size, err)
	}
}

// Fragments that overlap make no datagram (RFC 5722; Linux holds IPv4 to it, too), neither in
// the host nor where they go. A piece that comes twice is no overlap, and of two first ones
// the first counts: the ports of the other lead nowhere.
func TestOverlappingFragments(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80/udp", "-p", "8081:81/udp")
		serve(t, c1.Netns, 80, "c1")
		serve(t, c1.Netns, 81, "other")
		serve(t, e.WAN, 80, "wan")
		serve(t, e.WAN, 81, "other")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			overlaps(t, e.LAN1, harness.Ethernet(harness.HardwareAddr(t, e.LAN1, "eth0"), harness.HardwareAddr(t, e.Host, "eth0"), f), f.LAN1, f.Host, 8080)
			overlaps(t, c1.Netns, harness.Ethernet(c1.MAC(t, "a"), bridgeMAC(t, e, c1, f), f), c1.IP(t, "a", f), f.WAN, 80)
		})
	})
}

// overlaps sends datagrams in pieces from a device eth0 to an echo server at a port, beside
// which there is another one.
func overlaps(t *testing.T, n *harness.Netns, eth *layers.Ethernet, src, dst string, port uint16) {
	t.Helper()
	const size = 1200
	answers := harness.Sniff(t, n, "eth0", nil)
	serial := uint16(0)
	cut := func(name string, port uint16) [][]byte {
		return frame.Between(model.MAC(eth.SrcMAC), model.MAC(eth.DstMAC)).IP(netip.MustParseAddr(src), netip.MustParseAddr(dst)).
			ID(0x4000+serial).UDP(41000+serial, port).Content(append([]byte(" "+name+" "), make([]byte, 2000)...)...).Fragments(size)
	}
	arrives := func(name string) harness.Match { return harness.Contains(" " + name + " ") }
	for name, pieces := range map[string]func() [][]byte{
		"closer":   func() [][]byte { p := cut("closer", port); return [][]byte{p[0], closer(p[1])} },
		"reversed": func() [][]byte { p := cut("reversed", port); return [][]byte{p[0], closer(p[1]), p[1]} },
		"otherports": func() [][]byte {
			p := cut("otherports", port)
			return [][]byte{p[0], closer(p[1]), cut("otherports", port+1)[0]}
		},
	} {
		serial++
		harness.Inject(t, n, "eth0", pieces()...)
		defer func() {
			if found := answers.Seen(arrives(name)); len(found) > 0 {
				t.Errorf("%s → %s: %s is answered:\n%s", src, dst, name, found[0])
			}
		}()
	}
	for name, pieces := range map[string]func() [][]byte{
		"whole": func() [][]byte { return cut("whole", port) },
		"twice": func() [][]byte { p := cut("twice", port); return [][]byte{p[0], p[0], p[1]} },
		"first": func() [][]byte { p := cut("first", port); return [][]byte{p[0], cut("first", port+1)[0], p[1]} },
	} {
		serial++
		harness.Inject(t, n, "eth0", pieces()...)
		p := answers.Wait(t, "answer to "+name, arrives(name))
		if harness.Contains("other ")(p) {
			t.Errorf("%s → %s: %s reached another port:\n%s", src, dst, name, p)
		}
	}
}

// closer lets a fragment begin eight bytes before the end of the one in front of it.
func closer(piece []byte) []byte {
	at := 14 + 6
	if piece[14]>>4 == 6 {
		at = 14 + 40 + 2
	}
	word := binary.BigEndian.Uint16(piece[at:])
	if at == 14+6 {
		word--
	} else {
		word -= 8
	}
	binary.BigEndian.PutUint16(piece[at:], word)
	frame.Fix(piece)
	return piece
}

// FRG-04: IP options and extension headers don't stop a packet.
func TestOptionsAndExtensionHeaders(t *testing.T) {
	// No-operations up to the end of the list; padding of four bytes.
	options4 := "\x01\x01\x01\x00"
	header6 := "\x00\x00\x01\x04\x00\x00\x00\x00"
	cases := map[int]map[string]harness.DialOption{
		4: {"options": harness.Socket(func(fd int) error {
			return syscall.SetsockoptString(fd, unix.IPPROTO_IP, unix.IP_OPTIONS, options4)
		})},
		6: {
			"hop-by-hop header": harness.Socket(func(fd int) error {
				return syscall.SetsockoptString(fd, unix.IPPROTO_IPV6, unix.IPV6_HOPOPTS, header6)
			}),
			"destination options": harness.Socket(func(fd int) error {
				return syscall.SetsockoptString(fd, unix.IPPROTO_IPV6, unix.IPV6_DSTOPTS, header6)
			}),
		},
	}
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		walks := datagramWalks(t, e)
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			for name, w := range walks(t, f) {
				for what, option := range cases[f.V] {
					exchange(t, name+" with "+what, w, 64, option)
				}
			}
		})
	})
}

// CSM-01: a datagram without a checksum stays one, and its translation is right.
func TestZeroUDPChecksum(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		walks := datagramWalks(t, e)
		noChecksum := harness.Socket(func(fd int) error {
			return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1)
		})
		f := harness.V4()
		outside := harness.Sniff(t, e.WAN, "eth0", nil)
		for name, w := range walks(t, f) {
			exchange(t, name+" without checksum", w, 64, noChecksum)
		}
		p := outside.Wait(t, "datagram without a checksum", harness.All(harness.SrcIP(f.Host), harness.UDPPorts(0, 80)))
		if sum := p.Layer(layers.LayerTypeUDP).(*layers.UDP).Checksum; sum != 0 {
			t.Errorf("the checksum became %#x", sum)
		}
	})
}

// CSM-01: the checksum of a tunnel in UDP stays right where a device is to finish only that of
// what it carries (local checksum offload).
func TestTunnelChecksum(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		if e.Mode == harness.EBPF && loader.HaveKernCtx() != nil {
			t.Skip("before Linux 6.2 no program can tell")
		}
		_, c2 := pair(t, e)
		e.Host.Feature(t, "eth0", "tx", "off") // so that the kernel finishes them
		out := harness.Sniff(t, e.LAN1, "eth0", nil)
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			const text, field = "what a tunnel carries!", 2
			inside := 14 + 20 + 8
			if f.Is6() {
				inside += 20
			}
			// Finished, all of the inside adds up to the opposite of what the field held before.
			finished := []byte(checksummed("\x00\x00\x00\x00" + text))
			packet := harness.UDPFrame(t, f, harness.Ethernet(c2.MAC(t, "a"), bridgeMAC(t, e, c2, f), f),
				c2.IP(t, "a", f), f.LAN1, 5000, 9999, string(finished))
			copy(packet[inside+field:], "\x00\x00")
			harness.InjectUnfinished(t, c2.Netns, "eth0", packet, uint16(inside), field)
			p := out.Wait(t, "tunnel's datagram", harness.All(harness.SrcIP(f.Host), harness.Contains(text)))
			err := frame.Check(p.Data())
			e.Expect(t, "CSM-01", fmt.Sprintf("a tunnel's checksum is damaged: %v", err), err == nil)
		})
	}, harness.Own())
}

// CSM-01: a transfer's content is right with segmentation and checksum offloads
// and without, over every walk.
func TestBulkTransfer(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		walks := datagramWalks(t, e)
		sandboxes := []*harness.Sandbox{e.Open(t, "c1"), e.Open(t, "c2"), e.Open(t, "c3")}
		e.EachOffload(t, sandboxes, func(t *testing.T) {
			e.EachFamily(t, func(t *testing.T, f harness.Family) {
				for name, w := range walks(t, f) {
					c, err := harness.DialTCP(w.from, w.dst)
					if err != nil {
						t.Errorf("%s: %v", name, err)
						continue
					}
					if err := c.Bulk(4 << 20); err != nil {
						t.Errorf("%s: %v", name, err)
					}
					c.Close()
					exchange(t, name, w, 1200)
				}
			})
		})
	})
}
