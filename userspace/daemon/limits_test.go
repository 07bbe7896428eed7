// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// limitsEnv makes the test binary a process whose hard limit it is.
const limitsEnv = "FAIRWAY_TEST_HARD_LIMIT"

// TestLimitsWithoutCapability: a root that may not raise its hard limit gets all
// of it, and is told of the ports that this allows.
func TestLimitsWithoutCapability(t *testing.T) {
	if hard := os.Getenv(limitsEnv); hard != "" {
		limitedProcess(t, hard)
		return
	}
	for hard, want := range map[string]string{
		"20000": "limit=20000 ports=17952",
		"1500":  "limit=1500 ports=0",
	} {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestLimitsWithoutCapability$")
		cmd.Env = append(os.Environ(), limitsEnv+"="+hard)
		out, err := cmd.CombinedOutput()
		if err != nil || strings.Count(string(out), "level=INFO") != 1 || strings.Contains(string(out), "level=WARN") ||
			!strings.Contains(string(out), want) {
			t.Errorf("hard limit %s: got %s, %v, want one line with %s", hard, out, err, want)
		}
	}
}

// limitedProcess is what a daemon does first, with a low soft limit and without
// CAP_SYS_RESOURCE. All of it is on one thread: capabilities are the thread's.
func limitedProcess(t *testing.T, hardText string) {
	runtime.LockOSThread()
	var hard uint64
	if _, err := fmt.Sscan(hardText, &hard); err != nil {
		t.Fatal(err)
	}
	dropCapability(t, unix.CAP_SYS_RESOURCE)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 512, Max: hard}); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(os.Stdout, nil))
	if got, want := setLimits(log), (unix.Rlimit{Cur: 512, Max: hard}); got != want {
		t.Errorf("inherited %+v, want %+v", got, want)
	}
	tellPortLimit(log)
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); err != nil || now.Cur != hard || now.Max != hard {
		t.Errorf("the limit is %+v (%v), want %d", now, err, hard)
	}
}

func dropCapability(t *testing.T, capability int) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	data[capability/32].Effective &^= 1 << (capability % 32)
	if err := unix.Capset(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
}

// TestPortLimitIsToldWhereItBinds: where all ports fit there is nothing to say.
func TestPortLimitIsToldWhereItBinds(t *testing.T) {
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	tellPortLimit(slog.New(slog.NewTextHandler(&out, nil)))
	if told, binds := out.Len() > 0, now.Cur < allPorts+spareFiles; told != binds {
		t.Errorf("limit %d: told %q", now.Cur, out.String())
	}
}

// The runtime raises the soft limit before anything of ours runs; what it was before
// is found out all the same.
func TestInheritedFiles(t *testing.T) {
	const env = "FAIRWAY_TEST_INHERITED"
	if os.Getenv(env) != "" {
		if got, want := inheritedFiles(), (unix.Rlimit{Cur: 300, Max: 1500}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		return
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", `ulimit -S -n 300 && ulimit -H -n 1500 && exec "$0" -test.run='^TestInheritedFiles$'`, exe)
	cmd.Env = append(os.Environ(), env+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
