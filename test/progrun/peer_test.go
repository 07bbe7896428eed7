// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"testing"

	"github.com/fairway-project/fairway/maps/icc"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
	"github.com/fairway-project/fairway/userspace/model"
)

// switched is a frame from one container of net1 to the other.
func switched(f family, from, to rig.Endpoint) frame.Frame {
	return frame.Between(from.MAC, to.MAC).IP(f.addr(from), f.addr(to))
}

// peerCases: container to container on one network. The packet isn't touched, not
// even its TTL, and no state is kept.
func peerCases(f family) []testCase {
	there := switched(f, f.Web, f.App)
	noICC := func(t *testing.T, h *rig.Host) { h.PutNetwork(t, f.Net1, rig.Default&^rig.ICC) }
	linked := func(t *testing.T, h *rig.Host) {
		noICC(t, h)
		check(t, h.Links.Put(icc.Hole{Network: f.Web.Network, From: f.addr(f.Web), To: f.addr(f.App), Port: 5432, Proto: protoTCP}, f.Web.Slot))
	}
	back := switched(f, f.App, f.Web)
	viaGateway := f.sends(f.Web, f.addr(f.App)).TCP(1, 2, "S")
	return []testCase{
		{name: "all protocols", steps: []step{
			fromContainer(f.Web, there.TCP(1, 2, "S"), delivered(f.App), nil),
			fromContainer(f.Web, there.TCP(1, 2, "A"), delivered(f.App), nil),
			fromContainer(f.Web, there.UDP(1, 2), delivered(f.App), nil),
			fromContainer(f.Web, there.UDP(1, 2).NoChecksum(), delivered(f.App), nil),
			fromContainer(f.Web, there.SCTP(1, 2), delivered(f.App), nil),
			fromContainer(f.Web, there.Echo(1), delivered(f.App), nil),
			fromContainer(f.Web, there.Proto(frame.GRE), delivered(f.App), nil),
			fromContainer(f.Web, there.UDP(1, 2).TTL(1), delivered(f.App), nil),
			fromContainer(f.Web, there.UDP(1, 2).Payload(1472), delivered(f.App), nil),
		}},
		{name: "fragments", steps: []step{
			fromContainer(f.Web, raw(there.UDP(1, 2).Payload(2000).Fragments(1480)[1]), delivered(f.App), nil),
			fromContainer(f.Web, raw(there.UDP(1, 2).Payload(2000).Fragments(1480)[0]), delivered(f.App), nil),
		}},
		// The stack would take them as for the gateway, past all policy.
		{name: "MAC of nobody, of another network, of the host's", steps: []step{
			fromContainer(f.Web, there.MACs(f.Web.MAC, model.MAC{2, 1, 2, 3, 4, 5}).UDP(1, 2), dropped(endpointGone), nil),
			fromContainer(f.Web, there.MACs(f.Web.MAC, f.DB.MAC).UDP(1, 2), dropped(endpointGone), nil),
			fromContainer(f.Web, there.MACs(f.Web.MAC, f.Eth0.MAC).UDP(1, 2), dropped(endpointGone), nil),
		}},
		{name: "peer gone", world: func(t *testing.T, h *rig.Host) { h.Unready(t, f.App) }, steps: []step{
			fromContainer(f.Web, there.UDP(1, 2), dropped(endpointGone), nil),
		}},
		{name: "icc off", world: noICC, steps: []step{
			fromContainer(f.Web, there.TCP(1, 2, "S"), dropped(iccReason), nil),
			fromContainer(f.Web, there.Echo(1), dropped(iccReason), nil),
			fromContainer(f.Web, there.Proto(frame.GRE), dropped(iccReason), nil),
			fromContainer(f.Web, viaGateway, dropped(iccReason), nil),
		}},
		{name: "icc link", world: linked, steps: []step{
			fromContainer(f.Web, there.TCP(40000, 5432, "S"), delivered(f.App), nil),
			fromContainer(f.App, back.TCP(5432, 40000, "SA"), delivered(f.Web), nil),
			fromContainer(f.Web, there.TCP(40000, 5433, "S"), dropped(iccReason), nil),
			fromContainer(f.Web, there.UDP(40000, 5432), dropped(iccReason), nil),
			fromContainer(f.App, back.TCP(40000, 5432, "S"), dropped(iccReason), nil),
		}},
		{name: "by the gateway", steps: []step{fromContainer(f.Web, viaGateway, passed(), nil)}},
		{name: "nobody by the gateway", steps: []step{
			fromContainer(f.Web, f.sends(f.Web, f.pick("172.18.0.99", "fd00:1::99")).TCP(1, 2, "S"), dropped(noRoute), nil),
		}},
	}
}

