// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/object"
)

// Another map, or fewer, concerns nobody: no program waits and no connection is touched.
func TestAnotherMapChangesNothing(t *testing.T) {
	i := newInstance(t)
	first := i.open(t)
	half := putFlow(t, first)
	flows, err := mapID(i.pin(t, object.DatapathMapFlows4))
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	// A version that hadn't the one, and had another.
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	former := filepath.Join(i.cfg.mapsDir(), "former-1-"+legacy)
	err = errors.Join(os.RemoveAll(filepath.Dir(i.pin(t, object.DatapathMapFrags))), os.RemoveAll(i.cfg.programsDir()),
		os.Mkdir(former, 0o700), m.Pin(filepath.Join(former, "former")))
	if err != nil {
		t.Fatal(err)
	}
	second := i.open(t)
	defer second.Close()
	if _, found, err := flow.New(second.Maps()).Lookup(half.Key); !found || err != nil {
		t.Errorf("flow of the earlier process: found %t, %v", found, err)
	}
	if id, err := mapID(i.pin(t, object.DatapathMapFlows4)); id != flows || err != nil {
		t.Errorf("the flow table is map %d, was %d, %v", id, flows, err)
	}
	if second.Switching() || second.Replaced() != nil || exists(former) {
		t.Errorf("switching %t, replaced %+v, former map left %t", second.Switching(), second.Replaced(), exists(former))
	}
	i.do(t, second.Uninstall)
}

// pin is where a map is pinned.
func (i *instance) pin(t *testing.T, name string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(i.cfg.mapsDir(), "*", name))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s is pinned at %v, %v", name, found, err)
	}
	return found[0]
}

// What a later version left isn't touched: not its tables, nor its programs.
func TestNewerTablesAreRefused(t *testing.T) {
	i := newInstance(t)
	dev := i.device(t, "up0")
	first := i.open(t)
	i.do(t, func() error { return first.Attach(dev, FromUplink) })
	programs := i.programs(t, dev)
	home := filepath.Dir(i.pin(t, object.DatapathMapFlows4))
	newer := filepath.Join(i.cfg.mapsDir(), fmt.Sprintf("%s-%d-%s", flowGroup, 1000, legacy))
	if err := errors.Join(first.Close(), os.Rename(home, newer)); err != nil {
		t.Fatal(err)
	}
	before := i.pins(t)
	i.do(t, func() error {
		l, err := Open(i.cfg)
		if err == nil {
			return errors.Join(errors.New("tables of a later revision were taken"), l.Close())
		}
		if !errors.Is(err, ErrNewerTables) || !strings.Contains(err.Error(), "revision 1000 of flows, and this version knows") {
			t.Errorf("refused with %v", err)
		}
		return nil
	})
	if diff := cmp.Diff(before, i.pins(t)); diff != "" {
		t.Errorf("pins (-before +after):\n%s", diff)
	}
	if got := i.programs(t, dev); !cmp.Equal(got, programs) {
		t.Errorf("programs were %v and are %v", programs, got)
	}
	i.do(t, func() error { return Remove(i.cfg) })
}

// Groups that this version doesn't know are a later version's, but a single table's own.
func TestUnknownGroupIsRefused(t *testing.T) {
	i := newInstance(t)
	first := i.open(t)
	home := filepath.Dir(i.pin(t, object.DatapathMapEndpoints))
	unknown := filepath.Join(i.cfg.mapsDir(), "later-1-"+legacy)
	if err := errors.Join(first.Close(), os.Rename(home, unknown)); err != nil {
		t.Fatal(err)
	}
	i.do(t, func() error {
		l, err := Open(i.cfg)
		if !errors.Is(err, ErrNewerTables) || !strings.Contains(err.Error(), "no group later") {
			t.Errorf("refused with %v", err)
		}
		if err == nil {
			return l.Close()
		}
		return nil
	})
	i.do(t, func() error { return Remove(i.cfg) })
}

// A start that was killed between two tables that have one size doesn't leave them with two.
func TestHalfOfTheFlowTables(t *testing.T) {
	i := newInstance(t)
	first := i.open(t)
	rings := []string{i.pin(t, object.DatapathMapRecent4), i.pin(t, object.DatapathMapRecent6)}
	want := first.Maps().Recent4.MaxEntries()
	if err := errors.Join(first.Close(), os.Remove(rings[1]), os.RemoveAll(i.cfg.programsDir())); err != nil {
		t.Fatal(err)
	}
	i.cfg.FlowTableSize = 8192
	second := i.open(t)
	defer second.Close()
	if got := second.Maps().Recent6.MaxEntries(); got != want {
		t.Errorf("rings have %d and %d entries", want, got)
	}
	i.do(t, second.Uninstall)
}

// Small flow tables have little room for what sockets were led to, too, and a later start takes
// what there is.
func TestOriginsFollowTheFlowTables(t *testing.T) {
	i := newInstance(t)
	for _, asked := range []uint32{4096, 8192} {
		i.cfg.FlowTableSize = asked
		l := i.open(t)
		if got := l.Maps().SocketOrigins.MaxEntries(); got != 4096 {
			t.Errorf("asked for flow tables of %d: room for %d sockets, want 4096", asked, got)
		}
		i.do(t, l.Close)
	}
	i.do(t, func() error { return Remove(i.cfg) })
}

// pins lists all that is in the instance's directory.
func (i *instance) pins(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(i.cfg.Dir, func(path string, _ os.DirEntry, err error) error {
		all = append(all, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
