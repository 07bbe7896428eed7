// SPDX-License-Identifier: Apache-2.0

package test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
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
		noBags(t, e, c2, c1)
	})
}

// noBags: what passes between containers all the same, neighbour discovery and ARP,
// carries nothing else.
func noBags(t *testing.T, e *harness.Env, from, to *harness.Sandbox) {
	f := harness.V6()
	inside := harness.Sniff(t, to.Netns, "eth0", nil)
	const secret = "any payload"
	icmp := func(dmac net.HardwareAddr, dst string, kind, code, hopLimit uint8, body ...byte) []byte {
		ip := harness.IPHeader(f, from.IP(t, "a", f), dst, layers.IPProtocolICMPv6).(*layers.IPv6)
		ip.HopLimit = hopLimit
		return harness.Frame(t, harness.Ethernet(from.MAC(t, "a"), dmac, f), ip,
			&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, code)}, gopacket.Payload(append(body, secret...)))
	}
	own := net.ParseIP(from.IP(t, "a", f)).To16()
	solicit := append([]byte{0, 0, 0, 0}, own...)
	many, manyMAC := "ff02::1", net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
	for kind := uint8(layers.ICMPv6TypeRouterSolicitation); kind <= layers.ICMPv6TypeRedirect; kind++ {
		for _, hopLimit := range []uint8{64, 255} {
			harness.Inject(t, from.Netns, "eth0",
				icmp(to.MAC(t, "a"), to.IP(t, "a", f), kind, 0, hopLimit, solicit...), icmp(manyMAC, many, kind, 0, hopLimit, solicit...),
				icmp(to.MAC(t, "a"), to.IP(t, "a", f), kind, 9, hopLimit, solicit...), icmp(manyMAC, many, kind, 9, hopLimit, solicit...))
		}
	}
	harness.Inject(t, from.Netns, "eth0",
		icmp(manyMAC, many, layers.ICMPv6TypeEchoRequest, 0, 64, 0, 0, 0, 0), icmp(manyMAC, many, layers.ICMPv6TypeMLDv2MulticastListenerReportMessageV2, 0, 1, 0, 0, 0, 1))
	arp := func(target net.IP, trailer string) []byte {
		eth := harness.Ethernet(from.MAC(t, "a"), layers.EthernetBroadcast, f)
		eth.EthernetType = layers.EthernetTypeARP
		return harness.Frame(t, eth, &layers.ARP{AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4,
			HwAddressSize: 6, ProtAddressSize: 4, Operation: layers.ARPRequest,
			SourceHwAddress: from.MAC(t, "a"), SourceProtAddress: net.ParseIP(from.IP(t, "a", harness.V4())).To4(),
			DstHwAddress: make([]byte, 6), DstProtAddress: target.To4()}, gopacket.Payload(trailer))
	}
	last := net.IPv4(192, 0, 2, 99)
	harness.Inject(t, from.Netns, "eth0", arp(last, "padding to 60 bytes"+secret), arp(last, ""))
	inside.Wait(t, "the last ARP request", func(p packet) bool {
		a, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP)
		return ok && net.IP(a.DstProtAddress).Equal(last) && !harness.Contains(secret)(p)
	})
	e.Expect(t, "SEC-23", "neighbour discovery or ARP carries something between containers", len(inside.Seen(harness.Contains(secret))) == 0)
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
