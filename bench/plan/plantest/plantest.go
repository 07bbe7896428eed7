// SPDX-License-Identifier: Apache-2.0

// Package plantest runs subjects of a workload in its tests, as the engine does
// but without measuring anything: short slices, no pairs, on a busy machine.
package plantest

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/fairway-project/fairway/bench/plan"
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
		Proc:  os.Getenv(cell.EnvProc),
		Log:   slog.New(slog.NewTextHandler(t.Output(), nil)),
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
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("fairway-plantest-%d", os.Getuid()))
	path := filepath.Join(dir, "fairway")
	build := exec.Command("go", "build", "-o", path, "github.com/fairway-project/fairway/cmd/fairway")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
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

// Run starts a subject, runs slices of this length, checks what they return and
// the proof, closes it, and returns the samples. It skips nothing: an arm that
// the machine lacks fails the test.
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
	samples := make([]plan.Sample, n)
	for i := range samples {
		if samples[i], err = in.Slice(t.Context(), slice); err != nil {
			t.Fatalf("slice of %s on %s: %v", s.Case.FullName(), s.Arm, err)
		}
		if err := samples[i].Check(s.Case); err != nil {
			t.Fatal(err)
		}
	}
	proof, err := in.Prove(t.Context())
	if err != nil {
		t.Fatalf("proof of %s on %s: %v", s.Case.FullName(), s.Arm, err)
	}
	t.Logf("%s on %s: %v; %s", s.Case.FullName(), s.Arm, samples[n-1].Values, proof.Text)
	return samples
}
