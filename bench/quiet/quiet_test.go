// SPDX-License-Identifier: Apache-2.0

package quiet

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	got, err := parseStat("42 (a ) b) S 7 1 1 0 -1 4194304 0 0 0 0 11 22 33 44 20 0 1 0 12345 0 0")
	want := process{name: "a ) b", parent: 7, started: "12345", used: 330 * time.Millisecond, reaped: 770 * time.Millisecond}
	if err != nil || got != want {
		t.Errorf("got %+v %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", "1 (x", "1 (x) S 1 2", "1 (x) S a 1 1 0 -1 4194304 0 0 0 0 11 22 33 44 20 0 1 0 12345"} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestForeignLeavesOutFamilyAndKernel(t *testing.T) {
	all := map[int]process{
		1: {name: "init"}, 2: {name: "kthreadd", kernel: true}, 3: {name: "ksoftirqd/0", parent: 2, kernel: true},
		10: {name: "bench", parent: 1}, 11: {name: "child", parent: 10}, 12: {name: "grandchild", parent: 11},
		20: {name: "compile", parent: 1},
	}
	got := foreign(all, 10)
	if len(got) != 2 || got[1].name != "init" || got[20].name != "compile" {
		t.Errorf("got %v", got)
	}
}

func reading(at time.Duration, processes map[int]process) Reading {
	return Reading{at: time.Unix(0, 0).Add(at), foreign: processes}
}

func TestSince(t *testing.T) {
	ms := time.Millisecond
	before := reading(0, map[int]process{
		1: {name: "make", started: "1", used: 100 * ms, reaped: 500 * ms},
		2: {name: "cc", parent: 1, started: "2", used: 400 * ms},
		3: {name: "old", started: "3", used: 900 * ms},
	})
	after := reading(time.Second, map[int]process{
		// cc has ended: 450 ms in all, of which 50 in this second.
		1: {name: "make", started: "1", used: 110 * ms, reaped: 950 * ms},
		// Another process has the number again.
		3: {name: "new", started: "9", used: 20 * ms},
		4: {name: "born", started: "8", used: 30 * ms},
	})
	got := after.Since(before)
	if want := 0.06 + 0.02 + 0.03; got.Foreign < want-1e-9 || got.Foreign > want+1e-9 {
		t.Errorf("foreign %v, want %v", got.Foreign, want)
	}
	if want := "foreign CPU 11 % (make 6 %, born 3 %, new 2 %)"; got.Busy() != want {
		t.Errorf("got %q, want %q", got.Busy(), want)
	}
	if got := (Use{Foreign: Limit, Steal: Limit}).Busy(); got != "" {
		t.Errorf("at the limit: %q", got)
	}
	if got, want := (Use{Steal: 0.5, IO: 0.06}).Busy(), "steal 50 %, stalled on I/O 6 %"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReadSeesAnother(t *testing.T) {
	// Its parent ends, so it isn't a descendant.
	out, err := exec.Command("sh", "-c", "sh -c 'while :; do :; done' >/dev/null 2>&1 & echo $!").Output()
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}()
	before, err := Meter{}.Read()
	if err != nil {
		t.Fatal(err)
	}
	if _, own := before.foreign[os.Getpid()]; own {
		t.Error("the test itself counts as foreign")
	}
	deadline := time.Now().Add(time.Minute)
	for {
		time.Sleep(100 * time.Millisecond)
		after, err := Meter{}.Read()
		if err != nil {
			t.Fatal(err)
		}
		if after.foreign[pid].used-before.foreign[pid].used > 50*time.Millisecond {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("a process that takes a CPU does not show")
		}
	}
}

func TestReadOfAnotherProc(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"stat":            "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1\n",
		"pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500\nfull avg10=0.00 total=0\n",
		"7/stat":          "7 (x) S 1 1 1 0 -1 4194304 0 0 0 0 11 22 33 44 20 0 1 0 12345 0 0",
		"8/stat":          "8 (y) S 1 1 1 0 -1 4194304 0 0 0 0 1 2 3 4 20 0 1 0 12345 0 0",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("7", filepath.Join(dir, "self")); err != nil {
		t.Fatal(err)
	}
	got, err := Meter{Proc: dir}.Read()
	if err != nil {
		t.Fatal(err)
	}
	if got.steal != 80*time.Millisecond || got.stalled["memory"] != 1500*time.Microsecond || got.stalled["io"] != 0 {
		t.Errorf("got %+v", got)
	}
	// Without schedstat the ticks count.
	if len(got.foreign) != 1 || got.foreign[8].used != 30*time.Millisecond {
		t.Errorf("foreign %+v", got.foreign)
	}
}
