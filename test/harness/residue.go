// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// finish removes everything by Fairway's own commands and looks for what is
// left. A test that failed is only tidied up: its residue would hide its cause.
func (e *Env) finish(t testing.TB) {
	t.Helper()
	if t.Failed() {
		e.describe(t)
		e.forceAway(t)
		return
	}
	if r := e.Daemon.Uninstall(t); r.Code != 0 {
		t.Errorf("uninstall: exit %d: %s", r.Code, r.Err)
	}
	if !e.Daemon.endsBySelf() {
		t.Error("the daemon goes on after uninstall")
	}
	e.before.compare(t, takeSnapshot(t, e.Host))
	e.lookForProcesses(t)
	e.lookForMounts(t)
	e.lookForDirs(t)
	e.lookForCgroups(t)
	if t.Failed() {
		e.forceAway(t)
	}
}

func (e *Env) lookForProcesses(t testing.TB) {
	t.Helper()
	e.lookForProcessesInSandboxes(t)
	for _, pid := range ProcessesByArgument(e.dir) {
		t.Errorf("process %d is left: %s", pid, commandLine(pid))
	}
}

func (e *Env) lookForProcessesInSandboxes(t testing.TB) {
	t.Helper()
	inodes := e.inodes()
	if len(inodes) == 0 {
		return
	}
	for _, pid := range processesByNetns(inodes) {
		t.Errorf("process %d is still in a sandbox: %s", pid, commandLine(pid))
	}
}

func (e *Env) lookForMounts(t testing.TB) {
	t.Helper()
	for _, dir := range []string{e.dir, e.Daemon.BPFFS} {
		for _, m := range mountsBelow(dir) {
			t.Errorf("mount is left: %s", m)
		}
	}
}

func (e *Env) lookForDirs(t testing.TB) {
	t.Helper()
	for _, dir := range []string{e.Daemon.BPFFS, e.Daemon.Root, e.Daemon.RunDir} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		for _, entry := range entries {
			t.Errorf("file is left: %s", filepath.Join(dir, entry.Name()))
		}
	}
	if _, err := os.Stat(e.Daemon.BPFFS); err == nil {
		t.Errorf("directory is left: %s", e.Daemon.BPFFS)
	}
}

// describe logs what the daemon knows when a test has failed.
func (e *Env) describe(t testing.TB) {
	t.Helper()
	if e.Daemon.Pid() == 0 {
		return
	}
	// A test that stops the daemon may have failed before that went on. One that doesn't
	// answer at all mustn't keep the end of the test waiting.
	_ = e.Daemon.cmd.Process.Signal(syscall.SIGCONT)
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	for _, what := range []string{"status", "flow ls"} {
		r := e.Daemon.runUntil(ctx, t, "", append([]string{"--socket", e.Daemon.Socket}, strings.Fields(what)...)...)
		t.Logf("fairway %s:\n%s%s", what, r.Out, r.Err)
	}
}

// inodes are the namespaces that only sandboxes of this test were in.
func (e *Env) inodes() map[uint64]bool {
	set := map[uint64]bool{}
	for _, n := range e.held {
		set[n.Inode()] = true
	}
	delete(set, e.Host.Inode())
	delete(set, 0)
	return set
}

// lookForCgroups finds control groups of the daemon or of a sandbox.
func (e *Env) lookForCgroups(t testing.TB) {
	t.Helper()
	for _, dir := range e.cgroups() {
		t.Errorf("control group is left: %s", dir)
	}
}

// lookForSandboxCgroups finds those of sandboxes that are gone.
func (e *Env) lookForSandboxCgroups(t testing.TB) {
	t.Helper()
	for _, dir := range e.cgroups() {
		if filepath.Base(dir) != e.Daemon.cgroup() {
			t.Errorf("control group is left: %s", dir)
		}
	}
}

func (e *Env) cgroups() (found []string) {
	names := []string{e.Daemon.cgroup()}
	for _, id := range e.sandbox {
		names = append(names, id[:12])
	}
	eachCgroup("/sys/fs/cgroup", func(path string) {
		if slices.ContainsFunc(names, func(name string) bool { return strings.Contains(filepath.Base(path), name) }) {
			found = append(found, path)
		}
	})
	// The deepest first, so that they can be removed in this order.
	slices.Reverse(found)
	return found
}

// eachCgroup calls fn for every control group below dir. Most have none below them, which
// the number of links tells: their dozens of files needn't be listed.
func eachCgroup(dir string, fn func(path string)) {
	const leaf = 2
	var st unix.Stat_t
	if unix.Lstat(dir, &st) != nil || st.Nlink == leaf {
		return
	}
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if entry.IsDir() {
			path := filepath.Join(dir, entry.Name())
			fn(path)
			eachCgroup(path, fn)
		}
	}
}

// forceAway ends and unmounts what is ours without Fairway's help.
func (e *Env) forceAway(t testing.TB) {
	t.Helper()
	e.Daemon.end(9)
	_ = e.Daemon.Uninstall(t)
	pids := append(processesByNetns(e.inodes()), ProcessesByArgument(e.dir)...)
	for _, pid := range append(pids, processesIn(e.Host.Path)...) {
		if p, err := os.FindProcess(pid); err == nil {
			_ = p.Kill()
		}
	}
	for _, m := range mountsBelow(e.dir) {
		_ = unmount(m)
	}
	_ = os.RemoveAll(e.Daemon.BPFFS)
	for _, dir := range e.cgroups() {
		_ = os.Remove(dir)
	}
}

// mountsBelow lists the mount points below dir, the deepest first.
func mountsBelow(dir string) (points []string) {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return []string{fmt.Sprint(err)}
	}
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			points = append([]string{f[4]}, points...)
		}
	}
	return points
}