// betweenCases: from one network to an endpoint of another.
func betweenCases(f family) []testCase {
	out := f.sends(f.Web, f.addr(f.DB)).TCP(40000, 80, "S")
	there := f.into(f.DB, out)
	answer := there.Reply().Flags("SA")
	open := func(t *testing.T, h *rig.Host) { h.PutNetwork(t, f.Net2, rig.Default|flagOf(f, rig.Open4, rig.Open6)) }
	routed := func(t *testing.T, h *rig.Host) {
		h.PutNetwork(t, f.Net2, rig.Default|flagOf(f, rig.Routed4, rig.Routed6))
		publishRouted(t, h, f, f.DB, 80)
	}
	return []testCase{
		{name: "isolated", steps: []step{
			fromContainer(f.Web, out, dropped(isolated), nil),
			fromContainer(f.Web, out.UDP(1, 2), dropped(isolated), nil),
			fromContainer(f.Web, out.Echo(1), dropped(isolated), nil),
			fromContainer(f.Web, out.Proto(frame.GRE), dropped(isolated), nil),
		}},
		{name: "gateway of the other", steps: []step{
			fromContainer(f.Web, f.sends(f.Web, f.Net2.Gateway(f.v6)).Echo(1), dropped(isolated), nil),
		}},
		{name: "nobody's address", steps: []step{
			fromContainer(f.Web, f.sends(f.Web, f.pick("172.19.9.9", "fd00:2::99")).UDP(1, 2), dropped(isolated), nil),
		}},
		{name: "open", world: open, flows: 1, steps: []step{
			fromContainer(f.Web, out, delivered(f.DB), there),
			fromContainer(f.DB, answer, delivered(f.Web), f.into(f.Web, answer)),
		}},
		{name: "open, middle of nothing", world: open, steps: []step{fromContainer(f.Web, out.Flags("SA"), dropped(noFlow), nil)}},
		{name: "routed", world: routed, flows: 2, steps: []step{
			fromContainer(f.Web, out, delivered(f.DB), there),
			fromContainer(f.DB, answer, delivered(f.Web), f.into(f.Web, answer)),
			fromContainer(f.Web, out.TCP(40000, 81, "S"), dropped(isolated), nil),
			fromContainer(f.Web, out.Echo(5), delivered(f.DB), there.Echo(5)),
			fromContainer(f.Web, out.EchoReply(6), dropped(isolated), nil),
		}},
		{name: "trusted bridge", flows: 1, world: func(t *testing.T, h *rig.Host) {
			h.PutNetwork(t, f.Net2, rig.Default|rig.Trusts)
			h.Trust(t, f.Net2, f.Net1.Device)
			publishRouted(t, h, f, f.DB, 80)
		}, steps: []step{
			fromContainer(f.Web, out, delivered(f.DB), there),
			fromContainer(f.DB, answer, delivered(f.Web), f.into(f.Web, answer)),
			fromContainer(f.Web, out.TCP(40000, 81, "S"), dropped(isolated), nil),
			fromContainer(f.Web, out.Echo(5), dropped(isolated), nil),
		}},
		{
			name: "out of an internal network", steps: []step{fromContainer(f.Web, out, dropped(internalReason), nil)},
			world: func(t *testing.T, h *rig.Host) { open(t, h); h.PutNetwork(t, f.Net1, rig.Default|rig.Internal) },
		},
		{
			name: "into an internal network", steps: []step{fromContainer(f.Web, out, dropped(isolated), nil)},
			world: func(t *testing.T, h *rig.Host) {
				h.PutNetwork(t, f.Net2, rig.Default|rig.Internal|flagOf(f, rig.Open4, rig.Open6))
			},
		},
	}
}
