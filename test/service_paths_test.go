// SPDX-License-Identifier: Apache-2.0

package test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
	"github.com/gopacket/gopacket/layers"
)

// ways are those to the fleet that packets take: by the service's own address and by the
// published port.
func (f *fleet) ways(t *testing.T, e *harness.Env, family harness.Family) map[string]walk {
	t.Helper()
	vip, published := at(f.VIP(t, "a", family), 80), at(family.Host, 8080)
	return map[string]walk{
		"container":              {f.client.Netns, vip},
		"container, published":   {f.client.Netns, published},
		"other network":          {f.stranger.Netns, published},
		"backend":                {f.backends[0].Netns, vip},
		"backend, other network": {f.backends[2].Netns, at(f.VIP(t, "b", family), 80)},
		"LAN":                    {e.LAN1, published},
		"WAN":                    {e.WAN, published},
		"host":                   {e.Host, vip},
		"host, published":        {e.Host, published},
	}
}

// SVC-01: SCTP reaches a service by the ports that it has, from everywhere, and is answered from
// where it was sent to.
func TestServiceSCTP(t *testing.T) {
	const sctp, port = int(layers.IPProtocolSCTP), 5060
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Network(t, "b", numB)
		e.Network(t, "c", numI)
		web := e.Service(t, "web", "--network", "a,b", "--port", "5060/sctp", "--publish", "5060:5060/sctp", "--select", "app=web")
		w1, w2 := backend(t, e, "w1", "a"), backend(t, e, "w2", "b")
		client, stranger := e.Sandbox(t, "client", "--network", "a"), e.Sandbox(t, "stranger", "--network", "c")
		web.Become(t, "active", "w1", "w2")
		source := layers.SCTPPort(40000)
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			servers := []*harness.IPSocket{harness.OpenIP(t, w1.Netns, f, sctp), harness.OpenIP(t, w2.Netns, f, sctp)}
			for _, w := range []struct {
				from *harness.Netns
				dst  string
			}{{client.Netns, web.VIP(t, "a", f)}, {client.Netns, f.Host}, {stranger.Netns, f.Host}, {e.LAN1, f.Host}, {e.WAN, f.Host}} {
				from := harness.OpenIP(t, w.from, f, sctp)
				for range 4 {
					source++
					associate(t, from, w.dst, servers, source, port)
				}
			}
		})
	})
}

// associate sends the beginning of an association and has its answer sent by whoever gets it.
func associate(t *testing.T, from *harness.IPSocket, dst string, servers []*harness.IPSocket, source, port layers.SCTPPort) {
	t.Helper()
	begin, answer := sctpInit(t, source, port, 0), sctpInit(t, port, source, 0x1234)
	from.MustSend(t, dst, begin)
	var server *harness.IPSocket
	harness.Eventually(t, fmt.Sprintf("a backend to get what port %d sends to %s", source, dst), func() error {
		for _, s := range servers {
			if s.Has(begin) {
				server = s
				return nil
			}
		}
		return errors.New("none has")
	})
	server.MustSend(t, server.From(begin), answer)
	from.Wait(t, answer)
	if got := from.From(answer); netip.MustParseAddr(got) != netip.MustParseAddr(dst) {
		t.Errorf("port %d is answered from %s, want %s", source, got, dst)
	}
}

