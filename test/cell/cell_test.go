// SPDX-License-Identifier: Apache-2.0

package cell

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairway-project/fairway/test/root"
)

// envArgs makes the test binary one that calls Run with what is in it.
const envArgs, separator = "FAIRWAY_TEST_CELL_ARGS", "\x1f"

func TestMain(m *testing.M) {
	if args := os.Getenv(envArgs); args != "" {
		if _, inside := Inside(); !inside || os.Getenv(envInit) != "" {
			os.Exit(Run(strings.Split(args, separator)...))
		}
	}
	os.Exit(root.Main(m))
}

// command is a cell with a program in it.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	// The tests may run in a cell themselves.
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, envInside+"=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, envArgs+"="+strings.Join(args, separator))
	return cmd
}

func TestExitCodeAndOutput(t *testing.T) {
	cmd := command(t, "sh", "-c", "echo out; echo err >&2; exit 7")
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("got %v, want exit code 7", err)
	}
	if string(out) != "out\n" || errs.String() != "err\n" {
		t.Errorf("got %q and %q", out, errs.String())
	}
}

// What a killed run started, mounted and pinned is gone without anybody's help.
func TestKilledCellLeavesNothing(t *testing.T) {
	mark := fmt.Sprintf("fwcell%d", os.Getpid())
	cmd := command(t, "sh", "-c", `
		ip netns add `+mark+` && mkdir /sys/fs/bpf/`+mark+` && touch "$TMPDIR/`+mark+`" || exit 1
		setsid sh -c 'while :; do sleep 1000; done' `+mark+` &
		echo ready; wait`)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("got %q (%v)", line, err)
	}
	if len(processes(mark)) == 0 {
		t.Fatal("nothing runs")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for deadline := time.Now().Add(time.Minute); len(processes(mark)) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("processes %v go on", processes(mark))
		}
	}
	for _, path := range []string{"/run/netns/" + mark, "/sys/fs/bpf/" + mark, filepath.Join(tmp, mark)} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is there", path)
		}
	}
}

// processes have a word in their command line.
func processes(word string) (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		raw, _ := os.ReadFile(file)
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err == nil && pid != os.Getpid() && strings.Contains(string(raw), word) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// A process without a parent is waited for, so that whoever looks for it sees it end.
func TestOrphansAreReaped(t *testing.T) {
	out, err := command(t, "sh", "-c", `
		orphan=$(sh -c 'true & echo $!')
		while [ -e /proc/$orphan ]; do :; done; echo gone`).Output()
	if err != nil || string(out) != "gone\n" {
		t.Errorf("got %q, %v", out, err)
	}
}

// A binary that prints nothing any more gets SIGQUIT, with which Go shows its stacks.
func TestSilenceEndsARun(t *testing.T) {
	cmd := command(t, "sh", "-c", `trap 'echo asked >&2; exit 3' QUIT; echo begin; while :; do sleep 0.05; done`, "-test.v=test2json")
	cmd.Env = append(cmd.Env, EnvPatience+"=300ms")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || !strings.Contains(string(out), "hang") || !strings.Contains(string(out), "asked") {
		t.Errorf("got %v and %q", err, out)
	}
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		hangs := 0
		go func() { watch(io.Discard, r, time.Minute, func() { hangs++ }) }()
		for range 10 {
			time.Sleep(59 * time.Second)
			fmt.Fprintln(w, "progress")
		}
		synctest.Wait()
		if hangs != 0 {
			t.Errorf("hangs %d times while it makes progress", hangs)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if hangs != 1 {
			t.Errorf("hangs %d times in an hour of silence, want once", hangs)
		}
		w.Close()
		synctest.Wait()
	})
}

func TestOwner(t *testing.T) {
	for name, want := range map[string]struct {
		pid       int
		ok, lives bool
	}{
		fmt.Sprintf("fwt%d-abc", os.Getpid()): {os.Getpid(), true, true},
		"fwt4194305-abc":                      {4194305, true, false}, // past the kernel's last one
		"fwt12":                               {},
		"fwt-12":                              {},
		"fairway":                             {},
	} {
		pid, ok, lives := Owner(name)
		if pid != want.pid || ok != want.ok || lives != want.lives {
			t.Errorf("%s: got %d, %t, %t; want %+v", name, pid, ok, lives, want)
		}
	}
}

// The control groups of a killed run go; those of one that lives stay.
func TestRemoveDead(t *testing.T) {
	roots, _ := filepath.Glob("/sys/fs/cgroup/*/cgroup.procs")
	if len(roots) == 0 {
		roots = []string{"/sys/fs/cgroup/cgroup.procs"}
	}
	root := filepath.Dir(roots[0])
	dead, alive := filepath.Join(root, "fwt4194305-cell"), filepath.Join(root, fmt.Sprintf("fwt%d-cell", os.Getpid()))
	for _, dir := range []string{filepath.Join(dead, "below"), alive} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	defer func() { _ = syscall.Rmdir(alive) }()
	if err := removeDead([]string{dead, alive}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead); err == nil {
		t.Errorf("%s is there", dead)
	}
	if _, err := os.Stat(alive); err != nil {
		t.Error(err)
	}
}
