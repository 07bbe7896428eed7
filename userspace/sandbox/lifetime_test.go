// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestStopAsksFirst(t *testing.T) {
	m := newManager(t)
	spec := newSpec(t, m, `trap 'echo asked; exit 5' TERM; echo ready; while :; do sleep 0.05; done`)
	p := start(t, m, spec)
	eventually(t, "the trap", logHas(spec, "ready"))
	if err := p.Stop(context.Background(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if exit := p.Exit(); exit.Code != 5 || !logHas(spec, "asked")() {
		t.Errorf("got %+v, want code 5 from the trap", exit)
	}
}

func TestStopKillsAfterGrace(t *testing.T) {
	m := newManager(t)
	spec := newSpec(t, m, `trap '' TERM; echo ready; while :; do sleep 0.05; done`)
	p := start(t, m, spec)
	eventually(t, "the trap", logHas(spec, "ready"))
	if err := p.Stop(context.Background(), 20*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if exit := p.Exit(); exit.Code != 137 {
		t.Errorf("got %+v, want code 137", exit)
	}
}

func TestStopEndsWithContext(t *testing.T) {
	m := newManager(t)
	spec := newSpec(t, m, `trap '' TERM; echo ready; while :; do sleep 0.05; done`)
	p := start(t, m, spec)
	eventually(t, "the trap", logHas(spec, "ready"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Stop(ctx, time.Hour); err != nil || p.Exit().Code != 137 {
		t.Errorf("got %v, %+v", err, p.Exit())
	}
}

// What the command started, in sessions of its own too, ends with it.
func TestNothingOutlivesTheMainProcess(t *testing.T) {
	m := newManager(t)
	spec := newSpec(t, m, `setsid sleep 1000 & echo $! end; read x`)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.OpenFile(spec.Files.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	spec.Stdio = &[3]*os.File{r, log, log}
	p := start(t, m, spec)
	r.Close()
	eventually(t, "the second process", logHas(spec, "end"))
	pid := firstNumber(t, spec.Files.Log)
	w.Close()
	wait(t, p)
	eventually(t, "the end of what it started", func() bool { _, err := startTime(pid); return errors.Is(err, ErrFinished) })
}

func firstNumber(t *testing.T, path string) int {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.Fields(string(content))[0])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestExecJoinsTheSandbox(t *testing.T) {
	m := newManager(t)
	spec := newSpec(t, m, "exec sleep 1000")
	p := start(t, m, spec)
	look := Spec{ID: testID, Join: p, Hostname: "box", Command: []string{"sh", "-c",
		"for n in net mnt uts; do readlink /proc/self/ns/$n; done; hostname; cat /etc/hosts; pwd; exit 4"}}
	got, code := output(t, m.Exec, look)
	var want string
	for _, n := range []string{"net", "mnt", "uts"} {
		is, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", p.Pid, n))
		if err != nil {
			t.Fatal(err)
		}
		want += is + "\n"
	}
	want += "box\n172.30.0.2 box\n/\n"
	if got != want || code != 4 {
		t.Errorf("exit code %d, output:\n%s\nwant:\n%s", code, got, want)
	}
	select {
	case <-p.Done():
		t.Error("the end of the second process ended the first")
	default:
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	look.Files = spec.Files
	if _, err := m.Exec(look); !errors.Is(err, ErrFinished) {
		t.Errorf("exec in a sandbox that has ended: got %v, want ErrFinished", err)
	}
}

func TestExecEndsWithTheMainProcess(t *testing.T) {
	m := newManager(t)
	spec := newSpec(t, m, "exec sleep 1000")
	p := start(t, m, spec)
	second, err := m.Exec(Spec{ID: testID, Join: p, Files: spec.Files, Command: []string{"sleep", "1000"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if exit := wait(t, second); exit.Code != 137 {
		t.Errorf("got %+v, want code 137", exit)
	}
}

// An adopted namespace has no process to join: each one gets its own mounts.
func TestExecWithoutMainProcess(t *testing.T) {
	m := newManager(t)
	if got, code := output(t, m.Exec, newSpec(t, m, "cat /etc/hostname; ls /sys/class/net")); got != "box\nlo\n" || code != 0 {
		t.Errorf("got %q, exit code %d", got, code)
	}
}

func TestWithoutCgroupTheProcessGroupEnds(t *testing.T) {
	m := newManager(t)
	if err := m.cgroup.remove(); err != nil {
		t.Fatal(err)
	}
	m.cgroup = nil
	spec := newSpec(t, m, "sleep 1000 & echo $! end; wait")
	p := start(t, m, spec)
	eventually(t, "the second process", logHas(spec, "end"))
	pid := firstNumber(t, spec.Files.Log)
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of what it started", func() bool { _, err := startTime(pid); return errors.Is(err, ErrFinished) })
}

// testDaemon is a process that starts a sandbox, says so and waits to be killed.
func testDaemon(root string) {
	m, err := New(root, root, slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	files, err := m.Create(testID)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	p, err := m.Start(Spec{ID: testID, Files: files, Command: []string{"sh", "-c", "echo begun; while :; do sleep 0.05; done"}})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(p.Pid, p.StartTime)
	select {}
}

func TestProcessSurvivesTheDaemon(t *testing.T) {
	root := t.TempDir()
	pid, started := killedDaemon(t, root)
	m, err := New(root, root, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.RemoveAll(); err != nil {
			t.Error(err)
		}
	})
	if _, err := m.Reattach(testID, pid, started+1); !errors.Is(err, ErrFinished) {
		t.Errorf("another process with the number was taken for it: %v", err)
	}
	p, err := m.Reattach(testID, pid, started)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := output(t, m.Exec, Spec{ID: testID, Join: p, Command: []string{"readlink", "/proc/self/ns/mnt"}})
	if want, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid)); err != nil || got != want+"\n" {
		t.Errorf("a second process is in %q, want %q (%v)", got, want, err)
	}
	if err := p.Stop(context.Background(), 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if exit := p.Exit(); exit.Known {
		t.Errorf("got %+v of a process that is nobody's child", exit)
	}
	if _, err := m.Reattach(testID, pid, started); !errors.Is(err, ErrFinished) {
		t.Errorf("got %v, want ErrFinished", err)
	}
}

// killedDaemon starts a daemon, kills it with -9 and returns its sandbox's process.
func killedDaemon(t *testing.T, root string) (pid int, started uint64) {
	t.Helper()
	daemon := exec.Command("/proc/self/exe")
	daemon.Env = append(os.Environ(), "FAIRWAY_TEST_DAEMON="+root)
	out, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Process.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = daemon.Wait()
	if _, err := fmt.Sscan(line, &pid, &started); err != nil {
		t.Fatalf("the daemon says %q", line)
	}
	if now, err := startTime(pid); err != nil || now != started {
		t.Fatalf("the process is gone: %v", err)
	}
	return pid, started
}

func TestPruneRemovesWhatNobodyKnows(t *testing.T) {
	m := newManager(t)
	spec := newSpec(t, m, "exec sleep 1000")
	p := start(t, m, spec)
	if err := m.Prune(map[string]bool{testID: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := startTime(p.Pid); err != nil {
		t.Fatalf("a known sandbox was removed: %v", err)
	}
	if err := m.Prune(nil); err != nil {
		t.Fatal(err)
	}
	wait(t, p)
	if left, err := filepath.Glob(filepath.Join(m.dir, "*")); err != nil || len(left) != 0 {
		t.Errorf("files left: %v, %v", left, err)
	}
	for range 2 {
		if err := m.Remove(testID); err != nil {
			t.Error(err)
		}
	}
}

func TestFailedStartLeavesNoProcess(t *testing.T) {
	m := newManager(t)
	spec := newSpec(t, m, "")
	spec.Command = []string{"no-such-command"}
	for range 5 {
		if _, err := m.Start(spec); err == nil {
			t.Fatal("started")
		}
	}
	if err := unix.Rmdir(filepath.Join(m.cgroup.path, testID)); err != nil {
		t.Errorf("the cgroup is in use: %v", err)
	}
}
