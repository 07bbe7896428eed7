// SPDX-License-Identifier: Apache-2.0

package test

import (
	"errors"
	"net"
	"strconv"
	"testing"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/test/harness"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// SEC-10: a container uses its own addresses or none.
func TestSpoofedSource(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, c2 := pair(t, e)
		victim := e.Sandbox(t, "victim", "--network", "a")
		_ = c1
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			inside := harness.Sniff(t, victim.Netns, "eth0", nil)
			eth := harness.Ethernet(c2.MAC(t, "a"), victim.MAC(t, "a"), f)
			own := harness.UDPFrame(t, f, eth, c2.IP(t, "a", f), victim.IP(t, "a", f), 9, 7, "honest")
			spoofed := harness.UDPFrame(t, f, eth, c1.IP(t, "a", f), victim.IP(t, "a", f), 9, 8, "spoofed")
			harness.Inject(t, c2.Netns, "eth0", spoofed, harness.PriorityTagged(spoofed, 1), harness.PriorityTagged(spoofed, 2),
				harness.PriorityTagged(spoofed, 8), own)
			inside.Wait(t, "honest datagram", harness.UDPPorts(9, 7))
			e.Expect(t, "SEC-10", "a spoofed source arrives", len(inside.Seen(harness.Contains("spoofed"))) == 0)
		})
	})
}

// SEC-10: nothing leaves the host in another's name.
func TestSpoofedSourceToOutside(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, c2 := pair(t, e)
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			out := harness.Sniff(t, e.LAN1, "eth0", nil)
			eth := harness.Ethernet(c2.MAC(t, "a"), bridgeMAC(t, e, c2, f), f)
			own := harness.UDPFrame(t, f, eth, c2.IP(t, "a", f), f.LAN1, 9, 7, "honest")
			var spoofed [][]byte
			for i, src := range []string{c1.IP(t, "a", f), f.Host, f.Loopback, f.WAN, harness.Addr(f, numB, 2)} {
				frame := harness.UDPFrame(t, f, eth, src, f.LAN1, 9, 80+i, "spoofed")
				spoofed = append(spoofed, frame, harness.PriorityTagged(frame, 2))
			}
			harness.Inject(t, c2.Netns, "eth0", append(spoofed, own)...)
			out.Wait(t, "honest datagram", harness.UDPPorts(0, 7))
			e.Expect(t, "SEC-10", "a spoofed source leaves the host", len(out.Seen(harness.Contains("spoofed"))) == 0)
		})
	})
}

// SEC-24: a machine of the LAN speaks to the host's sockets as a container, in a frame for
// the host or for many.
func TestSpoofedSourceFromLAN(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, _ := pair(t, e)
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			heard := make(chan string, 100)
			listenUDP(t, e.Host, 9100, heard)
			group := net.HardwareAddr{1, 0, 0x5e, 0, 0, 1}
			if f.Is6() {
				group = net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
			}
			for name, to := range map[string]net.HardwareAddr{
				"unicast": harness.HardwareAddr(t, e.Host, "eth0"), "broadcast": layers.EthernetBroadcast, "multicast": group,
			} {
				eth := harness.Ethernet(harness.HardwareAddr(t, e.LAN1, "eth0"), to, f)
				spoofed := harness.UDPFrame(t, f, eth, c1.IP(t, "a", f), f.Host, 9, 9100, "spoofed "+name)
				gateway := harness.UDPFrame(t, f, eth, c1.IP(t, "a", f), c1.Gateway("a", f), 9, 9100, "spoofed to the gateway "+name)
				honest := harness.UDPFrame(t, f, eth, f.LAN1, f.Host, 9, 9100, "honest "+name)
				harness.Inject(t, e.LAN1, "eth0", spoofed, gateway, harness.PriorityTagged(spoofed, 1), harness.PriorityTagged(spoofed, 2), honest)
				var got []string
				harness.Eventually(t, "the honest datagram", func() error {
					for {
						select {
						case text := <-heard:
							if text == "honest "+name {
								return nil
							}
							got = append(got, text)
						default:
							return errors.New("not yet")
						}
					}
				})
				e.Expect(t, "SEC-24", "the host's socket hears a container's address from the LAN: "+name, len(got) == 0)
			}
		})
	})
}

