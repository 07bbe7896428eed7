// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"errors"
	"testing"

	"github.com/fairway-project/fairway/maps/icc"
	"github.com/fairway-project/fairway/maps/network"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
)

// overlap is the standard world with network 2 in the subnet of network 1: db has the
// addresses and the MAC of web, other those of app.
type overlap struct {
	family
	other rig.Endpoint
}

func overlapOf(f family) overlap {
	f.Net2.Subnet4, f.Net2.Subnet6 = f.Net1.Subnet4, f.Net1.Subnet6
	f.DB.MAC, f.DB.IPv4, f.DB.IPv6 = f.Web.MAC, f.Web.IPv4, f.Web.IPv6
	// Its veth is a device of the world that nothing else here needs.
	other := rig.Endpoint{Name: "tun0", Slot: 4, Network: f.Net2.Slot, MAC: f.App.MAC, IPv4: f.App.IPv4, IPv6: f.App.IPv6}
	return overlap{f, other}
}

// put makes it so. The host's routes lead to network 1.
func (o overlap) put(t *testing.T, h *rig.Host, flags1, flags2 network.Flags) {
	h.PutNetwork(t, o.Net2, flags2)
	h.PutNetwork(t, o.Net1, flags1)
	h.PutEndpoint(t, o.DB, rig.Generation)
	h.PutEndpoint(t, o.other, rig.Generation)
	t.Cleanup(func() {
		e, err := h.Endpoints.Get(o.other.Slot)
		check(t, errors.Join(err, h.Endpoints.Forget(o.other.Slot, e)))
	})
}

// overlapCases: two networks with one subnet, and endpoints with the same addresses. They
// don't meet.
func overlapCases(f family) []testCase {
	o := overlapOf(f)
	both := func(t *testing.T, h *rig.Host) { o.put(t, h, rig.Default, rig.Default) }
	there := func(from, to rig.Endpoint) frame.Frame { return switched(o.family, from, to) }
	viaGateway := o.sends(o.DB, o.addr(o.other)).TCP(1, 2, "S")
	linked := func(in rig.Network) func(*testing.T, *rig.Host) {
		return func(t *testing.T, h *rig.Host) {
			o.put(t, h, rig.Default&^rig.ICC, rig.Default&^rig.ICC)
			check(t, h.Links.Put(icc.Hole{Network: in.Slot, From: o.addr(o.Web), To: o.addr(o.App), Port: 5432, Proto: protoTCP}, 1))
		}
	}
	routed := rig.Default | flagOf(f, rig.Routed4, rig.Routed6)
	direct := o.arrives(o.client(), o.addr(o.Web)).TCP(50000, 80, "S")
	left := o.leaves(o.addr(o.Web), o.client()).UDP(5000, 53)
	cases := []testCase{
		{name: "peers", world: both, steps: []step{
			fromContainer(o.Web, there(o.Web, o.App).TCP(1, 2, "S"), delivered(o.App), nil),
			fromContainer(o.DB, there(o.DB, o.other).TCP(1, 2, "S"), delivered(o.other), nil),
			fromContainer(o.other, there(o.other, o.DB).TCP(2, 1, "SA"), delivered(o.DB), nil),
		}},
		{name: "peer by the gateway", world: both, steps: []step{fromContainer(o.DB, viaGateway, passed(), nil)}},
		{name: "peer of the other network by the gateway", world: func(t *testing.T, h *rig.Host) {
			both(t, h)
			h.Unready(t, o.other)
		}, steps: []step{fromContainer(o.DB, viaGateway, dropped(noRoute), nil)}},
		{name: "link in one", world: linked(o.Net1), steps: []step{
			fromContainer(o.Web, there(o.Web, o.App).TCP(40000, 5432, "S"), delivered(o.App), nil),
			fromContainer(o.DB, there(o.DB, o.other).TCP(40000, 5432, "S"), dropped(iccReason), nil),
		}},
		{name: "link in the other", world: linked(o.Net2), steps: []step{
			fromContainer(o.Web, there(o.Web, o.App).TCP(40000, 5432, "S"), dropped(iccReason), nil),
			fromContainer(o.DB, there(o.DB, o.other).TCP(40000, 5432, "S"), delivered(o.other), nil),
		}},
		{name: "gateways", world: both, steps: []step{
			fromContainer(o.Web, o.sends(o.Web, o.Net1.Gateway(o.v6)).Echo(1), passed(), nil),
			fromContainer(o.DB, o.sends(o.DB, o.Net2.Gateway(o.v6)).Echo(1), passed(), nil),
		}},
		// From outside an address alone says which network is meant: the one that the host's routes lead to.
		{name: "direct, open in the other", world: func(t *testing.T, h *rig.Host) {
			o.put(t, h, rig.Default, rig.Default|flagOf(f, rig.Open4, rig.Open6))
		}, steps: []step{fromUplink(o.Eth0, direct, dropped(directRouting), nil)}},
		{name: "direct, published in the other", world: func(t *testing.T, h *rig.Host) {
			o.put(t, h, routed, routed)
			publishRouted(t, h, o.family, o.DB, 80)
		}, steps: []step{fromUplink(o.Eth0, direct, dropped(directRouting), nil)}},
		{name: "direct", flows: 1, world: func(t *testing.T, h *rig.Host) {
			o.put(t, h, routed, routed)
			publishRouted(t, h, o.family, o.Web, 80)
		}, steps: []step{fromUplink(o.Eth0, direct, delivered(o.Web), o.into(o.Web, direct))}},
		{name: "out of the stack", world: both, flows: 1, steps: []step{
			toUplink(o.Eth0, "br1", left, passed(), left.From(o.host(), 5000)),
			toUplink(o.Eth0, o.Web.Name, left, passed(), left.From(o.host(), 5000)),
			toUplink(o.Eth0, o.DB.Name, left, dropped(privateSource), nil),
			toUplink(o.Eth0, "br2", left, dropped(privateSource), nil),
			toUplink(o.Eth0, "eth1", left, dropped(privateSource), nil),
		}},
	}
	return append(cases, o.connectionCases(both)...)
}