// ICM-02: what a backend says of a datagram that nobody listens for reaches the client, as if it
// came from the service, and quotes what the client sent.
func TestServiceErrorsAreTranslated(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		web := newFleet(t, e, "--port", "81:8001/udp", "--publish", "8081:81/udp")
		for _, b := range web.backends {
			b.Sysctl(t, "ipv4/icmp_ratelimit", "0")
			b.Sysctl(t, "ipv6/icmp/ratelimit", "0")
		}
		source := 41000
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			for _, w := range []struct {
				from     *harness.Netns
				src, dst string
				port     int
			}{
				{web.client.Netns, web.client.IP(t, "a", f), web.VIP(t, "a", f), 81},
				{web.backends[0].Netns, web.backends[0].IP(t, "a", f), web.VIP(t, "a", f), 81},
				{web.stranger.Netns, web.stranger.IP(t, "c", f), f.Host, 8081},
				{e.LAN1, f.LAN1, f.Host, 8081},
				{e.WAN, f.WAN, f.Host, 8081},
			} {
				s := harness.Sniff(t, w.from, "eth0", nil)
				// Each of the three is drawn, some from the client's own network.
				for range 8 {
					source++
					u, err := harness.DialUDP(w.from, at(w.dst, w.port), harness.From(fmt.Sprintf(":%d", source)))
					if err != nil {
						t.Fatal(err)
					}
					if _, err := u.Exchange(64, harness.Patience); !errors.Is(err, syscall.ECONNREFUSED) {
						t.Errorf("%s → %s, where nobody listens: %v, want %v", w.from.Name, at(w.dst, w.port), err, syscall.ECONNREFUSED)
					}
					u.Close()
				}
				quoted := s.Wait(t, "quoted datagram", harness.All(harness.SrcIP(w.dst), harness.DstIP(w.src), isError, quotes(f, source)))
				checkQuote(t, f, quoted, w.src, source, w.dst, w.port)
			}
			for _, dst := range []string{at(web.VIP(t, "a", f), 81), at(f.Host, 8081)} {
				if _, err := harness.GetUDP(e.Host, dst); !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("host → %s, where nobody listens: %v, want %v", dst, err, syscall.ECONNREFUSED)
				}
			}
		})
	})
}

// quotes matches errors about what was sent from a port.
func quotes(f harness.Family, sport int) harness.Match {
	head := map[int]int{4: 14 + 20 + 8 + 20, 6: 14 + 40 + 8 + 40}[f.V]
	return func(p packet) bool {
		return len(p.Data()) >= head+2 && int(binary.BigEndian.Uint16(p.Data()[head:])) == sport
	}
}

// ICM-04: who sends more than the path takes learns it, and transfers go on: clients of services
// behind a narrow path, and clients whose service's backends are on narrow networks.
func TestServicePathMTU(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA, "-o", "com.docker.network.driver.mtu=9000")
		e.Network(t, "b", numB, "-o", "com.docker.network.driver.mtu=1400")
		client := e.Sandbox(t, "client", "--network", "a")
		web := e.Service(t, "web", "--network", "a,b", "--port", "80:8000", "--port", "80:8000/udp",
			"--publish", "8080:80", "--publish", "8080:80/udp", "--select", "app=web")
		backend(t, e, "w1", "a")
		backend(t, e, "w2", "b")
		web.Become(t, "active", "w1", "w2")
		e.NarrowRouter(t, 1300)
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			for _, w := range []walk{{client.Netns, at(web.VIP(t, "a", f), 80)}, {e.LAN1, at(f.Host, 8080)}, {e.WAN, at(f.Host, 8080)}, {e.Host, at(web.VIP(t, "a", f), 80)}} {
				// Both backends are drawn: all but one in 65,000 times.
				for range 16 {
					c, err := harness.DialTCP(w.from, w.dst)
					if err != nil {
						t.Fatal(err)
					}
					if err := c.Bulk(256 << 10); err != nil {
						t.Errorf("%s → %s, %s: %v", w.from.Name, w.dst, c.Tag, err)
					}
					c.Close()
					pathTold(t, w, f, 1390)
				}
			}
		})
	})
}

