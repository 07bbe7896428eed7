// SPDX-License-Identifier: Apache-2.0

package test

import (
	"errors"
	"net/netip"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/harness"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// ICM-01: errors about a container's packets reach its sockets, as if there had
// been no translation.
func TestErrorsReachContainer(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, _ := pair(t, e)
		e.Router.While(t, []string{"route add unreachable 198.51.100.99", "route add unreachable 2001:db8:1::99"},
			[]string{"route del unreachable 198.51.100.99", "route del unreachable 2001:db8:1::99"})
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			s := harness.Sniff(t, c1.Netns, "eth0", nil)
			u, err := harness.DialUDP(c1.Netns, at(f.WAN, 9), harness.From(":40003"))
			if err != nil {
				t.Fatal(err)
			}
			defer u.Close()
			if _, err := u.Exchange(64, 3*time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("closed UDP port: %v, want %v", err, syscall.ECONNREFUSED)
			}
			quoted := s.Wait(t, "quoted datagram", harness.All(harness.SrcIP(f.WAN), harness.DstIP(c1.IP(t, "a", f)), isError))
			checkQuote(t, f, quoted, c1.IP(t, "a", f), 40003, f.WAN, 9)
			unreachable := map[int]string{4: "198.51.100.99", 6: "2001:db8:1::99"}[f.V]
			// Linux sends "host unreachable" for IPv4 and "no route" for IPv6.
			want := map[int]error{4: syscall.EHOSTUNREACH, 6: syscall.ENETUNREACH}[f.V]
			if _, err := harness.GetTCP(c1.Netns, at(unreachable, 80)); !errors.Is(err, want) {
				t.Errorf("unreachable host: %v, want %v", err, want)
			}
		})
	})
}

// ICM-02: errors of a container about a published port come from the published
// address and quote what the client had sent.
func TestErrorsOfContainer(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Sandbox(t, "c1", "--network", "a", "-p", "5353:53/udp")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			s := harness.Sniff(t, e.LAN1, "eth0", nil)
			u, err := harness.DialUDP(e.LAN1, at(f.Host, 5353), harness.From(":40004"))
			if err != nil {
				t.Fatal(err)
			}
			defer u.Close()
			if _, err := u.Exchange(64, 3*time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("published port without a server: %v, want %v", err, syscall.ECONNREFUSED)
			}
			quoted := s.Wait(t, "quoted datagram", harness.All(harness.SrcIP(f.Host), isError))
			checkQuote(t, f, quoted, f.LAN1, 40004, f.Host, 5353)
		})
	})
}

func isError(p packet) bool {
	if l, ok := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok {
		return l.TypeCode.Type() == layers.ICMPv4TypeDestinationUnreachable
	}
	l, ok := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
	return ok && l.TypeCode.Type() == layers.ICMPv6TypeDestinationUnreachable
}

// checkQuote compares the datagram inside an ICMP error, and for IPv4 the
// checksum of its header.
func checkQuote(t *testing.T, f harness.Family, p packet, src string, sport int, dst string, dport int) {
	t.Helper()
	var body []byte
	first := layers.LayerTypeIPv4
	if f.Is6() {
		first = layers.LayerTypeIPv6
		// Four bytes of the message come before the quote.
		body = p.Layer(layers.LayerTypeICMPv6).LayerPayload()[4:]
	} else {
		body = p.Layer(layers.LayerTypeICMPv4).LayerPayload()
		if sum := onesComplement(body[:20]); sum != 0xffff {
			t.Errorf("checksum of the quoted header is wrong: sum %#x", sum)
		}
	}
	q := gopacket.NewPacket(body, first, gopacket.Default)
	if !harness.All(harness.SrcIP(src), harness.DstIP(dst), harness.UDPPorts(sport, dport))(q) {
		t.Errorf("the error quotes %s, want %s:%d → %s:%d", q, src, sport, dst, dport)
	}
}

func onesComplement(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

// ICM-03, TTL-01: a trace shows the gateway first and every hop after it.
func TestTraceroute(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, _ := pair(t, e)
		harness.ServeTCP(t, e.WAN, 80, "wan")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			for _, method := range []string{"-U", "-I", "-T"} {
				out := c1.Must(t, "traceroute", f.Flag(), "-n", "-q2", "-w2", "-m5", method, "-p", "80", f.WAN)
				want := []string{c1.Gateway("a", f), f.Router, f.WAN}
				if got := hops(out); strings.Join(got, " ") != strings.Join(want, " ") {
					t.Errorf("trace %s: %v, want %v", method, got, want)
				}
			}
		})
	})
}

var hopLine = regexp.MustCompile(`(?m)^\s*\d+\s+([0-9a-f.:]+)`)

