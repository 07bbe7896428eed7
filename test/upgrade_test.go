// SPDX-License-Identifier: Apache-2.0

package test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/test/harness"
)

// notes is what the daemon says about itself.
func notes(t *testing.T, e *harness.Env) string {
	t.Helper()
	return e.Must(t, "status")
}

// A start over programs and tables that are what it would load takes them as they are;
// with another setting it loads its own. Nothing is lost in either.
func TestRestartAdoptsPrograms(t *testing.T) {
	const adopted, loaded = "adopted as they were", "were loaded by this start"
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		w := newKillWorld(t, e)
		if said := notes(t, e); !strings.Contains(said, loaded) {
			t.Errorf("a first start says:\n%s", said)
		}
		before := programs(t, e.Daemon)
		for range 2 {
			e.Daemon.Kill(t)
			e.Daemon.Start(t)
			if said := notes(t, e); !strings.Contains(said, adopted) || !strings.Contains(e.Daemon.Log(), "programs adopted") {
				t.Errorf("a restart says:\n%s", said)
			}
			if diff := cmp.Diff(before, programs(t, e.Daemon)); diff != "" {
				t.Errorf("pinned programs (-before +after):\n%s", diff)
			}
			w.flows.Advance(t, 100)
			w.fresh(t, "adopted")
		}
		e.Daemon.Stop(t)
		e.Daemon.Args = append(e.Daemon.Args, "--masquerade-ports", "20000-30000")
		e.Daemon.Start(t)
		if said := notes(t, e); !strings.Contains(said, loaded) {
			t.Errorf("a restart with other settings says:\n%s", said)
		}
		w.flows.Advance(t, 100)
		w.fresh(t, "loaded")
		w.flows.Stop(t)
	}, harness.OnlyMode(harness.EBPF))
}

// programs are the kernel's numbers of those that are pinned, by their places.
func programs(t *testing.T, d *harness.Daemon) map[string]ebpf.ProgramID {
	t.Helper()
	all := make(map[string]ebpf.ProgramID)
	pins, err := filepath.Glob(filepath.Join(d.BPFFS, "programs", "*", "*_*"))
	if err != nil || len(pins) < 5 {
		t.Fatalf("pinned programs: %v, %v", pins, err)
	}
	for _, pin := range pins {
		p, err := ebpf.LoadPinnedProgram(pin, nil)
		if err != nil {
			t.Fatal(err)
		}
		info, err := p.Info()
		if err := errors.Join(err, p.Close()); err != nil {
			t.Fatal(err)
		}
		all[pin], _ = info.ID()
	}
	return all
}

// A version that hadn't one of the tables, and had another, is replaced under traffic: no
// connection notices.
func TestAnotherMapUnderTraffic(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		w := newKillWorld(t, e)
		w.flows.Advance(t, 100)
		e.Daemon.Stop(t)
		becomeOlder(t, e.Daemon)
		e.Daemon.Start(t)
		if said := notes(t, e); strings.Contains(said, "found the tables of") {
			t.Errorf("new tables were begun:\n%s", said)
		}
		w.flows.Advance(t, 400)
		w.fresh(t, "with another map")
		w.flows.Stop(t)
	}, harness.OnlyMode(harness.EBPF))
}

// becomeOlder makes what a daemon has pinned look like an older version's: without the
// tables of fragments, and with one that there isn't any more.
func becomeOlder(t *testing.T, d *harness.Daemon) {
	t.Helper()
	frags, err := filepath.Glob(filepath.Join(d.BPFFS, "maps", "frags-*"))
	if err != nil || len(frags) != 1 {
		t.Fatalf("tables of fragments: %v, %v", frags, err)
	}
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	former := filepath.Join(d.BPFFS, "maps", "former-1-0123456789abcdef")
	// Its programs stay: what they call by tail calls is pinned with them.
	err = errors.Join(os.RemoveAll(frags[0]), os.Mkdir(former, 0o700), m.Pin(filepath.Join(former, "former")))
	if err != nil {
		t.Fatal(err)
	}
}

// A later version that was killed before it replaced programs is in nobody's way: the
// version from before goes on with its own tables, under traffic.
func TestRollbackOfUnfinishedUpgrade(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		w := newKillWorld(t, e)
		w.flows.Advance(t, 100)
		e.Daemon.Kill(t)
		newer := filepath.Join(e.Daemon.BPFFS, "maps", "flows-1000-0123456789abcdef")
		m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 4, MaxEntries: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if err := errors.Join(os.Mkdir(newer, 0o700), m.Pin(filepath.Join(newer, "flows4"))); err != nil {
			t.Fatal(err)
		}
		e.Daemon.Start(t)
		if _, err := os.Stat(newer); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the later version's tables are left: %v", err)
		}
		w.flows.Advance(t, 100)
		w.fresh(t, "after the rollback")
		w.flows.Stop(t)
	}, harness.OnlyMode(harness.EBPF))
}

// A later version's tables are left alone, and so is the traffic that they carry.
func TestDowngradeIsRefused(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		w := newKillWorld(t, e)
		w.flows.Advance(t, 100)
		e.Daemon.Stop(t)
		flows, err := filepath.Glob(filepath.Join(e.Daemon.BPFFS, "maps", "flows-*"))
		if err != nil || len(flows) != 1 {
			t.Fatalf("tables of flows: %v, %v", flows, err)
		}
		newer := filepath.Join(filepath.Dir(flows[0]), "flows-1000-0123456789abcdef")
		refuses(t, e.Daemon, "tables of a later version", func() error { return os.Rename(flows[0], newer) },
			"newer version of fairway")
		w.flows.Advance(t, 100)
		if err := os.Rename(newer, flows[0]); err != nil {
			t.Fatal(err)
		}
		e.Daemon.Start(t)
		w.flows.Advance(t, 100)
		w.fresh(t, "after the refusal")
		w.flows.Stop(t)
	}, harness.OnlyMode(harness.EBPF))
}
