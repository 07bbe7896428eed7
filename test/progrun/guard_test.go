// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"net/netip"
	"testing"

	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
	"github.com/fairway-project/fairway/userspace/model"
)

var broadcast = model.MAC{255, 255, 255, 255, 255, 255}

// guardCases: a container speaks for nobody but itself.
func guardCases(f family) []testCase {
	out := f.sends(f.Web, f.far()).UDP(1, 2)
	noFamily := func(t *testing.T, h *rig.Host) { h.PutNetwork(t, f.Net1, rig.Default&^flagOf(f, rig.IPv4, rig.IPv6)) }
	gone := func(t *testing.T, h *rig.Host) { h.Unready(t, f.Web) }
	cases := []testCase{
		{name: "mac", steps: []step{
			fromContainer(f.Web, out.MACs(f.App.MAC, f.Net1.MAC), dropped(spoofedMAC), nil),
			fromContainer(f.Web, out.MACs(f.Net1.MAC, f.Net1.MAC), dropped(spoofedMAC), nil),
			fromContainer(f.Web, out.MACs(f.App.MAC, broadcast), dropped(spoofedMAC), nil),
		}},
		{name: "address", steps: []step{
			fromContainer(f.Web, out.From(f.addr(f.App), 1), dropped(spoofedAddress), nil),
			fromContainer(f.Web, out.From(f.Net1.Gateway(f.v6), 1), dropped(spoofedAddress), nil),
			fromContainer(f.Web, out.From(f.far(), 1), dropped(spoofedAddress), nil),
			fromContainer(f.Web, out.From(f.pick("127.0.0.1", "::1"), 1), dropped(spoofedAddress), nil),
			fromContainer(f.Web, out.From(f.pick("0.0.0.0", "::"), 1), dropped(spoofedAddress), nil),
			fromContainer(f.Web, switched(f, f.App, f.App).MACs(f.Web.MAC, f.App.MAC).UDP(1, 2), dropped(spoofedAddress), nil),
		}},
		{name: "family disabled", world: noFamily, steps: []step{fromContainer(f.Web, out, dropped(familyDisabled), nil)}},
		{name: "malformed", steps: []step{
			fromContainer(f.Web, raw(out.TCP(1, 2, "S").Bytes()[:14+flagOf(f, 20, 40)+12]), dropped(malformed), nil),
			fromContainer(f.Web, raw(out.Bytes()[:14+flagOf(f, 20, 40)+7]), dropped(malformed), nil),
			fromContainer(f.Web, patched(out, flagOf(f, 16, 18), 0, flagOf[byte](f, 16, 0xff)), dropped(malformed), nil),
			fromContainer(f.Web, patched(out, flagOf(f, 16, 18), 1, 0), dropped(malformed), nil),
			fromContainer(f.Web, patched(out, 14, flagOf[byte](f, 0x55, 0x45)), dropped(malformed), nil),
		}},
		{name: "unmanaged", world: gone, steps: []step{fromContainer(f.Web, out, dropped(unmanaged), nil)}},
		{name: "unknown device", steps: []step{
			fromContainer(rig.Endpoint{Name: "tun0"}, out, dropped(unmanaged), nil),
		}},
		{name: "other ethertype", steps: []step{fromContainer(f.Web, patched(out, 12, 0x88, 0xcc), passed(), nil)}},
		{name: "dhcp server", steps: []step{
			fromContainer(f.Web, switched(f, f.Web, f.App).UDP(flagOf[uint16](f, 67, 547), flagOf[uint16](f, 68, 546)), dropped(dhcpServer), nil),
			fromContainer(f.Web, switched(f, f.Web, f.App).UDP(flagOf[uint16](f, 68, 546), flagOf[uint16](f, 67, 547)), delivered(f.App), nil),
		}},
		// One address in a frame to many would reach the stack past all policy.
		{name: "unicast in a frame to many", steps: []step{
			fromContainer(f.Web, out.MACs(f.Web.MAC, broadcast), dropped(malformed), nil),
			fromContainer(f.Web, f.sends(f.Web, f.host()).UDP(1, 2).MACs(f.Web.MAC, broadcast), dropped(malformed), nil),
			fromContainer(f.Web, f.sends(f.Web, f.Net1.Gateway(f.v6)).UDP(1, 2).MACs(f.Web.MAC, broadcast), dropped(malformed), nil),
			fromContainer(f.Web, f.sends(f.Web, f.addr(f.DB)).UDP(1, 2).MACs(f.Web.MAC, broadcast), dropped(malformed), nil),
			fromContainer(f.Web, f.sends(f.Web, f.pick("172.18.255.255", "ff02::1")).UDP(1, 2).MACs(f.Web.MAC, broadcast), passed(), nil),
			fromContainer(f.Web, f.sends(f.Web, f.pick("255.255.255.255", "ff05::1")).UDP(1, 2).MACs(f.Web.MAC, broadcast), passed(), nil),
		}},
		{name: "priority tags", steps: priorityTags(f)},
		{name: "multicast", steps: []step{
			fromContainer(f.Web, multicast(f), passed(), nil),
			fromContainer(f.Web, multicast(f).From(f.addr(f.App), 5353), dropped(spoofedAddress), nil),
		}},
	}
	if f.v6 {
		return append(cases, neighbourCases(f)...)
	}
	return append(cases, arpCases(f))
}

