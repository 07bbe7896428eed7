// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/test/partial"
)

// processesIn lists the processes whose network namespace is the one at path.
func processesIn(path string) []int {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return nil
	}
	return processesByNetns(map[uint64]bool{st.Ino: true})
}

// processesByNetns lists the processes that are in one of the namespaces.
func processesByNetns(inodes map[uint64]bool) []int {
	var pids []int
	eachProcess(func(pid int) {
		var st unix.Stat_t
		if unix.Stat(fmt.Sprintf("/proc/%d/ns/net", pid), &st) == nil && inodes[st.Ino] {
			pids = append(pids, pid)
		}
	})
	return pids
}

// ProcessesByArgument lists the processes that have text in their command line.
func ProcessesByArgument(text string) []int {
	var pids []int
	eachProcess(func(pid int) {
		if strings.Contains(commandLine(pid), text) {
			pids = append(pids, pid)
		}
	})
	return pids
}

func eachProcess(fn func(pid int)) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil && pid != os.Getpid() {
			fn(pid)
		}
	}
}

func commandLine(pid int) string {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.ReplaceAll(string(raw), "\x00", " ")
}

func unmount(point string) error { return unix.Unmount(point, unix.MNT_DETACH) }

// process is a program that goes on while a test does something else.
type process struct {
	*os.Process
	exited chan struct{}
}

// startProcess starts a program in the namespace. It ends with the test at the latest.
func startProcess(t testing.TB, n *Netns, name string, args ...string) *process {
	t.Helper()
	var out strings.Builder
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	// What it leaves running must not keep the output open for ever.
	cmd.WaitDelay = time.Second
	if err := n.Start(cmd); err != nil {
		partial.Skip(t, err)
		t.Fatalf("start of %s: %v", name, err)
	}
	p := &process{cmd.Process, make(chan struct{})}
	go func() { _ = cmd.Wait(); close(p.exited) }()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("%s said:\n%s", strings.Join(args, " "), out.String())
		}
	})
	return p
}

// stop ends the process as an init system does.
func (p *process) stop() {
	_ = p.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(Patience):
		_ = p.Kill()
		<-p.exited
	}
}