// connectionCases: connections that look alike inside of two networks.
func (o overlap) connectionCases(both func(*testing.T, *rig.Host)) []testCase {
	published := func(t *testing.T, h *rig.Host) {
		both(t, h)
		for port, e := range map[uint16]rig.Endpoint{8080: o.Web, 8081: o.DB} {
			h.Publish(t, rig.Any(o.v6), port, protoTCP, e, 80)
			h.Publish(t, rig.Any(o.v6), port, protoUDP, e, 80)
		}
	}
	in := o.arrives(o.client(), o.host())
	out := o.sends(o.Web, o.far()).UDP(5000, 53)
	wire := out.From(o.host(), 5000).Hop()
	answer := wire.Reply().MACs(o.RouterMAC, o.Eth0.MAC).TTL(64)
	twin := o.sends(o.DB, o.far()).UDP(5000, 53)
	datagram := o.sends(o.DB, o.far()).UDP(5001, 53).Payload(2000)
	pieces := datagram.Fragments(pieceSize)
	outPieces := datagram.From(o.host(), 5001).Hop().Fragments(pieceSize)
	refused := o.into(o.Web, in.UDP(50000, 8080).To(o.addr(o.Web), 80))
	return []testCase{
		// The same client, with the same port: each container sees the same addresses and ports.
		{name: "published tcp", world: published, flows: 2, steps: join(
			visit(o.family, in.TCP(50000, 8080, "S"), o.Web, 80), visit(o.family, in.TCP(50000, 8081, "S"), o.DB, 80),
			visit(o.family, in.TCP(50000, 8080, "A"), o.Web, 80), visit(o.family, in.TCP(50000, 8081, "A"), o.DB, 80),
		)},
		{name: "published udp", world: published, flows: 2, steps: join(
			visit(o.family, in.UDP(50000, 8080), o.Web, 80), visit(o.family, in.UDP(50000, 8081), o.DB, 80),
		)},
		{name: "answer of the other's", world: published, flows: 1, steps: join(
			visit(o.family, in.TCP(50000, 8080, "S"), o.Web, 80),
			one(fromContainer(o.DB, o.sends(o.DB, o.client()).TCP(80, 50000, "SA"), dropped(noFlow), nil)),
		)},
		{name: "error about the other's", world: published, flows: 1, steps: join(
			visit(o.family, in.UDP(50000, 8080), o.Web, 80),
			one(fromContainer(o.DB, unreachable(o.family, o.sends(o.DB, o.client()), refused, whole), dropped(noFlow), nil)),
		)},
		// The second one has another port outside.
		{name: "masqueraded", world: both, flows: 2, steps: []step{
			fromContainer(o.Web, out, forwarded(), wire),
			anyPacket(rig.FromContainer, o.DB.Name, twin, forwarded()),
			fromUplink(o.Eth0, answer, delivered(o.Web), o.into(o.Web, answer.To(o.addr(o.Web), 5000))),
		}, after: func(t *testing.T, h *rig.Host) { requireDistinctSources(t, h) }},
		{name: "fragments", world: both, flows: 1, steps: []step{
			fromContainer(o.DB, raw(pieces[0]), forwarded(), raw(outPieces[0])),
			fromContainer(o.Web, raw(o.sends(o.Web, o.far()).UDP(5001, 53).Payload(2000).Fragments(pieceSize)[1]), parked(), nil),
			fromContainer(o.DB, raw(pieces[1]), forwarded(), raw(outPieces[1])),
		}},
		// db has the very address of the target.
		{name: "hairpin", world: published, flows: 1, steps: hairpin(o.family, o.DB, o.Web, 8080, 80, true)},
		{name: "hairpin of each to itself", world: published, flows: 2, steps: join(
			hairpin(o.family, o.Web, o.Web, 8080, 80, false), hairpin(o.family, o.DB, o.DB, 8081, 80, false),
		)},
		{name: "host meets one of two", world: published, flows: 1, steps: join(
			hairpin(o.family, o.DB, o.Web, 8080, 80, false), hairpin(o.family, o.Web, o.DB, 8081, 80, false),
			one(toContainer(o.Web, "", frame.Between(o.Net1.MAC, o.Web.MAC).IP(o.Net1.Gateway(o.v6), o.addr(o.Web)).UDP(45000, 80), passedTo(o.Web))),
		)},
	}
}
