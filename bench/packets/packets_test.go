// SPDX-License-Identifier: Apache-2.0

package packets

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/plan/plantest"
	"github.com/fairway-project/fairway/userspace/netns"
)

const short = 20 * time.Millisecond

func subject(w plan.Workload, arm plan.Arm, c plan.Case) plan.Subject {
	c.Workload = w.Name()
	return plan.Subject{Case: c, Arm: arm}
}

// Every arm measures something, and the ones that the comparison is about do it on
// every walk. Which way packets go is in the tests of bench/world.
func TestPPS(t *testing.T) {
	w := pps{}
	cases := map[plan.Arm][]plan.Case{
		plan.XDP:      {w.newCase(plan.LANToPublished, plan.IPv6, 65536)},
		plan.EBPF:     w.Cases(plan.Selection{Flows: []int{65536}}),
		plan.IPTables: w.Cases(plan.Selection{Flows: []int{65536}, Families: []plan.Family{plan.IPv4}}),
		plan.Redirect: w.Cases(plan.Selection{Flows: []int{65536}, Families: []plan.Family{plan.IPv4}}),
	}
	for _, arm := range w.Arms() {
		for _, c := range append(cases[arm], w.newCase(plan.LANToPublished, plan.IPv4, 1)) {
			t.Run(string(arm)+"/"+c.Name(), func(t *testing.T) {
				plantest.Run(t, w, plantest.WithFairway(t), subject(w, arm, c), short, 2)
			})
		}
	}
}

// A path that loses packets has no figure.
func TestLossFailsTheSlice(t *testing.T) {
	w := pps{}
	i := &steady{}
	s := subject(w, plan.Route, w.newCase(plan.LANToPublished, plan.IPv4, 1))
	if err := i.start(t.Context(), plantest.Env(t), s); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := i.Slice(t.Context(), short); err != nil {
		t.Fatal(err)
	}
	err := netns.Do(i.world.Host(), func() error {
		return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Slice(t.Context(), short); !errors.Is(err, plan.ErrWrongWay) {
		t.Errorf("slice through a host that doesn't forward: %v", err)
	}
}

// Tuples of a case are all different, and those of the way back are the same ones.
func TestSpread(t *testing.T) {
	for n, want := range map[int]uint32{1: 1, 16: 1, 32768: 1, 65536: 2, 262144: 8, 524288: 16} {
		if more, err := spread(n); err != nil || more != want {
			t.Errorf("spread of %d: %d, %v", n, more, err)
		}
	}
	for _, n := range []int{0, -1, 524289, 65537} {
		if more, err := spread(n); err == nil {
			t.Errorf("spread of %d: %d", n, more)
		}
	}
}
