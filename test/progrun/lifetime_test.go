// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/fairway-project/fairway/maps/host"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/test/progrun/rig"
)

// lifetimeCases: what becomes of flows when the world changes under them.
func lifetimeCases(f family) []testCase {
	out := f.sends(f.Web, f.far()).UDP(5000, 53)
	wire := out.From(f.host(), 5000).Hop()
	back := wire.Reply().MACs(f.RouterMAC, f.Eth0.MAC)
	opened := fromContainer(f.Web, out, forwarded(), wire)
	replaced := func(t *testing.T, h *rig.Host) { h.PutEndpoint(t, f.Web, rig.Generation+1) }
	with := func(s step, before func(*testing.T, *rig.Host)) step {
		s.before = before
		return s
	}
	return append([]testCase{
		{name: "former owner's answer", steps: []step{opened, with(fromUplink(f.Eth0, back, passed(), nil), replaced)}},
		{name: "new owner begins its own", flows: 1, steps: []step{opened, with(opened, replaced)}},
		{name: "endpoint not ready any more", steps: []step{
			opened, with(fromUplink(f.Eth0, back, passed(), nil), func(t *testing.T, h *rig.Host) { h.Unready(t, f.Web) }),
		}},
		{name: "condemned", flows: 1, steps: []step{
			opened, with(fromContainer(f.Web, out, dropped(flowExpiring), nil), condemnAll),
			fromUplink(f.Eth0, back, dropped(flowExpiring), nil),
		}},
	}, append(publishedLifetime(f), routeLifetime(f)...)...)
}

// condemnAll does what the collector does before it deletes.
func condemnAll(t *testing.T, h *rig.Host) {
	for _, half := range halves(t, h) {
		half.LastSeen = uint32(object.DatapathFlowLastSeenFLOW_DEAD)
		check(t, h.Flows.Put(half))
	}
}

func publishedLifetime(f family) []testCase {
	in := f.arrives(f.client(), f.host()).UDP(50000, 53)
	toWeb, toApp := f.into(f.Web, in.To(f.addr(f.Web), 5353)), f.into(f.App, in.To(f.addr(f.App), 5353))
	key := publish.Key{Addr: rig.Any(f.v6), Port: 53, Proto: protoUDP}
	publishWeb := func(t *testing.T, h *rig.Host) { h.Publish(t, key.Addr, 53, protoUDP, f.Web, 5353) }
	publishApp := func(t *testing.T, h *rig.Host) {
		h.Unready(t, f.Web)
		h.Publish(t, key.Addr, 53, protoUDP, f.App, 5353)
	}
	late := fromUplink(f.Eth0, in, delivered(f.Web), toWeb)
	late.before = publishWeb
	replaced := fromUplink(f.Eth0, in, delivered(f.App), toApp)
	replaced.before = publishApp
	closed := fromUplink(f.Eth0, in, passed(), nil)
	closed.before = func(t *testing.T, h *rig.Host) {
		h.Unpublish(t, key)
		h.Unready(t, f.Web)
	}
	return []testCase{
		{name: "published after the client began", flows: 1, steps: []step{fromUplink(f.Eth0, in, passed(), nil), late}},
		{name: "container replaced under a udp client", flows: 1, world: publishWeb, steps: []step{
			fromUplink(f.Eth0, in, delivered(f.Web), toWeb), replaced,
		}},
		{name: "closed with its container", world: publishWeb, steps: []step{fromUplink(f.Eth0, in, delivered(f.Web), toWeb), closed}},
	}
}

// routeLifetime: flows ask for their route again after routes changed, not before.
func routeLifetime(f family) []testCase {
	dst := f.pick("198.18.5.5", "2001:db8:18::5")
	prefix := f.pick("198.18.5.5", "2001:db8:18::5").String() + flagOf(f, "/32", "/128")
	out := f.sends(f.Web, dst).UDP(5000, 53)
	opened := fromContainer(f.Web, out, forwarded(), out.From(f.host(), 5000).Hop())
	again := opened
	again.before = func(t *testing.T, h *rig.Host) {
		h.Route(t, prefix, f.Eth1, f.Eth1.Router(f.v6))
		check(t, h.State.NewRoutes())
	}
	leaves := func(device string) func(*testing.T, *rig.Host) {
		return func(t *testing.T, h *rig.Host) {
			h.Route(t, prefix, f.Eth0, f.Eth0.Router(f.v6))
			for _, half := range halves(t, h) {
				if half.Origin() && half.OutIndex != uint32(h.Index[device]) {
					t.Errorf("leaves by %d, want %s: %s", half.OutIndex, device, half.String())
				}
			}
		}
	}
	unannounced := opened
	unannounced.before = func(t *testing.T, h *rig.Host) { h.Route(t, prefix, f.Eth1, f.Eth1.Router(f.v6)) }
	nowhere := fromContainer(f.Web, out, dropped(noRoute), nil)
	nowhere.before = func(t *testing.T, h *rig.Host) {
		check(t, h.State.DeleteUplink(h.Index["eth0"]))
		check(t, h.State.NewRoutes())
	}
	refused := fromContainer(f.Web, out, passed(), nil)
	refused.before = func(t *testing.T, h *rig.Host) {
		h.Refuse(t, prefix)
		check(t, errors.Join(h.State.NewRoutes(), h.State.NewRoutes()))
	}
	back := opened
	back.before = func(t *testing.T, h *rig.Host) {
		h.Route(t, prefix, f.Eth0, f.Eth0.Router(f.v6))
		check(t, h.State.NewRoutes())
	}
	outdated := func(t *testing.T, h *rig.Host) {
		h.Route(t, prefix, f.Eth0, f.Eth0.Router(f.v6))
		for _, half := range halves(t, h) {
			// 65,535 seconds later it would be the present one.
			now, err := h.State.RouteGeneration()
			check(t, err)
			if half.Origin() && half.RouteGeneration != now-1 {
				t.Errorf("route generation %d at %d: %s", half.RouteGeneration, now, half.String())
			}
		}
	}
	own := fromContainer(f.Web, out, dropped(noRoute), nil)
	own.before = func(t *testing.T, h *rig.Host) {
		h.AddAddress(t, "lo", netip.PrefixFrom(dst, dst.BitLen()))
		t.Cleanup(func() { h.DeleteAddress(t, "lo", netip.PrefixFrom(dst, dst.BitLen())) })
		check(t, errors.Join(h.State.PutAddress(dst, host.NoNetwork), h.State.NewRoutes()))
	}
	return []testCase{
		{name: "route refused and back", flows: 1, steps: []step{opened, refused, refused, back}},
		{name: "route refused for long", flows: 1, steps: []step{opened, refused}, after: outdated},
		{name: "address becomes the host's", steps: []step{opened, own, fromContainer(f.Web, out, passed(), nil)}},
		{name: "route changed", flows: 1, steps: []step{opened, again}, after: leaves("eth1")},
		{name: "route change not announced", flows: 1, steps: []step{opened, unannounced}, after: leaves("eth0")},
		{name: "route gone", flows: 1, steps: []step{opened, nowhere}},
	}
}
