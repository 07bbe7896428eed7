// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
	"github.com/gopacket/gopacket/layers"
)

// NAT-01: what leaves the host has the host's address. That nothing else ever
// does is what the harness watches during every test (NAT-14).
func TestMasquerade(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, _ := pair(t, e)
		serve(t, e.WAN, 53, "wan")
		serve(t, e.LAN1, 53, "lan1")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			for dst, tag := range map[string]string{f.WAN: "wan", f.LAN1: "lan1"} {
				seenFrom(t, harness.Reaches(t, c1.Netns, dst, 53, tag), f.Host)
				if err := harness.Ping(c1.Netns, dst); err != nil {
					t.Error(err)
				}
			}
		})
	})
}

// NAT-02, NAT-03: the source port is kept where it is free, for every
// destination, so that a mapping looks independent of the endpoint.
func TestSourcePortIsKept(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, _ := pair(t, e)
		serve(t, e.WAN, 1000, "wan")
		serve(t, e.WAN, 1001, "wan")
		serve(t, e.LAN1, 1000, "lan1")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			for _, dst := range []string{at(f.WAN, 1000), at(f.WAN, 1001), at(f.LAN1, 1000)} {
				for name, probe := range harness.Probes() {
					r, err := probe(c1.Netns, dst, harness.From(":40000"))
					if err != nil || r.Seen.Port() != 40000 {
						t.Errorf("%s to %s: seen as %v (%v), want port 40000", name, dst, r.Seen, err)
					}
				}
			}
		})
	})
}

// NAT-04: two containers with one source port to one destination get two ports
// outside, and each gets its own replies.
func TestSourcePortIsNotOverloaded(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, c2 := pair(t, e)
		serve(t, e.WAN, 80, "wan")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			var tcp, udp []netip.AddrPort
			for _, c := range []*harness.Sandbox{c1, c2} {
				s, err := harness.DialTCP(c.Netns, at(f.WAN, 80), harness.From(":40001"))
				if err != nil {
					t.Fatalf("%s: %v", c.Name, err)
				}
				defer s.Close()
				tcp = append(tcp, s.Seen)
				defer func() {
					if err := s.Echo(c.Name); err != nil {
						t.Errorf("%s: %v", c.Name, err)
					}
				}()
				u, err := harness.DialUDP(c.Netns, at(f.WAN, 80), harness.From(":40001"))
				if err != nil {
					t.Fatal(err)
				}
				defer u.Close()
				r, err := u.Exchange(8, harness.Patience)
				if err != nil {
					t.Fatalf("%s: %v", c.Name, err)
				}
				udp = append(udp, r.Seen)
			}
			if tcp[0] == tcp[1] || udp[0] == udp[1] {
				t.Errorf("two containers share a port: tcp %v, udp %v", tcp, udp)
			}
			if tcp[0].Port() != 40001 || udp[0].Port() != 40001 {
				t.Errorf("the first doesn't keep its port: tcp %v, udp %v", tcp[0], udp[0])
			}
		})
	})
}

// Two containers ping one address with one identifier.
func TestEchoIdentifiersAreKeptApart(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, c2 := pair(t, e)
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			done := make(chan error, 2)
			for _, c := range []*harness.Sandbox{c1, c2} {
				go func() {
					done <- harness.Ping(c.Netns, f.WAN, "-e", "4711", "-c3", "-i0.1")
				}()
			}
			for range 2 {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		})
	})
}

// NAT-06: a published port is never taken as the source port of a container's
// connection, so that it can't answer in the place of the published one.
func TestPublishedPortIsNoMasqueradePort(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		c2 := e.Sandbox(t, "c2", "--network", "a")
		serve(t, c1.Netns, 80, "c1")
		serve(t, e.LAN1, 9999, "lan1")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			for name, probe := range harness.Probes() {
				r, err := probe(c2.Netns, at(f.LAN1, 9999), harness.From(":8080"))
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				e.Expect(t, "NAT-06", name+" leaves from the published port", r.Seen.Port() != 8080)
				r, err = probe(e.LAN1, at(f.Host, 8080))
				if err != nil || r.Tag != "c1" {
					t.Errorf("%s to the published port: %+v, %v", name, r, err)
				}
			}
		})
	})
}

