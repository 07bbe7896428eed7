// SPDX-License-Identifier: Apache-2.0

package test

import (
	"testing"

	"github.com/fairway-project/fairway/test/harness"
	"github.com/gopacket/gopacket/layers"
)

// routeTo gives a namespace a route to a test network by the host, until the test ends.
func routeTo(t *testing.T, n *harness.Netns, num int) {
	t.Helper()
	n.Route(t, harness.Subnet4(num), harness.HostIP4)
	n.Route(t, harness.Subnet6(num), harness.HostIP6)
}

// SEC-01, SEC-02: a machine of the LAN that routes to the container's address
// reaches nothing, published or not.
func TestDirectRoutingIsRefused(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80")
		serve(t, c1.Netns, 80, "c1")
		serve(t, c1.Netns, 22, "c1")
		routeTo(t, e.LAN2, numA)
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			s := harness.Sniff(t, c1.Netns, "eth0", nil)
			harness.Misses(t, e.LAN2, c1.IP(t, "a", f), 22)
			harness.Misses(t, e.LAN2, c1.IP(t, "a", f), 80)
			harness.NoPing(t, e.LAN2, c1.IP(t, "a", f))
			s.Never(t, "packet from the LAN", harness.SrcIP(f.LAN2))
		})
	})
}

// Gateway mode nat-unprotected is nat without this refusal.
func TestDirectRoutingUnprotected(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA,
			"-o", "com.docker.network.bridge.gateway_mode_ipv4=nat-unprotected",
			"-o", "com.docker.network.bridge.gateway_mode_ipv6=nat-unprotected")
		c1 := e.Sandbox(t, "c1", "--network", "a")
		serve(t, c1.Netns, 22, "c1")
		serve(t, e.WAN, 80, "wan")
		routeTo(t, e.LAN2, numA)
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			harness.Reaches(t, e.LAN2, c1.IP(t, "a", f), 22, "c1")
			seenFrom(t, harness.Reaches(t, c1.Netns, f.WAN, 80, "wan"), f.Host)
		})
	}, harness.AllowPrivate())
}

// Gateway mode routed translates nothing: published ports and echo are open to
// direct access, all else is closed.
func TestRoutedNetwork(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA,
			"-o", "com.docker.network.bridge.gateway_mode_ipv4=routed",
			"-o", "com.docker.network.bridge.gateway_mode_ipv6=routed")
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "80", "-p", "80/udp")
		serve(t, c1.Netns, 80, "c1")
		serve(t, c1.Netns, 22, "c1")
		serve(t, e.LAN2, 80, "lan2")
		routeTo(t, e.LAN2, numA)
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			ip := c1.IP(t, "a", f)
			seenFrom(t, harness.Reaches(t, e.LAN2, ip, 80, "c1"), f.LAN2)
			if err := harness.Ping(e.LAN2, ip); err != nil {
				t.Error(err)
			}
			harness.Misses(t, e.LAN2, ip, 22)
			seenFrom(t, harness.Reaches(t, c1.Netns, f.LAN2, 80, "lan2"), ip)
		})
	}, harness.AllowPrivate())
}

// Published ports, and nothing else, are open to direct access through a trusted
// interface, whenever it comes.
func TestTrustedInterface(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA, "-o", "com.docker.network.bridge.trusted_host_interfaces=wg0:eth1")
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		serve(t, c1.Netns, 80, "c1")
		serve(t, c1.Netns, 22, "c1")
		side := harness.NewSide(t, e.Topology)
		defer side.Remove(t)
		routeTo(t, e.LAN2, numA)
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			ip, through := c1.IP(t, "a", f), harness.Subnet4(numA)
			if f.Is6() {
				through = harness.Subnet6(numA)
			}
			side.IP(t, "route add "+through+" via "+side.HostAddr(f))
			reachesSoon(t, side.Netns, at(ip, 80), "c1", side.Addr(f))
			harness.Misses(t, side.Netns, ip, 22)
			harness.NoPing(t, side.Netns, ip)
			harness.Misses(t, e.LAN2, ip, 80)
			harness.Reaches(t, e.LAN2, f.Host, 8080, "c1")
		})
	}, harness.AllowPrivate())
}

// SEC-03: a frame from the LAN to 127.0.0.1 of a port that is published on
// loopback is dropped, whatever its source is.
func TestLoopbackPortFromLAN(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "127.0.0.1:9090:90", "-p", "127.0.0.1:9090:90/udp")
		serve(t, c1.Netns, 90, "c1")
		harness.Reaches(t, e.Host, "127.0.0.1", 9090, "c1")
		inside := harness.Sniff(t, c1.Netns, "eth0", nil)
		outside := harness.Sniff(t, e.LAN2, "eth0", nil)
		f := harness.V4()
		eth := harness.Ethernet(harness.HardwareAddr(t, e.LAN2, "eth0"), harness.HardwareAddr(t, e.Host, "eth0"), f)
		for _, src := range []string{f.LAN2, "127.0.0.1", "198.51.100.66"} {
			syn := harness.Frame(t, eth, harness.IPHeader(f, src, "127.0.0.1", layers.IPProtocolTCP),
				&layers.TCP{SrcPort: 6666, DstPort: 9090, SYN: true, Seq: 1, Window: 1000})
			harness.Inject(t, e.LAN2, "eth0", syn,
				harness.UDPFrame(t, f, eth, src, "127.0.0.1", 6666, 9090, "from the LAN"))
		}
		inside.Never(t, "frame from the LAN", func(p packet) bool {
			return harness.TCPPorts(6666, 90)(p) || harness.UDPPorts(6666, 90)(p)
		})
		outside.Never(t, "answer to the LAN", func(p packet) bool {
			return harness.TCPPorts(0, 6666)(p) || harness.UDPPorts(0, 6666)(p)
		})
	})
}
