// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"fmt"
	"testing"

	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/test/progrun/rig"
)

// counters are packets by what happened to them; zeroes are left out.
type counters map[string]uint64

func (c counters) minus(o counters) counters {
	moved := counters{}
	for name, n := range c {
		if n -= o[name]; n != 0 {
			moved[name] = n
		}
	}
	return moved
}

func verdictName(p rig.Program, action int32) string {
	return fmt.Sprintf("program %d action %d", p, action)
}

func dropName(r reason, d object.DatapathDirection) string {
	return fmt.Sprintf("drop %d direction %d", r, d)
}

func parkedName(d object.DatapathDirection) string { return fmt.Sprintf("parked, direction %d", d) }

func receiveName(slot uint16) string { return fmt.Sprintf("endpoint %d received", slot) }

// directionOf a program is the way that its packets go, seen from a container.
func directionOf(p rig.Program) object.DatapathDirection {
	if p == rig.FromContainer || p == rig.ToUplink {
		return object.DatapathDirectionDIR_TRANSMIT
	}
	return object.DatapathDirectionDIR_RECEIVE
}

func expectedCounters(s step) counters {
	// What isn't cut into segments yet counts as many packets as it will be.
	n := uint64(max(1, s.run.Segments))
	if s.single {
		n = 1
	}
	want := counters{verdictName(s.run.Program, s.want.action): n}
	if s.want.parked {
		want[parkedName(directionOf(s.run.Program))] = n
	}
	if s.want.action == rig.Drop && !s.want.parked {
		want[dropName(s.want.reason, directionOf(s.run.Program))] = n
	}
	if s.want.told != 0 {
		want[dropName(s.want.told, directionOf(s.run.Program))] = n
	}
	if s.want.to != 0 {
		want[receiveName(s.want.to)] = n
	}
	return want
}

func readCounters(tb testing.TB, h *rig.Host) counters {
	tb.Helper()
	c := counters{}
	for p := range object.DatapathProgramPROG_MAX {
		for v, action := range []int32{rig.Redirect, rig.Next, rig.Drop} {
			n, err := h.Counters.Verdicts(p, object.DatapathVerdict(v))
			check(tb, err)
			c[verdictName(p, action)] = n.Packets
		}
	}
	drops, err := h.Dropped.Counts()
	check(tb, err)
	for _, d := range drops {
		c[dropName(d.Reason.Value, d.Direction)] = d.Packets
	}
	for d := range object.DatapathDirectionDIR_MAX {
		n, err := h.Counters.Parked(d)
		check(tb, err)
		c[parkedName(d)] = n.Packets
	}
	// Those of the world, and one more that a test may put.
	for slot := h.Web.Slot; slot <= h.DB.Slot+1; slot++ {
		n, err := h.Counters.Endpoint(slot)
		check(tb, err)
		c[receiveName(slot)] = n.Receive.Packets
	}
	return c
}

// halves reads the flow table.
func halves(tb testing.TB, h *rig.Host) map[flow.Key]flow.Half {
	tb.Helper()
	all := make(map[flow.Key]flow.Half)
	for half, err := range h.Flows.All() {
		check(tb, err)
		all[half.Key] = half
	}
	return all
}

// checkPairs verifies the flow table and returns the number of connections.
func checkPairs(tb testing.TB, h *rig.Host) int {
	tb.Helper()
	all := halves(tb, h)
	if err := pairsError(all); err != nil {
		tb.Error(err)
	}
	return len(all) / 2
}

// pairsError finds a half whose inverse isn't there, or without one origin of both.
func pairsError(all map[flow.Key]flow.Half) error {
	for key, half := range all {
		twin, ok := all[half.Twin()]
		switch {
		case !ok:
			return fmt.Errorf("no twin of %s", half.String())
		case twin.Twin() != key:
			return fmt.Errorf("twin's twin of %s is %s", key, twin.Twin())
		case twin.Origin() == half.Origin():
			return fmt.Errorf("not one origin: %s and %s", half.String(), twin.String())
		case half.NATSrc != twin.Dst || half.NATDst != twin.Src:
			return fmt.Errorf("not inverse: %s and %s", half.String(), twin.String())
		}
	}
	return nil
}

func flowText(tb testing.TB, h *rig.Host) string {
	text := ""
	for _, half := range halves(tb, h) {
		text += half.String() + "\n"
	}
	return text
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
