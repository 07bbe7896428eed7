// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"net/netip"
	"testing"

	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
)

// publishRouted opens e's own address and port, as gateway mode routed does.
func publishRouted(t *testing.T, h *rig.Host, f family, e rig.Endpoint, port uint16) {
	h.PublishEntry(t, publish.Key{Addr: f.addr(e), Port: port, Proto: protoTCP, Network: e.Network}, publish.Entry{
		Target: netip.AddrPortFrom(f.addr(e), port), Endpoint: e.Slot, Generation: rig.Generation, Routed: true,
	})
}

// directCases: from outside straight to a container's address.
func directCases(f family) []testCase {
	in := f.arrives(f.client(), f.addr(f.Web)).TCP(50000, 80, "S")
	inside := f.into(f.Web, in)
	answer := inside.Reply().Flags("SA")
	with := func(flags ...func(*testing.T, *rig.Host)) func(*testing.T, *rig.Host) {
		return func(t *testing.T, h *rig.Host) {
			for _, set := range flags {
				set(t, h)
			}
		}
	}
	open := func(t *testing.T, h *rig.Host) { h.PutNetwork(t, f.Net1, rig.Default|flagOf(f, rig.Open4, rig.Open6)) }
	routed := func(t *testing.T, h *rig.Host) {
		h.PutNetwork(t, f.Net1, rig.IPv4|rig.IPv6|rig.ICC|flagOf(f, rig.Routed4, rig.Routed6))
		publishRouted(t, h, f, f.Web, 80)
	}
	trusts := func(t *testing.T, h *rig.Host) {
		h.PutNetwork(t, f.Net1, rig.Default|rig.Trusts)
		h.Trust(t, f.Net1, f.Eth0.Device)
		publishRouted(t, h, f, f.Web, 80)
	}
	both := []step{
		fromUplink(f.Eth0, in, delivered(f.Web), inside),
		fromContainer(f.Web, answer, forwarded(), answer.Hop()),
	}
	return []testCase{
		{name: "refused", steps: []step{
			fromUplink(f.Eth0, in, dropped(directRouting), nil),
			fromUplink(f.Eth0, in.UDP(1, 2), dropped(directRouting), nil),
			fromUplink(f.Eth0, in.Echo(1), dropped(directRouting), nil),
			fromUplink(f.Eth0, in.Proto(frame.GRE), dropped(directRouting), nil),
			fromUplink(f.Eth0, raw(in.UDP(1, 2).Payload(2000).Fragments(1480)[1]), dropped(directRouting), nil),
		}},
		{name: "open", world: open, steps: both, flows: 1},
		{name: "open, nobody's address", world: open, steps: []step{
			fromUplink(f.Eth0, in.To(f.pick("172.18.0.99", "fd00:1::99"), 80), dropped(endpointGone), nil),
		}},
		{name: "open, client who can't be answered", world: open, steps: []step{
			fromUplink(f.Eth0, f.arrives(f.pick("0.0.0.0", "::"), f.addr(f.Web)).TCP(1, 80, "S"), dropped(martian), nil),
			fromUplink(f.Eth0, f.arrives(f.pick("0.0.0.0", "fe80::9"), f.addr(f.Web)).TCP(1, 80, "S"), dropped(martian), nil),
			fromUplink(f.Eth0, f.arrives(f.pick("0.0.0.0", "fe80::9"), f.addr(f.Web)).Proto(frame.GRE), dropped(martian), nil),
		}},
		{name: "open, answer of nothing", world: open, steps: []step{fromUplink(f.Eth0, in.Flags("SA"), dropped(noFlow), nil)}},
		{name: "routed", world: routed, flows: 2, steps: append(both,
			fromUplink(f.Eth0, in.TCP(50000, 81, "S"), dropped(directRouting), nil),
			fromUplink(f.Eth0, in.Echo(9), delivered(f.Web), inside.Echo(9)),
		)},
		{name: "trusted device", world: trusts, flows: 1, steps: append(both,
			fromUplink(f.Eth0, in.TCP(50000, 81, "S"), dropped(directRouting), nil),
			fromUplink(f.Eth0, in.UDP(50000, 80), dropped(directRouting), nil),
			fromUplink(f.Eth0, in.Echo(9), dropped(directRouting), nil),
			fromUplink(f.Eth0, in.Proto(frame.GRE), dropped(directRouting), nil),
			fromUplink(f.Eth1, in.MACs(f.RouterMAC, f.Eth1.MAC).TCP(50001, 80, "S"), dropped(directRouting), nil),
		)},
		{name: "trusted device, internal", world: func(t *testing.T, h *rig.Host) {
			trusts(t, h)
			h.PutNetwork(t, f.Net1, rig.Default|rig.Trusts|rig.Internal)
		}, steps: []step{fromUplink(f.Eth0, in, dropped(internalReason), nil)}},
		{name: "device of another network's trust", world: func(t *testing.T, h *rig.Host) {
			h.PutNetwork(t, f.Net1, rig.Default|rig.Trusts)
			h.Trust(t, f.Net2, f.Eth0.Device)
			publishRouted(t, h, f, f.Web, 80)
		}, steps: []step{fromUplink(f.Eth0, in, dropped(directRouting), nil)}},
		{name: "internal", world: with(open, func(t *testing.T, h *rig.Host) {
			h.PutNetwork(t, f.Net1, rig.Default|rig.Internal|flagOf(f, rig.Open4, rig.Open6))
		}), steps: []step{fromUplink(f.Eth0, in, dropped(internalReason), nil)}},
		{name: "gateway is the host's to answer", steps: []step{
			fromUplink(f.Eth0, f.arrives(f.client(), f.Net1.Gateway(f.v6)).Echo(1), passed(), nil),
		}},
	}
}