// Masquerading can be switched off, and can use an address of one's choice.
func TestMasqueradeSource(t *testing.T) {
	prepare := func(t testing.TB, w *harness.Topology) {
		w.Host.IP(t, "addr add 192.0.2.77/24 dev eth0", "addr add 2001:db8::77/64 dev eth0 nodad")
	}
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA, "-o", "com.docker.network.host_ipv4=192.0.2.77", "-o", "com.docker.network.host_ipv6=2001:db8::77")
		c1 := e.Sandbox(t, "c1", "--network", "a")
		serve(t, e.WAN, 80, "wan")
		for f, want := range map[harness.Family]string{harness.V4(): "192.0.2.77", harness.V6(): "2001:db8::77"} {
			seenFrom(t, harness.Reaches(t, c1.Netns, f.WAN, 80, "wan"), want)
		}
	}, harness.Prepare(prepare))
}

func TestMasqueradeOff(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA, "-o", "com.docker.network.bridge.enable_ip_masquerade=false")
		c1 := e.Sandbox(t, "c1", "--network", "a")
		s := harness.Sniff(t, e.Switch, "host", nil)
		for _, f := range []harness.Family{harness.V4(), harness.V6()} {
			c, err := harness.DialUDP(c1.Netns, at(f.LAN1, 9))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Write([]byte("as it is")); err != nil {
				t.Fatal(err)
			}
			s.Wait(t, "packet with the container's own source",
				harness.All(harness.SrcIP(c1.IP(t, "a", f)), harness.DstIP(f.LAN1)))
		}
	}, harness.AllowPrivate())
}

// NAT-28: protocols without ports are translated by address, and so is SCTP,
// whose checksum doesn't cover addresses.
func TestProtocolsByAddress(t *testing.T) {
	const sctp = int(layers.IPProtocolSCTP)
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, _ := pair(t, e)
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			for proto, bodies := range map[int][2]string{
				int(layers.IPProtocolGRE): {"\x00\x00\x08\x00gre out", "\x00\x00\x08\x00gre back"},
				int(layers.IPProtocolESP): {"\x00\x00\x00\x01esp out", "\x00\x00\x00\x02esp back"},
				253:                       {"experiment out", "experiment back"},
				sctp:                      {sctpInit(t, 1, 2, 0), sctpInit(t, 2, 1, 0x1234)},
			} {
				out := harness.Sniff(t, e.LAN1, "eth0", nil)
				back := harness.Sniff(t, c1.Netns, "eth0", nil)
				harness.SendIP(t, c1.Netns, f, f.LAN1, proto, bodies[0])
				out.Wait(t, fmt.Sprintf("protocol %d", proto),
					harness.All(harness.SrcIP(f.Host), harness.DstIP(f.LAN1), harness.Contains(bodies[0])))
				harness.SendIP(t, e.LAN1, f, f.Host, proto, bodies[1])
				back.Wait(t, fmt.Sprintf("reply of protocol %d", proto),
					harness.All(harness.SrcIP(f.LAN1), harness.DstIP(c1.IP(t, "a", f)), harness.Contains(bodies[1])))
			}
		})
	}, harness.Own()) // what the host holds outlives a test
}

// sctpInit is an INIT, or with a tag the INIT ACK that answers it.
func sctpInit(t *testing.T, src, dst layers.SCTPPort, tag uint32) string {
	t.Helper()
	kind := layers.SCTPChunkTypeInit
	if tag != 0 {
		kind = layers.SCTPChunkTypeInitAck
	}
	return string(harness.Frame(t, &layers.SCTP{SrcPort: src, DstPort: dst, VerificationTag: tag},
		&layers.SCTPInit{SCTPChunk: layers.SCTPChunk{Type: kind, Length: 20}, InitiateTag: 0x1234,
			AdvertisedReceiverWindowCredit: 1500, OutboundStreams: 1, InboundStreams: 1, InitialTSN: 1}))
}