// listenUDP tells what a socket of the namespace receives, until the test ends.
func listenUDP(t *testing.T, n *harness.Netns, port int, heard chan<- string) {
	t.Helper()
	var pc net.PacketConn
	err := n.Do(func() (err error) {
		pc, err = net.ListenPacket("udp", net.JoinHostPort("", strconv.Itoa(port)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	t.Cleanup(func() { pc.Close(); <-over })
	go func() {
		defer close(over)
		buf := make([]byte, 2048)
		for {
			n, _, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			heard <- string(buf[:n])
		}
	}()
}

// SEC-10: a device that finishes checksums isn't led to write into the headers that the
// guards have read: here into the source address, which leaves the host untranslated
// with that.
func TestUnfinishedChecksum(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		if e.Mode == harness.EBPF && loader.HaveKernCtx() != nil {
			t.Skip("before Linux 6.2 no program can tell")
		}
		_, c2 := pair(t, e)
		e.Host.Feature(t, "eth0", "tx", "off") // so that the kernel finishes them
		f := harness.V4()
		out := harness.Sniff(t, e.LAN1, "eth0", nil)
		eth := harness.Ethernet(c2.MAC(t, "a"), bridgeMAC(t, e, c2, f), f)
		const ip, udp = 14, 14 + 20
		gre := harness.Frame(t, eth, harness.IPHeader(f, c2.IP(t, "a", f), f.LAN1, layers.IPProtocolGRE),
			&layers.GRE{ChecksumPresent: true, Protocol: layers.EthernetTypeIPv4}, gopacket.Payload("in a tunnel"))
		harness.InjectUnfinished(t, c2.Netns, "eth0", gre, udp, 4)
		tcp := harness.Frame(t, eth, harness.IPHeader(f, c2.IP(t, "a", f), f.LAN1, layers.IPProtocolTCP),
			&layers.TCP{SrcPort: 9, DstPort: 8, SYN: true}, gopacket.Payload("to be another segment"))
		harness.InjectUnfinished(t, c2.Netns, "eth0", tcp, udp+8, 4) // sequence numbers and flags
		harness.InjectUnfinished(t, c2.Netns, "eth0", harness.UDPFrame(t, f, eth, c2.IP(t, "a", f), f.LAN1, 9, 8, "forged"), ip+12, 0)
		harness.InjectUnfinished(t, c2.Netns, "eth0", harness.UDPFrame(t, f, eth, c2.IP(t, "a", f), f.LAN1, 9, 8, "another port"), udp, 0)
		harness.InjectUnfinished(t, c2.Netns, "eth0", harness.UDPFrame(t, f, eth, c2.IP(t, "a", f), f.LAN1, 9, 7, "tunnelled"), udp+8, 2)
		harness.InjectUnfinished(t, c2.Netns, "eth0", harness.UDPFrame(t, f, eth, c2.IP(t, "a", f), f.LAN1, 9, 7, "honest"), udp, 6)
		out.Wait(t, "honest datagram", harness.Contains("honest"))
		if len(out.Seen(harness.UDPPorts(0, 7))) != 2 || len(out.Seen(harness.HasLayer(layers.LayerTypeGRE))) != 1 {
			t.Error("the checksum of a tunnel, or in it, isn't let through")
		}
		forged := out.Seen(func(p packet) bool {
			return harness.Contains("forged")(p) || harness.Contains("another port")(p) || harness.HasLayer(layers.LayerTypeTCP)(p)
		})
		e.Expect(t, "SEC-10", "a header is written after the guards", len(forged) == 0)
	})
}

// bridgeMAC asks a container for the hardware address of its gateway.
func bridgeMAC(t *testing.T, e *harness.Env, c *harness.Sandbox, f harness.Family) net.HardwareAddr {
	t.Helper()
	return harness.HardwareAddr(t, e.Host, bridgeName(t, e))
}

// bridgeName is what the bridge of the network a is called.
func bridgeName(t *testing.T, e *harness.Env) string { return bridgeOf(t, e, "a") }

// bridgeOf is what the bridge of a network is called.
func bridgeOf(t *testing.T, e *harness.Env, network string) string {
	t.Helper()
	var networks []struct {
		ID string `json:"Id"`
	}
	e.JSON(t, &networks, "network", "inspect", network)
	return "br-" + networks[0].ID[:12]
}

// SEC-10: another's hardware address is as bad as another's IP address, and
// doesn't lead the owner's traffic astray.
func TestSpoofedHardwareAddress(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, c2 := pair(t, e)
		victim := e.Sandbox(t, "victim", "--network", "a")
		serve(t, c1.Netns, 80, "c1")
		f := harness.V4()
		inside := harness.Sniff(t, victim.Netns, "eth0", nil)
		honest := harness.Ethernet(c2.MAC(t, "a"), victim.MAC(t, "a"), f)
		forged := harness.Ethernet(c1.MAC(t, "a"), victim.MAC(t, "a"), f)
		harness.Inject(t, c2.Netns, "eth0",
			harness.UDPFrame(t, f, forged, c2.IP(t, "a", f), victim.IP(t, "a", f), 9, 8, "forged"),
			harness.UDPFrame(t, f, honest, c2.IP(t, "a", f), victim.IP(t, "a", f), 9, 7, "honest"))
		inside.Wait(t, "honest datagram", harness.UDPPorts(9, 7))
		e.Expect(t, "SEC-10", "a forged hardware address arrives", len(inside.Seen(harness.UDPPorts(9, 8))) == 0)
	})
}

