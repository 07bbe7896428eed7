// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/model"
)

// flush removes all rules and chains of tables of one family, as the command
// "iptables -F; iptables -X" does with filter.
func (w *world) flush(f Family, tables ...string) {
	w.t.Helper()
	for _, table := range tables {
		for _, what := range []string{"-F", "-X"} {
			w.run(w.host, fmt.Sprintf("%s-%s -w -t %s %s", command(f), w.variant, table, what))
		}
	}
}

func command(f Family) string {
	if f == IPv4 {
		return "iptables"
	}
	return "ip6tables"
}

// sorted are the lines of tables as a multiset.
func sorted(tables string) []string { return slices.Sorted(strings.Lines(tables)) }

// withoutFacts leaves out what only the journal knew.
func withoutFacts(tables string) string {
	var keep []string
	for line := range strings.Lines(tables) {
		if !strings.Contains(line, `"fairway:`) {
			keep = append(keep, line)
		}
	}
	return strings.Join(keep, "")
}

// A daemon that starts after one table was flushed, with its journal, knows the
// other tables for Fairway's and makes the one anew.
func TestStartsAfterFlushOfOneTable(t *testing.T) {
	for _, f := range families {
		t.Run(f.String(), func(t *testing.T) {
			forVariants(t, func(t *testing.T, w *world) {
				want := fill(w)
				before := withoutProxy(withoutFacts(w.saveTables()))
				w.flush(f, tableFilter)
				next := w.open()
				if err := next.kernel[IPv6].broken; err != nil {
					t.Fatalf("IPv6 after a flush of %s: %v", f, err)
				}
				w.sayAgain(next, want)
				after := withoutProxy(withoutFacts(w.saveTables()))
				if diff := cmp.Diff(sorted(before), sorted(after)); diff != "" {
					t.Errorf("tables after a flush and a restart (-before +after):\n%s", diff)
				}
				must(t, next.Uninstall(t.Context()))
			})
		})
	}
}

// A daemon that lives on mends flushed tables without saying a second time what
// stands in the others.
func TestMendsFlushedTablesOnly(t *testing.T) {
	for _, f := range families {
		t.Run(f.String(), func(t *testing.T) {
			forVariants(t, func(t *testing.T, w *world) {
				must(t, w.d.Uninstall(t.Context()))
				base := w.saveTables()
				fill(w)
				n := w.network(4)
				before := w.saveTables()
				must(t, w.d.DeleteNetwork(t.Context(), n.ID))
				w.flush(f, tableFilter, tableNAT)
				must(t, w.d.EnsureNetwork(t.Context(), n))
				if diff := cmp.Diff(sorted(before), sorted(w.saveTables())); diff != "" {
					t.Errorf("tables mended by a change (-before +after):\n%s", diff)
				}
				must(t, w.d.Uninstall(t.Context()))
				if diff := cmp.Diff(base, w.saveTables()); diff != "" {
					t.Errorf("tables after Uninstall (-before +after):\n%s", diff)
				}
			})
		})
	}
}

// A change that only adds rules finds out that its table was flushed, although
// all chains are there.
func TestAdditionMendsFlushedTable(t *testing.T) {
	for _, table := range tableOrder {
		t.Run(table, func(t *testing.T) {
			forVariants(t, func(t *testing.T, w *world) {
				want := fill(w)
				must(t, w.d.Prune(t.Context(), want))
				for _, f := range families {
					w.run(w.host, fmt.Sprintf("%s-%s -w -t %s -F", command(f), w.variant, table))
				}
				c := w.container(want.Networks[0], 3)
				w.publish(c, publish(c, 7070, 70, model.TCP))
				after := w.saveTables()
				must(t, w.d.Prune(t.Context(), w.d.state.desired()))
				if diff := cmp.Diff(sorted(w.saveTables()), sorted(after)); diff != "" {
					t.Errorf("tables mended by an addition (-as wanted +mended):\n%s", diff)
				}
			})
		})
	}
}

// Whoever reads the counters finds what was flushed, without any change.
func TestStatsMendsFlushedTable(t *testing.T) {
	for _, table := range tableOrder {
		t.Run(table, func(t *testing.T) {
			forVariants(t, func(t *testing.T, w *world) {
				fill(w)
				w.iptables("-I FORWARD -i wg0 -j ACCEPT")
				before := w.saveTables()
				_, err := w.d.Stats(t.Context())
				must(t, err)
				if diff := cmp.Diff(before, w.saveTables()); diff != "" {
					t.Errorf("tables that nobody flushed (-before +after):\n%s", diff)
				}
				for _, f := range families {
					w.run(w.host, fmt.Sprintf("%s-%s -w -t %s -F", command(f), w.variant, table))
				}
				_, err = w.d.Stats(t.Context())
				must(t, err)
				gone := "-A FORWARD -i wg0 -j ACCEPT\n"
				want := sorted(strings.ReplaceAll(before, gone, ""))
				if diff := cmp.Diff(want, sorted(strings.ReplaceAll(w.saveTables(), gone, ""))); diff != "" {
					t.Errorf("tables after a flush (-before +after):\n%s", diff)
				}
			})
		})
	}
}