func hops(trace string) (found []string) {
	for _, m := range hopLine.FindAllStringSubmatch(trace, -1) {
		found = append(found, m[1])
	}
	return found
}

// TTL-01: the host counts as one hop in both directions, and as none within a
// network.
func TestHopLimit(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80/udp")
		c2 := e.Sandbox(t, "c2", "--network", "a")
		harness.ServeUDP(t, c1.Netns, 80, "c1")
		harness.ServeUDP(t, e.LAN1, 80, "lan1")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			inside, outside := harness.Sniff(t, c1.Netns, "eth0", nil), harness.Sniff(t, e.LAN1, "eth0", nil)
			for _, w := range []struct {
				from     *harness.Netns
				dst      string
				s        *harness.Sniffer
				src      string
				want     int
				question string
			}{
				{c1.Netns, at(f.LAN1, 80), outside, f.Host, 63, "out"},
				{e.LAN1, at(f.Host, 8080), inside, f.LAN1, 63, "in"},
				{c2.Netns, at(c1.IP(t, "a", f), 80), inside, c2.IP(t, "a", f), 64, "within"},
			} {
				if _, err := harness.GetUDP(w.from, w.dst); err != nil {
					t.Errorf("%s: %v", w.question, err)
					continue
				}
				p := w.s.Wait(t, w.question, harness.All(harness.SrcIP(w.src), harness.UDPPorts(0, 80)))
				if got := hopLimit(p); got != w.want {
					t.Errorf("hop limit on the way %s: %d, want %d", w.question, got, w.want)
				}
			}
		})
	})
}

func hopLimit(p packet) int {
	if l, ok := p.NetworkLayer().(*layers.IPv4); ok {
		return int(l.TTL)
	}
	return int(p.NetworkLayer().(*layers.IPv6).HopLimit)
}

// ICM-04: path MTU discovery works for what containers send on their own
// connections and through published ports.
func TestPathMTU(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80")
		harness.ServeTCP(t, c1.Netns, 80, "c1")
		harness.ServeTCP(t, e.WAN, 80, "wan")
		e.NarrowRouter(t, 1400)
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			s := harness.Sniff(t, e.WAN, "eth0", nil)
			for _, w := range []struct {
				from *harness.Netns
				dst  string
			}{{c1.Netns, at(f.WAN, 80)}, {e.WAN, at(f.Host, 8080)}} {
				c, err := harness.DialTCP(w.from, w.dst)
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Bulk(1 << 20); err != nil {
					t.Errorf("%s → %s: %v", w.from.Name, w.dst, err)
				}
				c.Close()
			}
			// Segments may be aggregated by now; datagrams may not.
			err := harness.Ping(c1.Netns, f.WAN, "-M", "do", "-s", "1430")
			if err == nil || !strings.Contains(err.Error(), "1400") {
				t.Errorf("echo request beyond the path's MTU: %v, want a hint at 1400", err)
			}
			s.Never(t, "echo request beyond the path's MTU", func(p packet) bool {
				return p.Metadata().Length > 1414 && p.TransportLayer() == nil
			})
		})
	})
}

// ICM-06: an error about a connection doesn't end it, nor its translation.
func TestErrorsDontEndFlows(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, _ := pair(t, e)
		harness.ServeTCP(t, e.WAN, 80, "wan")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			s := harness.Sniff(t, e.WAN, "eth0", nil)
			c, err := harness.DialTCP(c1.Netns, at(f.WAN, 80))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			own := s.Wait(t, "segment", harness.All(harness.SrcIP(f.Host), harness.TCPPorts(int(c.Seen.Port()), 80)))
			sendUnreachable(t, e.WAN, f, own)
			if err := c.Echo("after the error"); err != nil {
				t.Error(err)
			}
			if got, err := netip.ParseAddrPort(c.LocalAddr().String()); err != nil || got.Port() != c.Seen.Port() {
				t.Logf("port %d is seen as %d", got.Port(), c.Seen.Port())
			}
		})
	})
}

// sendUnreachable tells the host under test that the packet's destination can't
// be reached.
func sendUnreachable(t *testing.T, from *harness.Netns, f harness.Family, about packet) {
	t.Helper()
	quote := about.Data()[14:]
	if f.Is6() {
		// The kernel fills in the checksum of a raw ICMPv6 socket.
		harness.SendIP(t, from, f, f.Host, int(layers.IPProtocolICMPv6), "\x01\x03\x00\x00\x00\x00\x00\x00"+string(quote[:60]))
		return
	}
	icmp := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeDestinationUnreachable, layers.ICMPv4CodeHost)}
	harness.SendIP(t, from, f, f.Host, int(layers.IPProtocolICMPv4),
		string(harness.Frame(t, icmp, gopacket.Payload(quote[:28]))))
}
