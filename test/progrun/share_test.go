// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"testing"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/share"
	"github.com/fairway-project/fairway/test/progrun/rig"
)

const (
	flowShare = object.DatapathDropReasonDROP_FLOW_SHARE
	portShare = object.DatapathDropReasonDROP_PORT_SHARE
)

// opens is a first packet of e's to port 53 of f.far(), and what becomes of it.
func opens(f family, e rig.Endpoint, port uint16, want verdict) step {
	p := f.sends(e, f.far()).UDP(port, 53)
	s := fromContainer(e, p, want, nil)
	s.free = true
	return s
}

// answered is opens, and the answer.
func answered(f family, e rig.Endpoint, port uint16) []step {
	out := f.sends(e, f.far()).UDP(port, 53)
	wire := out.From(f.host(), port).Hop()
	back := wire.Reply().MACs(f.RouterMAC, f.Eth0.MAC)
	return []step{
		fromContainer(e, out, forwarded(), wire),
		fromUplink(f.Eth0, back, delivered(e), f.into(e, out.Reply().TTL(64))),
	}
}

// keptUp is answered for each port, for so long that the flows are assured.
func keptUp(f family, e rig.Endpoint, first, n uint16) (steps []step) {
	for range 2 {
		for i := range n {
			steps = append(steps, answered(f, e, first+i)...)
		}
	}
	steps[2*n].before = func(t *testing.T, h *rig.Host) { h.Age(t, 2*touchJiffies+1) }
	return steps
}

func putShare(s share.Share) func(*testing.T, *rig.Host) {
	return func(t *testing.T, h *rig.Host) { check(t, h.Shares.Put(s, 1)) }
}

func wantOpen(t *testing.T, h *rig.Host, f family, slot int, want int32) {
	t.Helper()
	got, err := h.Shares.Open(slot)
	check(t, err)
	if n := got[flagOf(f, share.IPv4, share.IPv6)]; n != want {
		t.Errorf("slot %d has %d connections, want %d", slot, n, want)
	}
}

// One endpoint has the whole table but for what two others are sure of. They get that
// much, and no more while the table is full.
func TestFlowShares(t *testing.T) {
	const room, sure = 16, 2
	h := rig.New(t, rig.Options{
		MaxEntries: map[string]uint32{
			object.DatapathMapFlows4: 2 * room, object.DatapathMapFlows6: 2 * room, object.DatapathMapRecent4: 4, object.DatapathMapRecent6: 4,
		},
		Constants: map[string]any{object.DatapathVarRecentMask: uint32(3)},
	})
	shares := putShare(share.Share{Sure: [2]uint32{sure, sure}, Common: [2]uint32{room - 2*sure, room - 2*sure}, Others: 2})
	for name, f := range families() {
		t.Run(name+"/kept up", func(t *testing.T) {
			steps := keptUp(f, f.Web, 1001, room-2*sure)
			steps = append(steps, opens(f, f.Web, 2001, dropped(flowShare)))
			for _, e := range []rig.Endpoint{f.App, f.DB} {
				steps = append(steps, opens(f, e, 3001, forwarded()), opens(f, e, 3002, forwarded()))
			}
			// What half-open there is, the others are sure of: nobody takes it.
			steps = append(steps, opens(f, f.Web, 2002, dropped(flowShare)), opens(f, f.App, 3003, dropped(flowShare)))
			runCase(t, h, testCase{world: shares, flows: room, steps: steps})
			wantOpen(t, h, f, int(f.Web.Slot), room-2*sure)
			wantOpen(t, h, f, int(f.App.Slot), sure)
			wantOpen(t, h, f, share.All, room)
			refused, err := h.Counters.Endpoint(f.Web.Slot)
			check(t, err)
			if refused.FlowsRefused != 2 || refused.PortsRefused != 0 {
				t.Errorf("%d and %d were refused, want 2 and 0", refused.FlowsRefused, refused.PortsRefused)
			}
			if n := collect(t, h, judge(t, h)); n != room {
				t.Errorf("%d were collected", n)
			}
			wantOpen(t, h, f, int(f.Web.Slot), 0)
			wantOpen(t, h, f, share.All, 0)
		})
		t.Run(name+"/half-open", func(t *testing.T) {
			var steps []step
			for i := range uint16(room - 2*sure) {
				steps = append(steps, opens(f, f.Web, 1001+i, forwarded()))
			}
			// The first makes room for what the other one took.
			steps = append(steps, opens(f, f.App, 3001, forwarded()),
				opens(f, f.Web, 2001, dropped(flowShare)), opens(f, f.Web, 2001, dropped(flowShare)))
			for i := range uint16(8) {
				steps = append(steps, opens(f, f.Web, 2001+i, forwarded())) // in the place of its own
			}
			late := f.sends(f.App, f.far()).UDP(3001, 53).From(f.host(), 3001).Reply().MACs(f.RouterMAC, f.Eth0.MAC)
			answer := fromUplink(f.Eth0, late, delivered(f.App), nil)
			answer.free = true
			runCase(t, h, testCase{world: shares, flows: room - 2*sure, steps: append(steps, answer)})
			wantOpen(t, h, f, int(f.App.Slot), 1)
		})
	}
}

