// SPDX-License-Identifier: Apache-2.0

package packets

import (
	"os"
	"testing"

	"github.com/fairway-project/fairway/bench/load"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/plan/plantest"
)

func TestMain(m *testing.M) {
	load.Init(os.Args)
	os.Exit(m.Run())
}

func TestFlows(t *testing.T) {
	w := flows{}
	for _, c := range []plan.Case{
		w.packets(plan.IPv4, 4096), w.opening(plan.LANToPublished, plan.IPv4), w.opening(plan.ContainerToLAN, plan.IPv6), w.memory(plan.ContainerToLAN, plan.IPv4),
	} {
		c.Flows = min(c.Flows, 32768)
		for _, arm := range []plan.Arm{plan.EBPF, plan.IPTables} {
			t.Run(string(arm)+"/"+c.Name(), func(t *testing.T) {
				samples := plantest.Run(t, w, plantest.WithFairway(t), subject(w, arm, c), short, 2)
				if bytes := samples[1].Values[0]; c.Value(measure) == ofMemory && (bytes < 100 || bytes > 2000) {
					t.Errorf("a connection takes %v bytes", bytes)
				}
			})
		}
	}
}

// Requests are answered while connections end, and those do end.
func TestCollection(t *testing.T) {
	w := flows{}
	for _, arm := range []plan.Arm{plan.EBPF, plan.IPTables} {
		t.Run(string(arm), func(t *testing.T) {
			plantest.Run(t, w, plantest.WithFairway(t), subject(w, arm, w.collection(manyFlows)), collected, 1)
		})
	}
}
