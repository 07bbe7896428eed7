// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/object"
)

// What one process attached and stored, the next one finds, and nothing is
// detached in between. Where it would load the same programs it has those, too.
func TestNextProcessAdopts(t *testing.T) {
	i := newInstance(t)
	dev := i.device(t, "up0")
	first := i.open(t)
	half := putFlow(t, first)
	i.do(t, func() error {
		return errors.Join(first.Attach(dev, FromUplink), first.Attach(dev, ToUplink), first.AttachSockets())
	})
	before := i.programs(t, dev)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if got := i.programs(t, dev); !cmp.Equal(got, before) {
		t.Errorf("Close changed the programs from %v to %v", before, got)
	}
	var logged bytes.Buffer
	i.cfg.Logger = slog.New(slog.NewTextHandler(&logged, nil))
	i.cfg.FlowTableSize = 8192 // takes effect with new maps only
	second := i.open(t)
	if !strings.Contains(logged.String(), "entries=4096 asked_for=8192") {
		t.Errorf("nothing was said of the tables' size: %q", logged.String())
	}
	if got := i.programs(t, dev); first.Adopted() || !second.Adopted() || !cmp.Equal(got, before) {
		t.Errorf("adopted %t and then %t, programs %v and then %v", first.Adopted(), second.Adopted(), before, got)
	}
	if _, found, err := flow.New(second.Maps()).Lookup(half.Key); !found || err != nil {
		t.Errorf("flow of the earlier process: found %t, %v", found, err)
	}
	i.do(t, func() error { return errors.Join(second.Attach(dev, FromUplink), second.AttachSockets()) })
	if again := i.programs(t, dev); !cmp.Equal(again, before) {
		t.Errorf("attaching twice changed %v to %v", before, again)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	third := i.loadsAnew(t, before, func() error { i.cfg.FirstPacket = true; return nil })
	if _, found, err := flow.New(third.Maps()).Lookup(half.Key); !found || err != nil {
		t.Errorf("flow of the earlier processes: found %t, %v", found, err)
	}
	i.do(t, third.Uninstall)
	if left := i.programs(t, dev); len(left) != 0 {
		t.Errorf("programs are left: %v", left)
	}
	if err := third.Close(); err != nil {
		t.Fatal(err)
	}
}

// loadsAnew opens once more after a change, and expects other programs on the uplink.
func (i *instance) loadsAnew(t *testing.T, before []ebpf.ProgramID, change func() error) *Loader {
	t.Helper()
	if err := change(); err != nil {
		t.Fatal(err)
	}
	l := i.open(t)
	for dev := range i.uplinks(t, l) {
		after := i.programs(t, dev)
		if l.Adopted() || len(after) != len(before) || after[0] == before[0] {
			t.Errorf("adopted %t, programs %v and then %v", l.Adopted(), before, after)
		}
	}
	if all, err := names(i.cfg.programsDir()); err != nil || len(all) != 1 || all[0] != l.fingerprint {
		t.Errorf("programs %v are pinned, want %s, %v", all, l.fingerprint, err)
	}
	return l
}

// uplinks are the devices that something is attached to.
func (i *instance) uplinks(t *testing.T, l *Loader) map[int]bool {
	t.Helper()
	all := make(map[int]bool)
	i.do(t, func() error {
		attached, err := l.Attachments()
		for _, a := range attached {
			if a.Index != 0 {
				all[a.Index] = true
			}
		}
		return err
	})
	if len(all) == 0 {
		t.Error("nothing is attached to any device")
	}
	return all
}

// What isn't whole isn't adopted: programs that were being pinned when a process was
// killed, some that somebody removed, or that use a table which isn't in its place.
func TestAdoptsOnlyWhatIsWhole(t *testing.T) {
	i := newInstance(t)
	dev := i.device(t, "up0")
	l := i.open(t)
	i.do(t, func() error { return l.Attach(dev, FromUplink) })
	generation := func() string { return filepath.Join(i.cfg.programsDir(), l.fingerprint) }
	for _, damage := range []func() error{
		func() error {
			return os.Rename(generation(), filepath.Join(i.cfg.programsDir(), unfinished+l.fingerprint))
		},
		func() error { return os.Remove(filepath.Join(generation(), string(ToUplink))) },
		func() error { return os.RemoveAll(i.cfg.programsDir()) },
		func() error { return os.Remove(i.pin(t, object.DatapathMapDrops)) },
	} {
		before := i.programs(t, dev)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = i.loadsAnew(t, before, damage)
		// And the next one has all that it needs.
		before = i.programs(t, dev)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = i.open(t)
		if got := i.programs(t, dev); !l.Adopted() || !cmp.Equal(got, before) {
			t.Errorf("adopted %t, programs %v and then %v", l.Adopted(), before, got)
		}
	}
	defer l.Close()
	i.do(t, l.Uninstall)
}

// Maps that nothing depends on may have had another layout: they are begun anew, and
// connections stay.
func TestExpendableMapsAreBegunAnew(t *testing.T) {
	i := newInstance(t)
	first := i.open(t)
	half := putFlow(t, first)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		object.DatapathMapScratches, object.DatapathMapVerdicts, object.DatapathMapDrops,
		object.DatapathMapFrags, object.DatapathMapBusyFrags, object.DatapathMapFragRates,
		object.DatapathMapParkedRows, object.DatapathMapParkedFrames, object.DatapathMapParkedLarges, object.DatapathMapParkRates,
		object.DatapathMapAnswerRates,
		object.DatapathMapSpareFrames, object.DatapathMapParkedCounts,
	} {
		replaceMap(t, i.pin(t, name))
	}
	second := i.open(t)
	defer second.Close()
	if _, found, err := flow.New(second.Maps()).Lookup(half.Key); !found || err != nil {
		t.Errorf("flow of the earlier process: found %t, %v", found, err)
	}
	i.do(t, second.Uninstall)
}

