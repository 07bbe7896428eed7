// SPDX-License-Identifier: Apache-2.0

package test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/test/harness"
)

// REL-10: a host goes from one mode to the other and back while sandboxes run;
// nothing of the old mode is left, and everything works in the new one.
func TestModeSwitch(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Network(t, "b", numB)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		c3 := e.Sandbox(t, "c3", "--network", "b")
		serve(t, c1.Netns, 80, "c1")
		serve(t, e.WAN, 80, "wan")
		check := func(t *testing.T) {
			e.EachFamily(t, func(t *testing.T, f harness.Family) {
				harness.Reaches(t, e.LAN1, f.Host, 8080, "c1")
				harness.Reaches(t, e.Host, f.Host, 8080, "c1")
				harness.Reaches(t, c3.Netns, f.Host, 8080, "c1")
				harness.Reaches(t, c1.Netns, f.WAN, 80, "wan")
				harness.Misses(t, c3.Netns, c1.IP(t, "a", f), 80)
			})
			if out := e.Must(t, "exec", "c1", "--", "getent", "hosts", "c1"); !strings.Contains(out, "c1") {
				t.Errorf("names: %q", out)
			}
		}
		t.Run("before", check)
		first, second := e.Mode, harness.EBPF
		if first == harness.EBPF {
			second = harness.IPTables
		}
		for _, mode := range []harness.Mode{second, first} {
			e.Daemon.Stop(t)
			e.Daemon.Mode = mode
			e.Daemon.Start(t)
			t.Run("now "+string(mode), func(t *testing.T) {
				check(t)
				expectOnly(t, e, mode)
			})
		}
	}, harness.Restarts())
}

// expectOnly looks for the other mode's traces.
func expectOnly(t *testing.T, e *harness.Env, mode harness.Mode) {
	t.Helper()
	switch mode {
	case harness.EBPF:
		for _, c := range []string{"iptables-save", "ip6tables-save"} {
			if out := e.Host.Must(t, c); strings.Contains(out, "DOCKER") || strings.Contains(out, "MASQUERADE") {
				t.Errorf("rules are left:\n%s", out)
			}
		}
	case harness.IPTables:
		if n := harness.CountPrograms(t, e.Host); n != 0 {
			t.Errorf("%d programs are left on devices", n)
		}
	}
}

// A host leaves the eBPF mode when the programs don't load any more, as after a
// change of the kernel: that may be why it leaves.
func TestLeaveProgramsThatDoNotLoad(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		serve(t, c1.Netns, 80, "c1")
		e.Daemon.Stop(t)
		refuses(t, e.Daemon, "another layout", func() error { return spoilMap(e.Daemon) }, "flows4")
		e.Daemon.Mode = harness.IPTables
		e.Daemon.Start(t)
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			harness.Reaches(t, e.LAN1, f.Host, 8080, "c1")
		})
		expectOnly(t, e, harness.IPTables)
		if _, err := os.Stat(e.Daemon.BPFFS); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", e.Daemon.BPFFS, err)
		}
	}, harness.OnlyMode(harness.EBPF))
}

// So does an uninstall without a daemon.
func TestUninstallProgramsThatDoNotLoad(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		before := harness.LookAtHost(t, e)
		e.Daemon.Start(t)
		e.Network(t, "a", numA)
		e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80")
		e.Daemon.Kill(t)
		if err := spoilMap(e.Daemon); err != nil {
			t.Fatal(err)
		}
		if r := e.Daemon.UninstallKeepingState(t); r.Code != 0 {
			t.Fatalf("uninstall: exit %d: %s", r.Code, r.Err)
		}
		if diff := before.Diff(harness.LookAtHost(t, e)); diff != "" {
			t.Errorf("uninstall leaves:\n%s", diff)
		}
		if n := harness.CountPrograms(t, e.Host); n != 0 {
			t.Errorf("%d programs are left on devices", n)
		}
		if _, err := os.Stat(e.Daemon.BPFFS); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", e.Daemon.BPFFS, err)
		}
	}, harness.OnlyMode(harness.EBPF), harness.NoDaemon())
}

// spoilMap makes a daemon's programs refuse to load: it pins a map of another layout
// in the place of one that they share. Those that are loaded keep theirs.
func spoilMap(d *harness.Daemon) error {
	paths, err := filepath.Glob(filepath.Join(d.BPFFS, "maps", "*", "flows4"))
	if err != nil {
		return err
	}
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return err
	}
	defer m.Close()
	if len(paths) != 1 {
		return errors.New("want one schema, got " + strings.Join(paths, " "))
	}
	return errors.Join(os.Remove(paths[0]), m.Pin(paths[0]))
}
