// SPDX-License-Identifier: Apache-2.0

package test

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"testing"

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