// Who opens a connection through a published port answers for it, not whose port it is.
func TestOpenerAnswers(t *testing.T) {
	h := rig.New(t, rig.Options{})
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			p := f.sends(f.Web, f.host()).UDP(4001, 8080)
			s := fromContainer(f.Web, p, delivered(f.DB), nil)
			s.free = true
			publish := func(t *testing.T, h *rig.Host) { h.Publish(t, rig.Any(f.v6), 8080, protoUDP, f.DB, 80) }
			runCase(t, h, testCase{world: publish, flows: 1, steps: []step{s}})
			wantOpen(t, h, f, int(f.Web.Slot), 1)
			wantOpen(t, h, f, int(f.DB.Slot), 0)
			if n := collect(t, h, judge(t, h)); n != 1 {
				t.Errorf("%d were collected", n)
			}
			wantOpen(t, h, f, int(f.Web.Slot), 0)
			wantOpen(t, h, f, share.All, 0)
		})
	}
}

// The ports towards one destination are divided in the same way.
func TestPortShares(t *testing.T) {
	const first, ports, sure = 50000, 16, 2
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			// Of its own, because nothing empties the counts of ports.
			h := rig.New(t, rig.Options{Constants: map[string]any{
				object.DatapathVarMasqueradePortMin: uint16(first), object.DatapathVarMasqueradePortMax: uint16(first + ports - 1),
			}})
			shares := putShare(share.Share{SurePorts: 1 << 16 * sure / ports, Others: 2})
			var steps []step
			for i := range uint16(ports - 2*sure) {
				steps = append(steps, opens(f, f.Web, first+i, forwarded()))
			}
			steps = append(steps, opens(f, f.Web, first+ports-1, dropped(portShare)))
			elsewhere := fromContainer(f.Web, f.sends(f.Web, f.far()).UDP(first, 54), forwarded(), nil)
			elsewhere.free = true
			steps = append(steps, elsewhere)
			for _, e := range []rig.Endpoint{f.App, f.DB} {
				steps = append(steps, opens(f, e, first, forwarded()), opens(f, e, first+1, forwarded()),
					opens(f, e, first+2, dropped(portShare)))
			}
			runCase(t, h, testCase{world: shares, flows: ports + 1, steps: steps})
			refused, err := h.Counters.Endpoint(f.App.Slot)
			check(t, err)
			if refused.FlowsRefused != 0 || refused.PortsRefused != 1 {
				t.Errorf("%d and %d were refused, want 0 and 1", refused.FlowsRefused, refused.PortsRefused)
			}
			if n := collect(t, h, judge(t, h)); n != ports+1 {
				t.Errorf("%d were collected", n)
			}
			runSteps(t, h, opens(f, f.Web, first+ports-1, forwarded()))
		})
	}
}

func runSteps(t *testing.T, h *rig.Host, steps ...step) {
	t.Helper()
	for i, s := range steps {
		runStep(t, h, i, s)
	}
}

// The counts are right when several CPUs open and forget one flow, and with collection
// between.
func TestConnectionsAreCountedUnderTraffic(t *testing.T) {
	h := rig.New(t, rig.Options{Constants: map[string]any{object.DatapathVarTouchJiffies: uint32(0)}})
	threads := h.Threads(t, 2)
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			h.Restore(t)
			out := f.sends(f.Web, f.far()).UDP(5000, 53)
			stop := traffic(h, threads, out, out)
			for range 300 {
				collect(t, h, wholeFlows(judge(t, h)))
			}
			check(t, stop())
			left := int32(checkPairs(t, h))
			wantOpen(t, h, f, int(f.Web.Slot), left)
			wantOpen(t, h, f, share.All, left)
		})
	}
}
