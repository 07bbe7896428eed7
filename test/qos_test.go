// SPDX-License-Identifier: Apache-2.0

package test

import (
	"testing"

	"github.com/fairway-project/fairway/test/harness"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"
)

// QOS-01: the differentiated services and congestion bits pass unchanged, out
// and in.
func TestTrafficClassIsKept(t *testing.T) {
	const class = 0xba // EF and ECT(0)
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80/udp")
		harness.ServeUDP(t, c1.Netns, 80, "c1")
		harness.ServeUDP(t, e.LAN1, 80, "lan1")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			mark := harness.Socket(func(fd int) error {
				if f.Is6() {
					return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, class)
				}
				return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, class)
			})
			inside, outside := harness.Sniff(t, c1.Netns, "eth0", nil), harness.Sniff(t, e.LAN1, "eth0", nil)
			exchange(t, "out", walk{c1.Netns, at(f.LAN1, 80)}, 64, mark)
			exchange(t, "in", walk{e.LAN1, at(f.Host, 8080)}, 64, mark)
			for what, p := range map[string]packet{
				"out": outside.Wait(t, "datagram out", harness.All(harness.SrcIP(f.Host), harness.UDPPorts(0, 80))),
				"in":  inside.Wait(t, "datagram in", harness.All(harness.SrcIP(f.LAN1), harness.UDPPorts(0, 80))),
			} {
				if got := trafficClass(p); got != class {
					t.Errorf("%s: traffic class %#x, want %#x", what, got, class)
				}
			}
		})
	})
}

func trafficClass(p packet) uint8 {
	if l, ok := p.NetworkLayer().(*layers.IPv4); ok {
		return l.TOS
	}
	return p.NetworkLayer().(*layers.IPv6).TrafficClass
}
