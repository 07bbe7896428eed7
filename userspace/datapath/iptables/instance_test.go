// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/model"
)

// There is one set of rules for each network namespace: while its owner may be at
// work, another instance neither takes it over nor removes it, even after a table was
// flushed.
func TestAnotherInstancesRules(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		fill(w)
		open := func(instance string, others bool) (d *Datapath) {
			w.in(w.host, func() (err error) {
				d, err = New(Options{Binaries: VariantBinaries(w.variant), Instance: instance, Others: others})
				return err
			})
			t.Cleanup(func() { must(t, d.Close()) })
			return d
		}
		base := w.saveTables()
		own := open("one", false)
		must(t, own.EnsureHost(t.Context(), model.Host{}))
		mine := w.saveTables()
		if mine == base {
			t.Error("rules of a version that wrote no instance weren't taken over")
		}
		other := open("two", true)
		if err := other.EnsureHost(t.Context(), model.Host{}); !errors.Is(err, ErrOccupied) {
			t.Errorf("EnsureHost of another instance: %v, want ErrOccupied", err)
		}
		must(t, other.Uninstall(t.Context()))
		if diff := cmp.Diff(mine, w.saveTables()); diff != "" {
			t.Errorf("another instance changed (-before +after):\n%s", diff)
		}
		w.iptables("-F")
		flushed := w.saveTables()
		must(t, other.Uninstall(t.Context()))
		if diff := cmp.Diff(flushed, w.saveTables()); diff != "" {
			t.Errorf("another instance changed after a flush (-before +after):\n%s", diff)
		}
		must(t, open("one", true).EnsureHost(t.Context(), model.Host{}))
		must(t, open("two", false).EnsureHost(t.Context(), model.Host{}))
		must(t, open("two", true).Uninstall(t.Context()))
		if j := w.journal(); j != nil {
			t.Errorf("after the uninstall of the one that took over there is a journal: %+v", j)
		}
	})
}

// journal of the host's IPv4 tables.
func (w *world) journal() (j *journal) {
	w.t.Helper()
	w.in(w.host, func() error {
		cur, err := VariantBinaries(w.variant).readTables(w.t.Context(), IPv4)
		j = readJournal(cur)
		return err
	})
	return j
}
