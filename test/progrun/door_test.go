// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"net/netip"
	"testing"

	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
	"github.com/fairway-project/fairway/userspace/model"
)

// toContainerCases: what bridge and stack deliver to a container.
func toContainerCases(f family) []testCase {
	unicast := switched(f, f.App, f.Web).UDP(1, 2)
	flooded := multicast(f)
	arp := frame.Between(f.App.MAC, broadcast).ARP(frame.ARP{SenderMAC: f.App.MAC, Sender: f.App.IPv4.As4()})
	noICC := func(t *testing.T, h *rig.Host) { h.PutNetwork(t, f.Net1, rig.Default&^rig.ICC) }
	cases := []testCase{
		{name: "from the host", steps: []step{
			toContainer(f.Web, "", unicast, passedTo(f.Web)), toContainer(f.Web, "br1", unicast, passedTo(f.Web)),
		}},
		{name: "from a peer", steps: []step{
			toContainer(f.Web, "app", flooded, passedTo(f.Web)), toContainer(f.Web, "app", arp, passedTo(f.Web)),
		}},
		{name: "from a peer, icc off", world: noICC, steps: []step{
			toContainer(f.Web, "app", flooded, dropped(iccReason)),
			toContainer(f.Web, "app", unicast, dropped(iccReason)),
			toContainer(f.Web, "app", arp, passedTo(f.Web)),
			toContainer(f.Web, "br1", unicast, dropped(iccReason)),
			toContainer(f.Web, "", unicast, passedTo(f.Web)),
		}},
		{name: "from another network", steps: []step{toContainer(f.Web, "db", unicast, dropped(isolated))}},
		{name: "from outside", steps: []step{
			toContainer(f.Web, "eth0", unicast, dropped(directRouting)), toContainer(f.Web, "br2", unicast, dropped(directRouting)),
		}},
		{name: "unmanaged", world: func(t *testing.T, h *rig.Host) { h.Unready(t, f.Web) }, steps: []step{
			toContainer(f.Web, "", unicast, dropped(unmanaged)), toContainer(rig.Endpoint{Name: "tun0"}, "", unicast, dropped(unmanaged)),
		}},
	}
	if !f.v6 {
		return cases
	}
	solicit := frame.Between(f.App.MAC, model.MAC{0x33, 0x33, 0xff, 0, 0, 2}).IP(f.App.IPv6, netip.MustParseAddr("ff02::1:ff00:2")).
		ICMP(frame.NeighborSolict, 0, 0, f.Web.IPv6.AsSlice())
	return append(cases, testCase{name: "neighbour discovery, icc off", world: noICC, steps: []step{
		toContainer(f.Web, "app", solicit, passedTo(f.Web)),
		toContainer(f.Web, "app", solicit.Echo(1), dropped(iccReason)),
		toContainer(f.Web, "app", solicit.ICMP(frame.MLD2Report, 0, 1, make([]byte, 1000)), dropped(iccReason)),
		toContainer(f.Web, "app", raw(solicit.ICMP(frame.NeighborSolict, 0, 0, make([]byte, 2000)).Fragments(pieceSize)[1]), dropped(iccReason)),
	}})
}

// leaves is a frame that the stack sends out of eth0.
func (f family) leaves(from, to netip.Addr) frame.Frame {
	return frame.Between(f.Eth0.MAC, f.RouterMAC).IP(from, to)
}

