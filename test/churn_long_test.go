// SPDX-License-Identifier: Apache-2.0

//go:build long

package test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/harness"
)

// envChurn is how long TestLongServiceChurn edits, as in 30m.
const envChurn = "FAIRWAY_TEST_CHURN"

// Services and their backends are made, changed, killed and removed for a while, and so is the
// daemon. Clients of every kind ask all the time, and each answer names who gave it: it is one who
// may at that moment, and there is one wherever somebody serves. In the end nothing is left.
func TestLongServiceChurn(t *testing.T) {
	length := 75 * time.Second
	if text := os.Getenv(envChurn); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s: %v", envChurn, err)
		}
	}
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA, "--ip-range", fmt.Sprintf("172.%d.0.0/25", numA))
		e.Network(t, "b", numB, "--ip-range", fmt.Sprintf("172.%d.0.0/25", numB))
		e.Network(t, "c", numI)
		client, stranger := e.Sandbox(t, "client", "--network", "a"), e.Sandbox(t, "stranger", "--network", "c")
		// A bridge has a link-local address from its first port on.
		e.Sandbox(t, "stays", "--network", "b")
		harness.Eventually(t, "the daemon to know the host's addresses", func() error {
			there := make(map[string]bool)
			for line := range strings.Lines(e.Host.Must(t, "ip", "-o", "addr")) {
				addr, _, _ := strings.Cut(strings.Fields(line)[3], "/")
				there[addr] = true
			}
			known, linkLocal := len(there), harness.CountLines(e.Host.Must(t, "ip", "-o", "-6", "addr", "show", "type", "bridge"), "fe80::")
			if e.Mode == harness.EBPF {
				known = int(mapEntries(t, e)["host_addrs"])
			}
			if known < len(there) || linkLocal < 3 {
				return fmt.Errorf("%d of %d, with %d bridges' link-local ones", known, len(there), linkLocal)
			}
			return nil
		})
		before, entries := harness.Look(t, e), mapEntries(t, e)
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		s := newStir(t, e, rand.New(rand.NewPCG(seed, 0)))
		crowd := newCrowd(t, e, s.book, s.all, client, stranger)
		next, reported := time.Now().Add(length), time.Now()
		for time.Now().Before(next) && !t.Failed() {
			what := s.stir(t)
			crowd.advance(t, 30)
			if time.Since(reported) > time.Minute {
				reported = time.Now()
				t.Logf("%d edits, the last is %s; %s", s.edits, what, crowd.tally())
			}
		}
		crowd.stop()
		t.Logf("%d edits: %v; %s", s.edits, s.counts, crowd.tally())
		if t.Failed() {
			return
		}
		s.removeAll(t)
		if diff := before.Diff(harness.Look(t, e)); diff != "" {
			t.Errorf("left behind:\n%s", diff)
		}
		harness.Eventually(t, "no flow of a service to be left", func() error {
			if out := e.Must(t, "flow", "ls"); strings.Contains(out, "svc") {
				return fmt.Errorf("flows:\n%s", out)
			}
			return nil
		})
		harness.Eventually(t, "the tables to hold no more than before", func() error {
			for name, n := range mapEntries(t, e) {
				if n > entries[name] {
					return fmt.Errorf("map %s has %d entries, had %d", name, n, entries[name])
				}
			}
			return nil
		})
	}, harness.Own())
}
