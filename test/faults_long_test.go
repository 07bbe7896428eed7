// SPDX-License-Identifier: Apache-2.0

//go:build long

package test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
	"golang.org/x/sys/unix"
)

// A daemon with little memory and one with few files: what doesn't fit is refused with
// the reason and leaves nothing, what is there goes on.
func TestLongTightLimits(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		t.Run("64 MiB of memory", func(t *testing.T) { littleMemory(t, e) })
		t.Run("256 files", func(t *testing.T) { fewFiles(t, e) })
		e.Daemon.Kill(t)
		e.Daemon.Under = nil
		e.Daemon.Start(t)
	}, harness.NoDaemon())
}

// littleMemory has the tables, the sockets of 500 ports and the daemon in 64 MiB.
func littleMemory(t *testing.T, e *harness.Env) {
	group := memoryGroup(t, e.ID, 64<<20)
	e.Daemon.Under = []string{"sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, group}
	if e.Mode == harness.EBPF {
		// Tables for the whole machine's memory may be too big, or not.
		if e.Daemon.TryStart() != nil && !strings.Contains(e.Daemon.Log(), "--flow-table-size") {
			t.Errorf("the daemon doesn't say what helps:\n%s", e.Daemon.Log())
		}
		e.Daemon.Kill(t)
		if r := e.Daemon.Uninstall(t); r.Code != 0 {
			t.Fatalf("uninstall: exit %d: %s", r.Code, r.Err)
		}
		// The kernel frees tables when nothing looks at them any more.
		harness.Eventually(t, "the memory of the former tables to be free", func() error { return usesAtMost(group, 16<<20) })
		e.Daemon.Args = []string{"--flow-table-size", "32768"}
	}
	e.Daemon.Start(t)
	pid := e.Daemon.Pid()
	e.Network(t, "a", numA)
	for i := range 5 {
		e.Sandbox(t, fmt.Sprint("c", i), "--network", "a", "-p", fmt.Sprintf("%d-%d:9000-9099", 9000+100*i, 9099+100*i))
	}
	c0 := e.Open(t, "c0")
	harness.ServeTCP(t, c0.Netns, 9000, "c0")
	for _, f := range []harness.Family{harness.V4(), harness.V6()} {
		if r, err := harness.GetTCP(e.LAN1, at(f.Host, 9000)); err != nil || r.Tag != "c0" {
			t.Errorf("published port over IPv%d: %+v, %v", f.V, r, err)
		}
	}
	if r := e.Fairway(t, "status", "--brief"); r.Code != 0 || e.Daemon.Pid() != pid {
		t.Errorf("status: %s%s", r.Out, r.Err)
	}
	for i := range 5 {
		e.Must(t, "rm", "-f", fmt.Sprint("c", i))
	}
	e.Must(t, "network", "rm", "a")
	e.Daemon.Kill(t)
	e.Daemon.Under = nil
}

// usesAtMost is an error while what is counted for a control group is more.
func usesAtMost(group string, limit int) error {
	for _, name := range []string{"memory.usage_in_bytes", "memory.current"} {
		text, err := os.ReadFile(filepath.Join(group, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err != nil || n > limit {
			return fmt.Errorf("%s is %s", name, text)
		}
		return nil
	}
	return errors.New("no count of its memory")
}

// memoryGroup makes a control group that limits memory. What is in it has to be gone by
// the test's end.
func memoryGroup(t *testing.T, name string, limit int) string {
	t.Helper()
	for _, kind := range []struct{ root, probe, limit string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.limit_in_bytes"},
		{"/sys/fs/cgroup", "cgroup.subtree_control", "memory.max"},
	} {
		if _, err := os.Stat(filepath.Join(kind.root, kind.probe)); err != nil {
			continue
		}
		dir := filepath.Join(kind.root, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			harness.Eventually(t, "the memory group to be empty", func() error { return os.Remove(dir) })
		})
		if err := os.WriteFile(filepath.Join(dir, kind.limit), []byte(strconv.Itoa(limit)), 0); err != nil {
			t.Skipf("memory can't be limited here: %v", err)
		}
		return dir
	}
	t.Skip("no control groups for memory here")
	return ""
}

// fewFiles publishes ports, a socket for each, until there are no more descriptors. A
// daemon that starts anew has room for what the former had.
func fewFiles(t *testing.T, e *harness.Env) {
	e.Daemon.Under = []string{"setpriv", "--bounding-set", "-sys_resource", "--inh-caps", "-sys_resource",
		"prlimit", "--nofile=256:256"}
	e.Daemon.Start(t)
	e.Network(t, "a", numA)
	c := e.Sandbox(t, "c", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
	serve(t, c.Netns, 80, "c")
	made := []string{"c"}
	for full := false; !full; {
		before, name := harness.Look(t, e), fmt.Sprint("d", len(made))
		first := 10000 + 20*len(made)
		r := e.Fairway(t, "run", "-d", "--name", name, "--network", "a", "-p", fmt.Sprintf("%d-%d:80-99", first, first+19), "--", "sleep", "infinity")
		if full = r.Code != 0; !full {
			made = append(made, name)
			if len(made) > 50 {
				t.Fatal("50 sandboxes with 20 ports each in 256 files")
			}
			continue
		}
		if !strings.Contains(r.Err, "too many open files") {
			t.Errorf("what doesn't fit is refused with %q", r.Err)
		}
		if diff := before.Diff(harness.Look(t, e)); diff != "" {
			t.Errorf("what was refused left:\n%s", diff)
		}
	}
	reached := func(when string) {
		t.Helper()
		for _, f := range []harness.Family{harness.V4(), harness.V6()} {
			harness.Reaches(t, e.LAN1, f.Host, 8080, "c")
		}
		harness.Eventually(t, "status to be ok "+when, func() error {
			if r := e.Fairway(t, "status", "--brief"); r.Code != 0 {
				return errors.New(r.Out + r.Err)
			}
			return nil
		})
	}
	reached("with no more files")
	e.Daemon.Kill(t)
	e.Daemon.Start(t)
	reached("after a restart")
	for _, name := range made {
		e.Must(t, "rm", "-f", name)
	}
	e.Must(t, "network", "rm", "a")
}

// holdings are what a daemon holds, in numbers that mustn't grow.
type holdings struct {
	files      int
	goroutines float64
	maps       map[string]uint64
	resident   uint64
}

func holdingsOf(t *testing.T, e *harness.Env) holdings {
	t.Helper()
	var status struct {
		Stats struct {
			Maps []struct {
				Map     string
				Entries uint64
			}
		}
	}
	e.JSON(t, &status, "status", "-o", "json")
	h := holdings{files: openFiles(t, e.Daemon.Pid()), maps: make(map[string]uint64), goroutines: e.Scrape(t).Sum("go_goroutines")}
	for _, m := range status.Stats.Maps {
		// Connections of the test's own calls come and go.
		if !strings.HasPrefix(m.Map, "flows") && m.Map != "nf_conntrack" {
			h.maps[m.Map] = m.Entries
		}
	}
	h.resident = resident(t, e.Daemon.Pid())
	return h
}

// resident is the process's memory in KiB (VmRSS).
func resident(t *testing.T, pid int) uint64 {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseUint(strings.Fields(string(raw))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * uint64(unix.Getpagesize()) / 1024
}

// CAP-08: 2,000 ports are published and taken back, 100 at a time. Nothing of them stays,
// in the daemon or in the kernel.
func TestLongPortsLeakNothing(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		cycle := func(round int) {
			first := 10000 + 100*round
			e.Sandbox(t, "c", "--network", "a", "-p", fmt.Sprintf("%d-%d:9000-9099", first, first+99)).Remove(t)
		}
		// The first rounds fill what is kept for use again: pools, caches, the heap.
		for round := range 5 {
			cycle(round)
		}
		before, view := holdingsOf(t, e), harness.Look(t, e)
		for round := range 20 {
			cycle(5 + round)
		}
		harness.Eventually(t, "the daemon to hold no more than before", func() error {
			return grown(before, holdingsOf(t, e))
		})
		if diff := view.Diff(harness.Look(t, e)); diff != "" {
			t.Errorf("2,000 ports left:\n%s", diff)
		}
	}, harness.WithMetrics())
}

func grown(before, now holdings) error {
	var errs []error
	if now.files > before.files {
		errs = append(errs, fmt.Errorf("%d files, were %d", now.files, before.files))
	}
	if now.goroutines > before.goroutines {
		errs = append(errs, fmt.Errorf("%v goroutines, were %v", now.goroutines, before.goroutines))
	}
	for name, entries := range now.maps {
		if entries > before.maps[name] {
			errs = append(errs, fmt.Errorf("map %s has %d entries, had %d", name, entries, before.maps[name]))
		}
	}
	// 4 KiB for each port would be a leak; what the collector leaves for later isn't.
	const margin = 2000 * 4
	if now.resident > before.resident+margin {
		errs = append(errs, fmt.Errorf("%d KiB are resident, were %d", now.resident, before.resident))
	}
	return errors.Join(errs...)
}