// toUplinkCases: what the stack sends out, the last place to stop it.
func toUplinkCases(f family) []testCase {
	own := f.leaves(f.host(), f.far()).TCP(40000, 443, "S")
	web := f.leaves(f.addr(f.Web), f.far()).UDP(5000, 53)
	sent := f.sends(f.Web, f.far()).UDP(5000, 53)
	wire := web.From(f.host(), 5000)
	back := wire.Reply().MACs(f.RouterMAC, f.Eth0.MAC)
	nobody := f.pick("172.18.0.99", "fd00:1::99")
	big := web.Payload(3000)
	cases := []testCase{
		{name: "the host's own", steps: []step{
			toUplink(f.Eth0, "", own, passed(), nil), toUplink(f.Eth0, "", own.UDP(1, 2), passed(), nil), toUplink(f.Eth0, "", own.Echo(1), passed(), nil),
		}},
		{name: "forwarded for others", steps: []step{toUplink(f.Eth0, "tun0", own.From(f.tunnel(), 1), passed(), nil)}},
		{name: "forwarded for a container", flows: 1, steps: []step{
			toUplink(f.Eth0, "br1", web, passed(), wire),
			toUplink(f.Eth0, "br1", web, passed(), wire),
			fromUplink(f.Eth0, back, delivered(f.Web), f.into(f.Web, back.To(f.addr(f.Web), 5000))),
		}},
		{name: "fragments", flows: 1, steps: pieces(
			func(in, out packet) step { return toUplink(f.Eth0, "br1", in, passed(), out) }, big, big.From(f.host(), 5000))},
		{name: "container's address, no container", steps: []step{
			toUplink(f.Eth0, "br1", web.From(nobody, 1), dropped(privateSource), nil),
			toUplink(f.Eth0, "", web.From(nobody, 1), dropped(privateSource), nil),
		}},
		{name: "gateway's address", steps: []step{
			toUplink(f.Eth0, "", web.From(f.Net1.Gateway(f.v6), 1), passed(), nil),
			toUplink(f.Eth0, "br1", web.From(f.Net1.Gateway(f.v6), 1), dropped(privateSource), nil),
		}},
		{name: "container's address, no flow", steps: []step{
			toUplink(f.Eth0, "br1", web.TCP(1, 2, "A"), dropped(noFlow), nil),
			toUplink(f.Eth0, "br1", unreachable(f, web, wire, whole), dropped(privateSource), nil),
			toUplink(f.Eth0, "br1", raw(big.Fragments(pieceSize)[1]), dropped(privateSource), nil),
			toUplink(f.Eth0, "br1", f.leaves(f.addr(f.Web), f.tunnel()).UDP(1, 2), dropped(noRoute), nil),
			toUplink(f.Eth0, "br1", f.leaves(f.addr(f.Web), f.refused()).UDP(1, 2), dropped(noRoute), nil),
		}},
		{name: "unreadable", steps: []step{
			toUplink(f.Eth0, "br1", raw(web.Bytes()[:14+flagOf(f, 20, 40)+4]), dropped(privateSource), nil),
			toUplink(f.Eth0, "", raw(own.Bytes()[:14+flagOf(f, 20, 40)+4]), passed(), nil),
		}},
		{
			name: "internal", steps: []step{toUplink(f.Eth0, "br1", web, dropped(internalReason), nil)},
			world: func(t *testing.T, h *rig.Host) { h.PutNetwork(t, f.Net1, rig.Default|rig.Internal) },
		},
		{
			name: "not masqueraded", flows: 1, steps: []step{toUplink(f.Eth0, "br1", web, passed(), nil)},
			world: func(t *testing.T, h *rig.Host) { h.PutNetwork(t, f.Net1, rig.IPv4|rig.IPv6|rig.ICC) },
		},
		{
			name: "not masqueraded, through an uplink on another", flows: 1, steps: []step{
				fromContainer(f.Web, sent, forwarded(), sent.Hop()),
				toUplink(f.Eth0, f.Web.Name, sent.Hop(), passed(), nil),
				toUplink(f.Eth0, f.App.Name, sent.Hop(), dropped(privateSource), nil),
			},
			world: func(t *testing.T, h *rig.Host) { h.PutNetwork(t, f.Net1, rig.IPv4|rig.IPv6|rig.ICC) },
		},
		{name: "container's address, from a stranger's device", steps: []step{
			toUplink(f.Eth0, "tun0", web, dropped(privateSource), nil),
			toUplink(f.Eth0, "tun0", web.TCP(6379, 443, "S"), dropped(privateSource), nil),
			toUplink(f.Eth0, "br2", web, dropped(privateSource), nil),
		}},
		{name: "container's flow, from a stranger's device", flows: 1, steps: []step{
			toUplink(f.Eth0, "br1", web, passed(), wire),
			toUplink(f.Eth0, "tun0", web, dropped(privateSource), nil),
		}},
		{name: "arp", steps: []step{toUplink(f.Eth0, "", frame.Between(f.Eth0.MAC, broadcast).ARP(frame.ARP{}), passed(), nil)}},
	}
	if f.v6 {
		exts := []byte{0, 60, 60, 60, 60, 60}
		cases = append(cases, testCase{name: "unreadable chain", steps: []step{
			toUplink(f.Eth0, "br1", web.Extensions(exts...), dropped(privateSource), nil),
		}})
	}
	return append(cases, collisionCases(f, own)...)
}

// collisionCases: a socket of the host uses the tuple that a container's flow was
// given. The host's is the older right, except against what is established.
func collisionCases(f family, own frame.Frame) []testCase {
	out := f.sends(f.Web, f.far())
	opened := func(x frame.Frame) step {
		return fromContainer(f.Web, x, forwarded(), x.From(f.host(), x.Src().Port()).Hop())
	}
	visit := f.arrives(f.client(), f.host()).UDP(50000, 8080)
	return []testCase{
		{name: "host meets an established connection", flows: 1, steps: append(session{f}.handshake(),
			toUplink(f.Eth0, "", own, dropped(hostPortInUse), nil),
			toUplink(f.Eth0, "", own.TCP(40001, 443, "S"), passed(), nil),
			toUplink(f.Eth0, "", own.TCP(40000, 444, "S"), passed(), nil),
			toUplink(f.Eth0, "", own.Flags("A"), passed(), nil),
			toUplink(f.Eth0, "tun0", own, passed(), nil),
		)},
		{name: "host meets a beginning", steps: []step{opened(out.TCP(40000, 443, "S")), toUplink(f.Eth0, "", own, passed(), nil)}},
		{name: "host meets udp", steps: []step{opened(out.UDP(40000, 53)), toUplink(f.Eth0, "", own.UDP(40000, 53), passed(), nil)}},
		{name: "host meets echo", steps: []step{opened(out.Echo(9)), toUplink(f.Eth0, "", own.Echo(9), passed(), nil)}},
		{name: "host's later fragments forget nothing", flows: 1, steps: []step{
			opened(out.UDP(0, 0)), toUplink(f.Eth0, "", raw(own.UDP(0, 0).Payload(2000).Fragments(pieceSize)[1]), passed(), nil),
		}},
		{name: "host answers from a published port", flows: 1, world: publishAny(f, protoUDP), steps: []step{
			fromUplink(f.Eth0, visit, delivered(f.Web), f.into(f.Web, visit.To(f.addr(f.Web), 80))),
			toUplink(f.Eth0, "", f.leaves(f.host(), f.client()).UDP(8080, 50000), passed(), nil),
		}},
	}
}
