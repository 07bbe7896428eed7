// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// watched is a datapath's world with a clock of its own and a log to read.
type watched struct {
	*world
	at  time.Time
	log bytes.Buffer
}

func (w *world) watch() *watched {
	o := &watched{world: w, at: time.Now()}
	w.d.now = func() time.Time { return o.at }
	w.d.log = slog.New(slog.NewTextHandler(&o.log, nil))
	return o
}

// look reads the counters after some time.
func (w *watched) look(after time.Duration) {
	w.t.Helper()
	w.at = w.at.Add(after)
	_, err := w.d.Stats(w.t.Context())
	must(w.t, err)
}

// warned demands that the log has n lines.
func (w *watched) warned(n int) {
	w.t.Helper()
	if got := strings.Count(w.log.String(), "\n"); got != n {
		w.t.Errorf("%d lines in the log, want %d:\n%s", got, n, w.log.String())
	}
}

// A program that removes a rule again and again gets its way for longer and longer, up to
// a minute; other damage is mended at once all the same.
func TestMendsWhatComesBackLessOften(t *testing.T) {
	forVariants(t, func(t *testing.T, world *world) {
		want := fill(world)
		must(t, world.d.Prune(t.Context(), want))
		w := world.watch()
		const jump = "-A FORWARD -j DOCKER-FORWARD\n"
		gone := func() bool { return strings.Count(w.saveTables(), jump) < 2 } // one of each family
		remove := func() { w.iptables("-D FORWARD -j DOCKER-FORWARD") }
		for range 2 {
			remove()
			w.look(0)
			if gone() {
				t.Fatal("not mended at once")
			}
			w.look(0)
		}
		w.warned(2)
		for _, wait := range []time.Duration{5, 10, 20, 40, 60, 60} {
			remove()
			w.look(wait*time.Second - 1)
			if !gone() {
				t.Errorf("mended before %d s", wait)
			}
			if notes := w.notes(); !strings.Contains(notes, "IPv4 rules in filter/FORWARD are gone each time") {
				t.Errorf("status says %s", notes)
			}
			w.look(1)
			if gone() {
				t.Fatalf("not mended after %d s", wait)
			}
		}
		w.warned(2)
		remove()
		w.iptables("-F DOCKER-FORWARD")
		w.look(0)
		if gone() {
			t.Error("other damage isn't mended at once")
		}
		w.warned(3)
		w.look(2 * maxWait)
		remove()
		w.look(0)
		if gone() {
			t.Error("damage that stayed away for long isn't mended at once")
		}
		w.warned(4)
		for range 6 {
			remove()
			w.look(20 * time.Second)
			if gone() {
				t.Error("damage that comes back seldom isn't mended at once")
			}
		}
		w.warned(5)
	})
}

// A rule that iptables prints in another way than it was written seems to be gone for
// ever. Each mend adds one, so that there must be few.
func TestMendsSeldomWhatPrintsDifferently(t *testing.T) {
	world := newWorld(t, "nft")
	want := fill(world)
	must(t, world.d.Prune(t.Context(), want))
	w := world.watch()
	wrap(t, &w.d.bins.Save4, fmt.Sprintf(`%s "$@" | sed 's/-A FORWARD -j DOCKER-FORWARD$/-A FORWARD -m all -j DOCKER-FORWARD/'; exit`, w.d.bins.Save4))
	for range 10 {
		w.look(0)
	}
	w.warned(2)
	for range 60 { // a minute
		w.look(time.Second)
	}
	w.warned(2)
	if count := strings.Count(w.saveTables(), "-A FORWARD -j DOCKER-FORWARD\n"); count > 9 {
		t.Errorf("%d rules after some looks", count)
	}
}