// tagged is a step whose frame has tags, the outermost first.
func tagged(s step, tags ...uint16) step {
	s.run.Tags = tags
	return s
}

// priorityTags: whoever receives a frame takes all tags with ID 0 off, and so it is
// judged as without them, however many there are. One with another ID is no IP packet
// to anybody but a VLAN device.
func priorityTags(f family) (steps []step) {
	own := f.sends(f.Web, f.host()).UDP(1, 2)
	liar := own.From(f.addr(f.App), 1)
	peer := switched(f, f.Web, f.App).UDP(1, 2)
	for _, tags := range [][]uint16{{0}, {0xe000}, {0, 0}, {0, 0xe000, 0, 0}} {
		steps = append(steps,
			tagged(fromContainer(f.Web, liar, dropped(spoofedAddress), nil), tags...),
			tagged(fromContainer(f.Web, peer.From(f.addr(f.DB), 1), dropped(spoofedAddress), nil), tags...),
			tagged(fromContainer(f.Web, own, passed(), nil), tags...),
			tagged(fromContainer(f.Web, peer, delivered(f.App), nil), tags...))
	}
	none := f.sends(f.Web, f.far()).UDP(1, 2)
	return append(steps,
		tagged(fromContainer(f.Web, liar, dropped(malformed), nil), 0, 0, 0, 0, 0),
		tagged(fromUplink(f.Eth0, none, dropped(malformed), nil), 0, 0, 0, 0, 0),
		tagged(fromContainer(f.Web, peer, passed(), nil), 5),
		tagged(fromContainer(f.Web, peer, passed(), nil), 0, 0, 5))
}

func patched(f frame.Frame, at int, b ...byte) raw {
	whole := f.Bytes()
	copy(whole[at:], b)
	return whole
}

func multicast(f family) frame.Frame {
	if f.v6 {
		return frame.Between(f.Web.MAC, model.MAC{0x33, 0x33, 0, 0, 0, 0xfb}).IP(f.Web.IPv6, netip.MustParseAddr("ff02::fb")).UDP(5353, 5353)
	}
	return frame.Between(f.Web.MAC, model.MAC{1, 0, 0x5e, 0, 0, 0xfb}).IP(f.Web.IPv4, netip.MustParseAddr("224.0.0.251")).UDP(5353, 5353)
}