// replaceMap pins one of another layout.
func replaceMap(t *testing.T, path string) {
	t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := errors.Join(os.Remove(path), m.Pin(path)); err != nil {
		t.Fatal(err)
	}
}

// With flow tables that can't be read beside them, programs are replaced by Switch only,
// and the other tables go then.
func TestSwitchFromUnreadableTables(t *testing.T) {
	i := newInstance(t)
	dev := i.device(t, "up0")
	i.cfg.Build = "v1 earlier"
	first := i.open(t)
	i.do(t, func() error { return errors.Join(first.Attach(dev, FromUplink), first.AttachSockets()) })
	before := i.programs(t, dev)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	i.cfg.Build, i.cfg.Logger = "v2 later", slog.New(slog.NewTextHandler(&logged, nil))
	home := filepath.Dir(i.pin(t, object.DatapathMapFlows4))
	replaceMap(t, filepath.Join(home, object.DatapathMapFlows4))
	older := filepath.Join(i.cfg.mapsDir(), flowGroup+"-0-0123456789abcdef")
	if err := os.Rename(home, older); err != nil {
		t.Fatal(err)
	}
	second := i.open(t)
	defer second.Close()
	i.do(t, func() error { return errors.Join(second.Attach(dev, FromUplink), second.AttachSockets()) })
	if got := i.programs(t, dev); !second.Switching() || !cmp.Equal(got, before) {
		t.Errorf("before Switch: switching %t, programs %v, want %v", second.Switching(), got, before)
	}
	if !strings.Contains(logged.String(), "break once") || !strings.Contains(logged.String(), `tables_of="v1 earlier"`) || second.Replaced() != nil {
		t.Errorf("before Switch: replaced %+v, logged %s", second.Replaced(), logged.String())
	}
	i.do(t, second.Switch)
	if r := second.Replaced(); r == nil || r.Of != "v1 earlier" || !r.Broke || i.cfg.maker() != "v2 later" {
		t.Errorf("after Switch: replaced %+v, next one is told of %q", r, i.cfg.maker())
	}
	if got := i.programs(t, dev); second.Switching() || len(got) != 1 || got[0] == before[0] {
		t.Errorf("after Switch: switching %t, programs %v", second.Switching(), got)
	}
	if _, err := os.Stat(older); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("older maps are left: %v", err)
	}
	i.do(t, second.Uninstall)
}