// SEC-11: ARP in another's name, the gateway's or a peer's, isn't delivered.
func TestSpoofedARP(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, c2 := pair(t, e)
		victim := e.Sandbox(t, "victim", "--network", "a")
		serve(t, c1.Netns, 80, "c1")
		f := harness.V4()
		harness.Reaches(t, victim.Netns, c1.IP(t, "a", f), 80, "c1")
		inside := harness.Sniff(t, victim.Netns, "eth0", nil)
		arp := func(sender string, target net.HardwareAddr) []byte {
			eth := harness.Ethernet(c2.MAC(t, "a"), target, f)
			eth.EthernetType = layers.EthernetTypeARP
			return harness.Frame(t, eth, &layers.ARP{AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4,
				HwAddressSize: 6, ProtAddressSize: 4, Operation: layers.ARPReply,
				SourceHwAddress: c2.MAC(t, "a"), SourceProtAddress: net.ParseIP(sender).To4(),
				DstHwAddress: victim.MAC(t, "a"), DstProtAddress: net.ParseIP(victim.IP(t, "a", f)).To4()})
		}
		everyone := layers.EthernetBroadcast
		for _, owner := range []string{c1.IP(t, "a", f), c1.Gateway("a", f)} {
			harness.Inject(t, c2.Netns, "eth0", arp(owner, victim.MAC(t, "a")), arp(owner, everyone),
				harness.PriorityTagged(arp(owner, victim.MAC(t, "a")), 2), harness.PriorityTagged(arp(owner, everyone), 2))
		}
		// What comes last shows that what came before has passed or not.
		harness.Inject(t, c2.Netns, "eth0", harness.UDPFrame(t, f, harness.Ethernet(c2.MAC(t, "a"), victim.MAC(t, "a"), f),
			c2.IP(t, "a", f), victim.IP(t, "a", f), 9, 7, "last"))
		inside.Wait(t, "last datagram", harness.Contains("last"))
		forged := inside.Seen(func(p packet) bool {
			a, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP)
			return ok && net.HardwareAddr(a.SourceHwAddress).String() == c2.MAC(t, "a").String() &&
				net.IP(a.SourceProtAddress).String() != c2.IP(t, "a", f)
		})
		e.Expect(t, "SEC-11", "a forged ARP packet arrives", len(forged) == 0)
		if e.Protects("SEC-11") {
			harness.Reaches(t, victim.Netns, c1.IP(t, "a", f), 80, "c1")
		}
	})
}