func arpCases(f family) testCase {
	arp := func(to model.MAC, a frame.ARP) frame.Frame { return frame.Between(f.Web.MAC, to).ARP(a) }
	own, gateway := f.Web.IPv4.As4(), f.Net1.Gateway(false).As4()
	who := frame.ARP{SenderMAC: f.Web.MAC, Sender: own, Target: gateway}
	reply := frame.ARP{Reply: true, SenderMAC: f.Web.MAC, Sender: own, TargetMAC: f.App.MAC, Target: f.App.IPv4.As4()}
	lieMAC, lieIP, probe := who, reply, who
	lieMAC.SenderMAC = f.App.MAC
	lieIP.Sender = gateway
	probe.Sender = [4]byte{}
	return testCase{name: "arp", steps: []step{
		fromContainer(f.Web, arp(broadcast, who), passed(), nil),
		fromContainer(f.Web, arp(f.App.MAC, reply), passed(), nil),
		fromContainer(f.Web, arp(broadcast, probe), passed(), nil),
		fromContainer(f.Web, arp(broadcast, lieMAC), dropped(spoofedARP), nil),
		fromContainer(f.Web, arp(f.App.MAC, lieIP), dropped(spoofedARP), nil),
		tagged(fromContainer(f.Web, arp(f.App.MAC, lieIP), dropped(spoofedARP), nil), 0, 0),
		fromContainer(f.Web, raw(arp(broadcast, who).Bytes()[:14+27]), dropped(spoofedARP), nil),
		fromContainer(f.Web, patched(arp(broadcast, who), 14, 0, 6), dropped(spoofedARP), nil),
	}}
}

func neighbourCases(f family) []testCase {
	allNodes := model.MAC{0x33, 0x33, 0, 0, 0, 1}
	linkLocal := netip.MustParseAddr("fe80::42:acff:fe12:2")
	to := func(kind uint8, src netip.Addr, target netip.Addr) frame.Frame {
		b := target.As16()
		return frame.Between(f.Web.MAC, allNodes).IP(src, netip.MustParseAddr("ff02::1")).TTL(255).ICMP(kind, 0, 0, b[:])
	}
	own, other, none := f.Web.IPv6, f.App.IPv6, netip.IPv6Unspecified()
	return []testCase{
		{name: "neighbour discovery", steps: []step{
			fromContainer(f.Web, to(frame.NeighborAdvert, own, own), passed(), nil),
			fromContainer(f.Web, to(frame.NeighborAdvert, linkLocal, linkLocal), passed(), nil),
			fromContainer(f.Web, to(frame.NeighborSolict, own, other), passed(), nil),
			fromContainer(f.Web, to(frame.NeighborSolict, none, own), passed(), nil),
			fromContainer(f.Web, to(frame.RouterSolicit, linkLocal, own).ICMP(frame.RouterSolicit, 0, 0, nil), passed(), nil),
		}},
		{name: "neighbour spoofing", steps: []step{
			fromContainer(f.Web, to(frame.NeighborAdvert, own, other), dropped(spoofedND), nil),
			fromContainer(f.Web, to(frame.NeighborAdvert, own, f.Net1.Gateway(true)), dropped(spoofedND), nil),
			fromContainer(f.Web, to(frame.NeighborAdvert, other, other), dropped(spoofedAddress), nil),
			fromContainer(f.Web, to(frame.NeighborAdvert, netip.MustParseAddr("fe80::1"), own), dropped(spoofedAddress), nil),
			fromContainer(f.Web, to(frame.RouterAdvert, linkLocal, own), dropped(spoofedND), nil),
			fromContainer(f.Web, to(frame.Redirect6, linkLocal, own), dropped(spoofedND), nil),
			fromContainer(f.Web, to(frame.RouterAdvert, linkLocal, own).Extensions(frame.HopByHop), dropped(spoofedND), nil),
			fromContainer(f.Web, raw(to(frame.RouterAdvert, linkLocal, own).Fragments(8)[0]), dropped(spoofedND), nil),
			fromContainer(f.Web, to(frame.NeighborAdvert, own, other).MACs(f.Web.MAC, f.App.MAC), dropped(spoofedND), nil),
		}},
		{name: "unspecified source to unicast", steps: []step{
			fromContainer(f.Web, f.sends(f.Web, f.addr(f.App)).From(none, 1).UDP(1, 2), dropped(spoofedAddress), nil),
		}},
		{name: "icc off lets neighbours be found", world: func(t *testing.T, h *rig.Host) { h.PutNetwork(t, f.Net1, rig.Default&^rig.ICC) }, steps: []step{
			fromContainer(f.Web, to(frame.NeighborSolict, own, other).MACs(f.Web.MAC, f.App.MAC).IP(own, other), delivered(f.App), nil),
			fromContainer(f.Web, to(frame.NeighborAdvert, own, own).MACs(f.Web.MAC, f.App.MAC).IP(own, other), delivered(f.App), nil),
		}},
	}
}
