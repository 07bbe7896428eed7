// SPDX-License-Identifier: Apache-2.0

package packets

import (
	"context"
	"testing"
	"time"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/plan/plantest"
	"github.com/fairway-project/fairway/bench/world/worldtest"
	"github.com/fairway-project/fairway/test/harness"
)

// fewFlows are enough to begin and to end.
const fewFlows = 2048

// flows measures what many connections cost.
func (p *place) flows(t *testing.T) {
	w := flows{}
	p.steady(t, w, w.packets(plan.IPv4, fewFlows))
	for _, c := range []plan.Case{
		w.opening(plan.LANToPublished, plan.IPv4), w.opening(plan.ContainerToLAN, plan.IPv6), w.memory(plan.ContainerToLAN, plan.IPv4),
	} {
		// Beside so few, what else takes memory would show.
		if c.Flows = fewFlows; c.Value(measure) == ofMemory {
			c.Flows = maxSources
		}
		t.Run(c.Name(), func(t *testing.T) {
			p.Forget(t)
			s := subject(w, p.Arm, c)
			i := &opening{family: c.Family, steady: steady{world: p.World}}
			defer worldtest.Leave(t, i.leave)
			if err := i.enter(t.Context(), p.Env, s); err != nil {
				t.Fatal(err)
			}
			samples := plantest.Measure(t, i.measuring(s), s, short, 2)
			if bytes := samples[1].Values[0]; c.Value(measure) == ofMemory && (bytes < 100 || bytes > 2000) {
				t.Errorf("a connection takes %v bytes", bytes)
			}
		})
	}
}

// Requests are answered while connections end, and those do end.
func TestCollection(t *testing.T) {
	w := flows{}
	for _, arm := range []plan.Arm{plan.EBPF, plan.IPTables} {
		t.Run(string(arm), func(t *testing.T) {
			// They mostly wait.
			t.Parallel()
			env, s := plantest.WithFairway(t), subject(w, arm, w.collection(fewFlows))
			i := newCollection(s)
			o, err := i.options(env)
			if err != nil {
				t.Fatal(err)
			}
			i.world = worldtest.New(t, env, o)
			defer worldtest.Leave(t, i.steady.leave)
			defer worldtest.Leave(t, i.endSides)
			if err := i.enter(t.Context(), env); err != nil {
				t.Fatal(err)
			}
			plantest.Measure(t, patient{i, t}, s, collected, 1)
		})
	}
}

// patient waits after a slice until what expired is collected: a busy machine collects later.
type patient struct {
	*collection
	t *testing.T
}

func (p patient) Slice(ctx context.Context, d time.Duration) (plan.Sample, error) {
	sample, err := p.collection.Slice(ctx, d)
	harness.Eventually(p.t, "connections to be collected", func() error { return p.left(ctx) })
	return sample, err
}