// SEC-12: router advertisements, redirects, neighbour advertisements in
// another's name and answers of a DHCP server don't reach other containers or
// the host.
func TestRogueRouterAndServers(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, c2 := pair(t, e)
		victim := e.Sandbox(t, "victim", "--network", "a")
		inside := harness.Sniff(t, victim.Netns, "eth0", nil)
		before := victim.Must(t, "ip", "-6", "route") + e.Host.Must(t, "ip", "-6", "route")
		harness.Inject(t, c2.Netns, "eth0", rogueFrames(t, c1, c2, victim)...)
		f := harness.V4()
		harness.Inject(t, c2.Netns, "eth0", harness.UDPFrame(t, f, harness.Ethernet(c2.MAC(t, "a"), victim.MAC(t, "a"), f),
			c2.IP(t, "a", f), victim.IP(t, "a", f), 9, 7, "last"))
		inside.Wait(t, "last datagram", harness.Contains("last"))
		rogue := inside.Seen(func(p packet) bool {
			na, isNA := p.Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(*layers.ICMPv6NeighborAdvertisement)
			return p.Layer(layers.LayerTypeICMPv6RouterAdvertisement) != nil || p.Layer(layers.LayerTypeICMPv6Redirect) != nil ||
				isNA && na.TargetAddress.String() == c1.IP(t, "a", harness.V6()) ||
				harness.UDPPorts(67, 68)(p) || harness.UDPPorts(547, 546)(p)
		})
		e.Expect(t, "SEC-12", "a rogue packet arrives", len(rogue) == 0)
		if after := victim.Must(t, "ip", "-6", "route") + e.Host.Must(t, "ip", "-6", "route"); after != before {
			t.Errorf("routes changed from\n%s\nto\n%s", before, after)
		}
	})
}

func rogueFrames(t *testing.T, c1, c2, victim *harness.Sandbox) [][]byte {
	t.Helper()
	f4, f6 := harness.V4(), harness.V6()
	linkLocal := "fe80::" + "bad"
	icmp := func(dst string, dmac net.HardwareAddr, kind uint8, body gopacket.SerializableLayer) []byte {
		ip := harness.IPHeader(f6, linkLocal, dst, layers.IPProtocolICMPv6).(*layers.IPv6)
		ip.HopLimit = 255
		return harness.Frame(t, harness.Ethernet(c2.MAC(t, "a"), dmac, f6), ip,
			&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)}, body)
	}
	allNodes := net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
	target := net.ParseIP(c1.IP(t, "a", f6))
	options := layers.ICMPv6Options{{Type: layers.ICMPv6OptTargetAddress, Data: c2.MAC(t, "a")}}
	dhcp := harness.Ethernet(c2.MAC(t, "a"), victim.MAC(t, "a"), f4)
	dhcp6 := harness.Ethernet(c2.MAC(t, "a"), victim.MAC(t, "a"), f6)
	return [][]byte{
		icmp("ff02::1", allNodes, layers.ICMPv6TypeRouterAdvertisement,
			&layers.ICMPv6RouterAdvertisement{HopLimit: 64, RouterLifetime: 1800}),
		icmp(victim.IP(t, "a", f6), victim.MAC(t, "a"), layers.ICMPv6TypeRedirect,
			&layers.ICMPv6Redirect{TargetAddress: net.ParseIP(linkLocal), DestinationAddress: net.ParseIP(f6.WAN), Options: options}),
		icmp("ff02::1", allNodes, layers.ICMPv6TypeNeighborAdvertisement,
			&layers.ICMPv6NeighborAdvertisement{Flags: 0x20, TargetAddress: target, Options: options}),
		harness.UDPFrame(t, f4, dhcp, c2.IP(t, "a", f4), victim.IP(t, "a", f4), 67, 68, "offer"),
		harness.UDPFrame(t, f6, dhcp6, c2.IP(t, "a", f6), victim.IP(t, "a", f6), 547, 546, "advertise"),
	}
}

