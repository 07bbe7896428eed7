// SPDX-License-Identifier: Apache-2.0

package test

import (
	"net/netip"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// SEC-06: two networks don't reach each other, nor each other's gateway for
// anything but what the host offers.
func TestNetworksAreIsolated(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Network(t, "b", numB)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80")
		c2 := e.Sandbox(t, "c2", "--network", "a")
		c3 := e.Sandbox(t, "c3", "--network", "b")
		serve(t, c1.Netns, 80, "c1")
		serve(t, c1.Netns, 22, "c1")
		harness.ServeTCP(t, e.Host, 5000, "host")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			c1IP := c1.IP(t, "a", f)
			harness.Reaches(t, c2.Netns, c1IP, 80, "c1")
			s := harness.Sniff(t, c1.Netns, "eth0", nil)
			harness.Misses(t, c3.Netns, c1IP, 80)
			harness.Misses(t, c3.Netns, c1IP, 22)
			harness.NoPing(t, c3.Netns, c1IP)
			_, err := harness.GetTCP(c3.Netns, at(c1.Gateway("a", f), 5000), harness.Answer(!e.Protects("SEC-06")))
			e.Expect(t, "SEC-06", "another network's gateway answers for the host", err != nil)
			if _, err := harness.GetTCP(c3.Netns, at(c3.Gateway("b", f), 5000)); err != nil {
				t.Errorf("the network's own gateway doesn't: %v", err)
			}
			s.Never(t, "packet from another network", harness.SrcIP(c3.IP(t, "b", f)))
		})
	})
}

// SEC-07: an internal network has no outside; the host is its only neighbour.
func TestInternalNetwork(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Network(t, "i", numI, "--internal")
		c1 := e.Sandbox(t, "c1", "--network", "a")
		c4 := e.Sandbox(t, "c4", "--network", "i")
		c5 := e.Sandbox(t, "c5", "--network", "i")
		serve(t, c1.Netns, 80, "c1")
		serve(t, c5.Netns, 80, "c5")
		serve(t, e.WAN, 80, "wan")
		serve(t, e.LAN1, 80, "lan1")
		serve(t, e.Host, 2200, "host")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			harness.Reaches(t, c4.Netns, c5.IP(t, "i", f), 80, "c5")
			harness.Reaches(t, e.Host, c5.IP(t, "i", f), 80, "c5")
			// A default route that the container gives itself doesn't help it.
			gw := harness.Addr(f, numI, 1)
			harness.Reaches(t, c4.Netns, gw, 2200, "host")
			c4.Must(t, "ip", f.Flag(), "route", "add", "default", "via", gw)
			for _, dst := range []string{f.WAN, f.LAN1, c1.IP(t, "a", f)} {
				harness.Misses(t, c4.Netns, dst, 80)
				harness.NoPing(t, c4.Netns, dst)
			}
		})
	})
}

// SEC-08: without inter-container communication only published ports and the
// way out are open.
func TestNoInterContainerCommunication(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA, "-o", "com.docker.network.bridge.enable_icc=false")
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		c2 := e.Sandbox(t, "c2", "--network", "a")
		serve(t, c1.Netns, 80, "c1")
		serve(t, e.WAN, 80, "wan")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			harness.Misses(t, c2.Netns, c1.IP(t, "a", f), 80)
			harness.NoPing(t, c2.Netns, c1.IP(t, "a", f))
			harness.Reaches(t, c2.Netns, f.WAN, 80, "wan")
			harness.Reaches(t, e.LAN1, f.Host, 8080, "c1")
			harness.Reaches(t, e.Host, c1.IP(t, "a", f), 80, "c1")
		})
		noWayRound(t, e, c2, c1)
	})
}

// noWayRound: the host forwards what is for a link-local address behind the bridge,
// and a container can send it there by the gateway's hardware address.
func noWayRound(t *testing.T, e *harness.Env, from, to *harness.Sandbox) {
	f := harness.V6()
	e.Host.Sysctl(t, "ipv6/conf/all/forwarding", "1")
	mac := to.MAC(t, "a")
	local := netip.AddrFrom16([16]byte{0xfe, 0x80, 8: mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]}).String()
	inside := harness.Sniff(t, to.Netns, "eth0", nil)
	if err := harness.Ping(e.Host, local+"%"+bridgeName(t, e)); err != nil { // and so the neighbour is known
		t.Fatal(err)
	}
	eth := harness.Ethernet(from.MAC(t, "a"), bridgeMAC(t, e, from, f), f)
	harness.Inject(t, from.Netns, "eth0", harness.UDPFrame(t, f, eth, from.IP(t, "a", f), local, 9, 8, "by the gateway"))
	if err := harness.Ping(e.Host, to.IP(t, "a", f)); err != nil {
		t.Fatal(err)
	}
	if n := len(inside.Seen(harness.Contains("by the gateway"))); n > 0 {
		t.Errorf("%d datagrams of a peer came by the gateway", n)
	}
}
