// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"testing"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/test/progrun/rig"
)

// A full table refuses what is new and carries on what there is. An odd size
// leaves room for the first half of a connection, which mustn't stay alone.
func TestFullTableRefusesNewFlows(t *testing.T) {
	for _, size := range []uint32{4, 5} {
		h := rig.New(t, rig.Options{MaxEntries: map[string]uint32{object.DatapathMapFlows4: size, object.DatapathMapFlows6: size}})
		for name, f := range families() {
			out := f.sends(f.Web, f.far())
			h.Restore(t)
			t.Run(name, func(t *testing.T) {
				steps := goesOn(f, out.UDP(1001, 53), out.UDP(1002, 53))
				steps = append(steps, fromContainer(f.Web, out.UDP(1003, 53), dropped(tableFull), nil),
					fromUplink(f.Eth0, f.arrives(f.client(), f.host()).UDP(9, 8080), dropped(tableFull), nil),
					fromContainer(f.Web, f.sends(f.Web, f.host()).UDP(9, 8080), dropped(tableFull), nil))
				steps = append(steps, roundTrip(f, out.UDP(1001, 53))...)
				runCase(t, h, testCase{flows: 2, world: publishAny(f, protoUDP), steps: append(steps, roundTrip(f, out.UDP(1002, 53))...)})
			})
		}
	}
}