// SEC-13: in a network without IPv6 a container has none, not even link-local.
func TestNoIPv6OnIPv4OnlyNetwork(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Must(t, "network", "create", "--subnet", harness.Subnet4(numA), "a")
		c1 := e.Sandbox(t, "c1", "--network", "a")
		if out := c1.Must(t, "ip", "-6", "-o", "addr", "show", "dev", "eth0"); out != "" {
			t.Errorf("eth0 has %s", out)
		}
		// Joining a group succeeds, and nothing of it is sent.
		s := harness.Sniff(t, e.Sandbox(t, "c2", "--network", "a").Netns, "eth0", nil)
		_, _ = c1.Output("timeout", "0.2", "socat", "-u", "UDP6-RECV:9,ipv6-join-group=[ff02::77]:eth0", "/dev/null")
		s.Never(t, "IPv6 packet", harness.HasLayer(layers.LayerTypeIPv6))
	})
}

// SEC-18: broadcast, multicast and the bridge's own protocols stay inside the
// network, where they work.
func TestBroadcastAndMulticast(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "b", numB)
		c1, c2 := pair(t, e)
		c3 := e.Sandbox(t, "c3", "--network", "b")
		peer := harness.Sniff(t, c2.Netns, "eth0", nil)
		var elsewhere []*harness.Sniffer
		for _, n := range []*harness.Netns{c3.Netns, e.LAN1} {
			elsewhere = append(elsewhere, harness.Sniff(t, n, "eth0", nil))
		}
		f4, f6 := harness.V4(), harness.V6()
		own := c1.MAC(t, "a")
		frame := func(f harness.Family, dmac net.HardwareAddr, dst, text string) []byte {
			return harness.UDPFrame(t, f, harness.Ethernet(own, dmac, f), c1.IP(t, "a", f), dst, 5353, 5353, text)
		}
		harness.Inject(t, c1.Netns, "eth0",
			frame(f4, layers.EthernetBroadcast, "255.255.255.255", "limited broadcast"),
			frame(f4, layers.EthernetBroadcast, "172.30.0.255", "subnet broadcast"),
			frame(f4, net.HardwareAddr{1, 0, 0x5e, 0, 0, 0xfb}, "224.0.0.251", "multicast over IPv4"),
			frame(f6, net.HardwareAddr{0x33, 0x33, 0, 0, 0, 0xfb}, "ff02::fb", "multicast over IPv6"))
		for _, text := range []string{"limited broadcast", "subnet broadcast", "multicast over IPv4", "multicast over IPv6"} {
			peer.Wait(t, text, harness.Contains(text))
			for _, s := range elsewhere {
				if found := s.Seen(harness.Contains(text)); len(found) > 0 {
					t.Errorf("%s left its network:\n%s", text, found[0])
				}
			}
		}
	})
}

// SEC-20: a container sees no unicast that isn't its own.
func TestNoUnicastOfOthers(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, c2 := pair(t, e)
		watcher := e.Sandbox(t, "watcher", "--network", "a")
		s := harness.Sniff(t, watcher.Netns, "eth0", nil)
		serve(t, c2.Netns, 80, "c2")
		serve(t, e.WAN, 80, "wan")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			harness.Reaches(t, c1.Netns, c2.IP(t, "a", f), 80, "c2")
			harness.Reaches(t, c1.Netns, f.WAN, 80, "wan")
		})
		s.Never(t, "another's unicast", func(p packet) bool {
			return p.Layer(layers.LayerTypeTCP) != nil || p.Layer(layers.LayerTypeUDP) != nil
		})
	})
}

// SEC-14: address resolution works between containers and with the gateway, and
// a container finds out that an address is taken.
func TestAddressResolution(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, c2 := pair(t, e)
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			for _, dst := range []string{c2.IP(t, "a", f), c1.Gateway("a", f)} {
				c1.Must(t, "ip", f.Flag(), "neigh", "flush", "all")
				if err := harness.Ping(c1.Netns, dst); err != nil {
					t.Error(err)
				}
			}
		})
		out, err := c1.Output("arping", "-D", "-c1", "-w2", "-I", "eth0", c2.IP(t, "a", harness.V4()))
		if err == nil {
			t.Errorf("duplicate address isn't detected: %s", out)
		}
	})
}
