// SPDX-License-Identifier: Apache-2.0

package isolate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/bench/quiet"
	"github.com/fairway-project/fairway/test/cell"
	"github.com/fairway-project/fairway/test/root"
	"github.com/fairway-project/fairway/userspace/netns"
)

// The test's binary is the program that runs three times.
func TestMain(m *testing.M) {
	if what := os.Getenv("ISOLATE_TEST"); what != "" {
		if err := program(what); err != nil {
			if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
				os.Exit(exit.ExitCode())
			}
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(root.Main(m))
}

// mark is in the command line of processes that must not be left.
const mark = "31415926"

func program(what string) error {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	place, inside, err := Enter(ctx, true)
	if !inside || err != nil {
		return err
	}
	if err := clutter(place); err != nil {
		return err
	}
	fmt.Println("cluttered", os.Getpid())
	switch what {
	case "exit":
		os.Exit(7)
	case "panic":
		panic("scripted")
	case "wait":
		<-ctx.Done()
		fmt.Println("interrupted")
	}
	return nil
}

// clutter leaves some of everything.
func clutter(p Place) error {
	if _, err := (quiet.Meter{Proc: p.Proc, Own: p.Own}).Read(); err != nil {
		return err
	}
	ns := filepath.Join(p.Dir, "ns")
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return err
	}
	cgroup := filepath.Join(cgroupRoot(), cell.Named("isolate"), "inner")
	err = errors.Join(
		m.Pin(filepath.Join(p.BPFFS, "isolate-test")), netns.PrepareDir(ns), netns.Create(filepath.Join(ns, "left")),
		os.MkdirAll(cgroup, 0o755), os.WriteFile(filepath.Join(os.TempDir(), "left"), nil, 0o600),
	)
	if err != nil {
		return err
	}
	return exec.Command("sh", "-c", "echo $$ > "+cgroup+"/cgroup.procs; setsid sleep "+mark+" >/dev/null 2>&1 & wait $!").Start()
}

func start(t *testing.T, what string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "ISOLATE_TEST="+what)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "cluttered ") {
		t.Fatalf("said %q", lines.Text())
	}
	if lines.Text() == "cluttered 1" {
		t.Error("the process inside is PID 1: nobody reaps orphans")
	}
	return cmd, lines
}

func checkGone(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for processes() > 0 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if n := processes(); n > 0 {
		t.Errorf("%d processes left", n)
	}
	for _, path := range []string{"/sys/fs/bpf/isolate-test", filepath.Join(os.TempDir(), "left")} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: left", path)
		}
	}
}

func processes() (n int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && strings.Contains(string(text), mark) {
			n++
		}
	}
	return n
}

func TestAllEndsWithTheRun(t *testing.T) {
	for what, code := range map[string]int{"return": 0, "exit": 7, "panic": 2} {
		t.Run(what, func(t *testing.T) {
			cmd, lines := start(t, what)
			for lines.Scan() {
				t.Log(lines.Text())
			}
			_ = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != code {
				t.Errorf("exit code %d, want %d", got, code)
			}
			checkGone(t)
			if _, err := os.Stat(cgroupOf(cmd)); err == nil {
				t.Error("cgroup left")
			}
		})
	}
}

func TestInterruptReachesInside(t *testing.T) {
	cmd, lines := start(t, "wait")
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if !lines.Scan() || lines.Text() != "interrupted" {
		t.Errorf("said %q", lines.Text())
	}
	_ = cmd.Wait()
	checkGone(t)
}

// Nobody can clean up after SIGKILL but the kernel.
func TestKilledOutsideEndsInside(t *testing.T) {
	cmd, _ := start(t, "wait")
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	checkGone(t)
	// Of the cgroup nobody knows any more until somebody cleans.
	if _, err := os.Stat(cgroupOf(cmd)); err != nil {
		t.Fatal(err)
	}
	if err := cell.CleanRun(cmd.Process.Pid); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(cgroupOf(cmd)); err == nil {
		t.Error("cgroup left")
	}
}

// cgroupRoot is where processes of all systems may have one.
func cgroupRoot() string {
	if _, err := os.Stat("/sys/fs/cgroup/unified"); err == nil {
		return "/sys/fs/cgroup/unified"
	}
	return "/sys/fs/cgroup"
}

// cgroupOf is that of a program that this process started.
func cgroupOf(cmd *exec.Cmd) string {
	return filepath.Join(cgroupRoot(), fmt.Sprintf("%s%d-isolate", cell.Prefix, cmd.Process.Pid))
}

func TestSecondRunIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), path, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(t.Context(), path, false); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("second lock: %v", err)
	}
	waited := make(chan error)
	go func() {
		second, err := lock(t.Context(), path, true)
		if err == nil {
			second()
		}
		waited <- err
	}()
	unlock()
	if err := <-waited; err != nil {
		t.Errorf("lock after unlock: %v", err)
	}
}

func TestWaitIsInterrupted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lock(ctx, path, true); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
