// SPDX-License-Identifier: Apache-2.0

// Package worldtest has worlds for tests of workloads, which share one of an arm: to
// build a world takes far longer than to see that a workload works in it.
package worldtest

import (
	"slices"
	"strconv"
	"testing"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/plan/plantest"
	"github.com/fairway-project/fairway/bench/world"
)

// New builds a world, which the end of the test closes. Its tables have room for twice
// the connections that the options ask for, and no more.
func New(t testing.TB, env plan.Env, o world.Options) *world.World {
	t.Helper()
	if o.Connections > 0 {
		o.DaemonArgs = append(slices.Clone(o.DaemonArgs), "--flow-table-size", strconv.Itoa(4*o.Connections))
	}
	w, err := world.New(t.Context(), env, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return w
}

// Place is a world of an arm that all cases of a package fit into.
type Place struct {
	Arm   plan.Arm
	Env   plan.Env
	World *world.World
}

// NewPlace builds a place with a daemon of this source, which the end of the test closes.
func NewPlace(t testing.TB, o world.Options) Place {
	t.Helper()
	env := plantest.WithFairway(t)
	return Place{o.Arm, env, New(t, env, o)}
}

// Forget makes the place as it was before any connection.
func (p Place) Forget(t testing.TB) {
	t.Helper()
	if err := p.World.Forget(); err != nil {
		t.Fatal(err)
	}
}

// Leave is to be deferred with what takes a workload out of a place again.
func Leave(t testing.TB, leave func() error) {
	t.Helper()
	if err := leave(); err != nil {
		t.Errorf("leave: %v", err)
	}
}
