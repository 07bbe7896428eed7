// SPDX-License-Identifier: Apache-2.0

package packets

import (
	"testing"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/plan/plantest"
)

// The flood is sent and arrives, and clients are counted, served or not.
func TestFlood(t *testing.T) {
	w := flood{}
	for arm, family := range map[plan.Arm]plan.Family{plan.EBPF: plan.IPv4, plan.XDP: plan.IPv4, plan.IPTables: plan.IPv6} {
		t.Run(string(arm), func(t *testing.T) {
			plantest.Run(t, w, plantest.WithFairway(t), subject(w, arm, w.newCase(family, synFlood)), 3*settle, 1)
		})
	}
	t.Run("datagrams", func(t *testing.T) {
		plantest.Run(t, w, plantest.WithFairway(t), subject(w, plan.EBPF, w.newCase(plan.IPv4, udpFlood)), 3*settle, 1)
	})
}
