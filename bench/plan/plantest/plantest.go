// SPDX-License-Identifier: Apache-2.0

// Package plantest runs subjects of a workload in its tests, as the engine does
// but without measuring anything: short slices, no pairs, on a busy machine.
package plantest

import (
	"fmt"
	"log/slog"
	"math/bits"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/test/built"
	"github.com/fairway-project/fairway/test/cell"
	"github.com/fairway-project/fairway/userspace/netns"
)

// Env returns what an instance gets, in directories that the end of the test
// removes. It fails the test if the instance left a pin or a namespace.
func Env(t testing.TB) plan.Env {
	t.Helper()
	dir := t.TempDir()
	env := plan.Env{
		Dir: filepath.Join(dir, "files"), Netns: filepath.Join(dir, "netns"),
		BPFFS: fmt.Sprintf("/sys/fs/bpf/fairway-plantest-%d-%s", os.Getpid(), filepath.Base(filepath.Dir(dir))),
		Proc:  os.Getenv(cell.EnvProc), CPU: cpu(),
		// To make full tables takes most of a daemon's start.
		DaemonArgs: []string{"--flow-table-size", "8192"},
		Log:        slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if err := os.Mkdir(env.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := netns.PrepareDir(env.Netns); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		names, err := os.ReadDir(env.Netns)
		if len(names) > 0 || err != nil {
			t.Errorf("namespaces left: %v %v", names, err)
		}
		if _, err := os.Stat(env.BPFFS); err == nil {
			t.Errorf("%s: left", env.BPFFS)
		}
		if err := netns.RemoveDir(env.Netns); err != nil {
			t.Error(err)
		}
	})
	return env
}

// binary is built once for all tests of a package, in a directory that the
// operating system cleans: no test knows that it is the last one.
var binary = sync.OnceValues(func() (string, error) {
	return built.Program(built.EnvFairway, filepath.Join(os.TempDir(), fmt.Sprintf("fairway-plantest-%d", os.Getuid())))
})

// WithFairway is Env with a program to start daemons with.
func WithFairway(t testing.TB) plan.Env {
	t.Helper()
	env := Env(t)
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	env.Fairway = path
	return env
}

// Run starts a subject, measures it and closes it. It skips nothing: an arm that the
// machine lacks fails the test.
func Run(t testing.TB, w plan.Workload, env plan.Env, s plan.Subject, slice time.Duration, n int) []plan.Sample {
	t.Helper()
	in, err := w.Start(t.Context(), env, s)
	if err != nil {
		t.Fatalf("start %s on %s: %v", s.Case.FullName(), s.Arm, err)
	}
	defer func() {
		if err := in.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	return Measure(t, in, s, slice, n)
}

// Measure runs n slices, checks what they return and the proof, and returns the
// samples. A slice in which a busy machine did nothing is followed by a longer one.
func Measure(t testing.TB, in plan.Instance, s plan.Subject, slice time.Duration, n int) []plan.Sample {
	t.Helper()
	samples := make([]plan.Sample, n)
	for i := 0; i < n; {
		sample, err := in.Slice(t.Context(), slice)
		if err != nil {
			t.Fatalf("slice of %s on %s: %v", s.Case.FullName(), s.Arm, err)
		}
		if sample.Ops == 0 && slice < longest {
			slice *= 4
			continue
		}
		if err := sample.Check(s.Case); err != nil {
			t.Fatal(err)
		}
		samples[i] = sample
		i++
	}
	proof, err := in.Prove(t.Context())
	if err != nil {
		t.Fatalf("proof of %s on %s: %v", s.Case.FullName(), s.Arm, err)
	}
	t.Logf("%s on %s: %v; %s", s.Case.FullName(), s.Arm, samples[n-1].Values, proof.Text)
	return samples
}

// longest is a slice in which the slowest machine does something.
const longest = time.Minute

// cpu is one of those that the tests may use. Packages are tested at the same time,
// and one CPU for all of them would leave the others idle.
var cpu = sync.OnceValue(func() int {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return 0
	}
	skip := rand.IntN(max(1, allowed.Count()))
	for i := range len(allowed) * bits.UintSize {
		if !allowed.IsSet(i) {
			continue
		}
		if skip == 0 {
			return i
		}
		skip--
	}
	return 0
})
