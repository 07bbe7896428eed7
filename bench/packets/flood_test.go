// SPDX-License-Identifier: Apache-2.0

package packets

import (
	"testing"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/plan/plantest"
	"github.com/fairway-project/fairway/bench/world/worldtest"
)

// floods sends what the arm is tested with: it arrives, and clients are counted, served
// or not.
func (p *place) floods(t *testing.T) {
	w := flood{}
	for _, c := range map[plan.Arm][]plan.Case{
		plan.EBPF:     {w.newCase(plan.IPv4, synFlood), w.newCase(plan.IPv4, udpFlood)},
		plan.XDP:      {w.newCase(plan.IPv4, synFlood)},
		plan.IPTables: {w.newCase(plan.IPv6, synFlood)},
	}[p.Arm] {
		t.Run(w.Name()+"/"+c.Name(), func(t *testing.T) {
			p.Forget(t)
			s := subject(w, p.Arm, c)
			i := &siege{world: p.World}
			defer worldtest.Leave(t, i.leave)
			// Less than tables hold: what a full one does is no matter of this package.
			if err := i.enter(t.Context(), p.Env, s, fewFlows); err != nil {
				t.Fatal(err)
			}
			plantest.Measure(t, i, s, 3*settle/2, 1)
		})
	}
}
