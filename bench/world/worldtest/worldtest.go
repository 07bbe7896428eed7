// SPDX-License-Identifier: Apache-2.0

// Package worldtest has worlds for tests of workloads, which share one of an arm: to
// build a world takes far longer than to see that a workload works in it.
package worldtest

import (
	"slices"
	"strconv"
	"testing"

	"github.com/fairway-project/fairway/bench/plan"
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