// pathTold demands that a client that has datagrams of size bytes sent in no pieces either gets an
// answer or learns that they are too big, and gets an answer to smaller ones.
func pathTold(t *testing.T, w walk, f harness.Family, size int) {
	t.Helper()
	u, err := harness.DialUDP(w.from, w.dst, harness.Socket(func(fd int) error { return dontFragment(fd, f) }))
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	var last error
	for range 20 {
		if _, last = u.Exchange(size, harness.Patience/20); last == nil {
			return
		}
		if errors.Is(last, syscall.EMSGSIZE) {
			break
		}
	}
	if !errors.Is(last, syscall.EMSGSIZE) {
		t.Errorf("%s → %s, %d bytes: %v, want an answer or %v", w.from.Name, w.dst, size, last, syscall.EMSGSIZE)
	}
	// The socket may be told of more than one.
	harness.Eventually(t, fmt.Sprintf("%s → %s: an answer to 1100 bytes", w.from.Name, w.dst), func() error {
		_, err := u.Exchange(1100, harness.Patience/20)
		return err
	})
}

// FRG-01: datagrams that need fragments reach one backend whole, and their answers the client, from
// everywhere, with offloads and without, as do transfers. A draw for each connection tears none.
func TestServiceFragments(t *testing.T) { serviceFragments(t) }

// The same where netfilter judges the pieces.
func TestServiceFragmentsPastNetfilter(t *testing.T) { serviceFragments(t, harness.FirstPacket()) }

func serviceFragments(t *testing.T, opts ...harness.Option) {
	t.Helper()
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		web := newFleet(t, e, "--scheduler", "random")
		sandboxes := append([]*harness.Sandbox{web.client, web.stranger}, web.backends...)
		e.EachOffload(t, sandboxes, func(t *testing.T) {
			e.EachFamily(t, func(t *testing.T, f harness.Family) {
				for name, w := range web.ways(t, e, f) {
					for _, size := range []int{1200, 4000, 20000} {
						// Each from a socket of its own: a flow, and so a draw.
						for range 4 {
							exchange(t, name, w, size)
						}
					}
					c, err := harness.DialTCP(w.from, w.dst)
					if err != nil {
						t.Errorf("%s: %v", name, err)
						continue
					}
					if err := c.Bulk(1 << 20); err != nil {
						t.Errorf("%s: %v", name, err)
					}
					c.Close()
				}
				for _, size := range []string{"56", "4000"} {
					if err := harness.Ping(web.client.Netns, web.VIP(t, "a", f), "-s", size); err != nil {
						t.Errorf("echo of %s bytes: %v", size, err)
					}
				}
			})
		})
	}, opts...)
}

// FRG-05: the pieces of a datagram to a service come together whatever their order, though a
// backend is drawn for each flow.
func TestServiceReversedFragments(t *testing.T) { serviceReversed(t) }

// The same where netfilter judges the pieces.
func TestServiceReversedFragmentsPastNetfilter(t *testing.T) {
	serviceReversed(t, harness.FirstPacket())
}

func serviceReversed(t *testing.T, opts ...harness.Option) {
	t.Helper()
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		web := newFleet(t, e, "--scheduler", "random")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			lan1 := harness.Ethernet(harness.HardwareAddr(t, e.LAN1, "eth0"), harness.HardwareAddr(t, e.Host, "eth0"), f)
			reversals(t, "published", e.LAN1, lan1, f.LAN1, f.Host, 8080)
			own := harness.Ethernet(web.client.MAC(t, "a"), harness.HardwareAddr(t, e.Host, bridgeOf(t, e, "a")), f)
			reversals(t, "by its address", web.client.Netns, own, web.client.IP(t, "a", f), web.VIP(t, "a", f), 80)
			other := harness.Ethernet(web.stranger.MAC(t, "c"), harness.HardwareAddr(t, e.Host, bridgeOf(t, e, "c")), f)
			reversals(t, "hairpin", web.stranger.Netns, other, web.stranger.IP(t, "c", f), f.Host, 8080)
		})
	}, opts...)
}

// FRG-05: the same of what real sockets on the LAN send, and of the answers.
func TestServiceReversedDatagrams(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		newFleet(t, e, "--scheduler", "random")
		e.ReverseLAN1(t)
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			for _, size := range []int{64, 4000, 60000} {
				for range 3 {
					exchange(t, "published", walk{e.LAN1, at(f.Host, 8080)}, size)
				}
			}
		})
	}, harness.Own())
}
