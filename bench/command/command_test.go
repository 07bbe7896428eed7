// SPDX-License-Identifier: Apache-2.0

package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/test/built"
	"github.com/fairway-project/fairway/test/root"
)

func TestUsage(t *testing.T) {
	good := Options{Workloads: []string{"prog"}, Pairs: 1, Stderr: &bytes.Buffer{}}
	if _, _, err := prepare(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Options){
		"workload":         func(o *Options) { o.Workloads = []string{"nothing"} },
		"arm":              func(o *Options) { o.Arms = []string{"carrier-pigeon"} },
		"arm twice":        func(o *Options) { o.Arms = []string{"ebpf", "ebpf"} },
		"arm of others":    func(o *Options) { o.Arms = []string{"docker"} },
		"family":           func(o *Options) { o.Families = []string{"ipx"} },
		"flows":            func(o *Options) { o.Flows = []int{0} },
		"pairs":            func(o *Options) { o.Pairs = 0 },
		"slice":            func(o *Options) { o.Slice = -1 },
		"regexp":           func(o *Options) { o.Match = "(" },
		"nothing selected": func(o *Options) { o.Match = "^$" },
		"both":             func(o *Options) { o.Check, o.Update = "a", "b" },
	} {
		o := good
		change(&o)
		var usage *UsageError
		if _, _, err := prepare(o); !errors.As(err, &usage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestList(t *testing.T) {
	var out bytes.Buffer
	if err := Run(t.Context(), Options{List: true, Stdout: &out}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "prog") || !strings.Contains(out.String(), "ebpf,empty") {
		t.Errorf("list:\n%s", &out)
	}
}

// programs builds the benchmark and, beside it, what it measures, and returns the
// benchmark's path.
func programs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := built.Program(built.EnvFairway, dir); err != nil {
		t.Fatal(err)
	}
	path, err := built.Program(built.EnvBench, dir)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestBench runs the real command: it measures nothing that means anything, on a
// machine that others use, but goes all the way to the reports.
func TestBench(t *testing.T) {
	root.Need(t)
	program, dir := programs(t), t.TempDir()
	out, base := filepath.Join(dir, "out"), filepath.Join(dir, "baseline.json")
	run := func(args ...string) (stdout, stderr string, err error) {
		var o, e bytes.Buffer
		cmd := exec.CommandContext(t.Context(), program, append([]string{"prog", "--match", "ipv4.*(peer|masqueraded/flow=hit).*empty",
			"--pairs", "2", "--slice", "1ms", "--seed", "7", "--allow-busy", "--wait"}, args...)...)
		cmd.Stdout, cmd.Stderr = &o, &e
		err = cmd.Run()
		return o.String(), e.String(), err
	}

	stdout, stderr, err := run("--out", out, "--update", base)
	if err != nil {
		t.Fatalf("%v\n%s%s", err, stdout, stderr)
	}
	for _, want := range []string{"prog/family=ipv4/program=from_container/path=peer/flow=none/table=empty", "ebpf (A/A)", "empty", "seed 7"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	if !strings.Contains(stderr, "bench:   0 % prog/") {
		t.Errorf("no progress in\n%s", stderr)
	}
	for _, name := range []string{"raw.txt", "summary.json", "report.md", "prog-ratios.svg"} {
		if text, err := os.ReadFile(filepath.Join(out, name)); err != nil || len(text) < 100 {
			t.Errorf("%s: %d bytes, %v", name, len(text), err)
		}
	}

	stdout, stderr, err = run("--json")
	var summary struct {
		Seed  uint64
		Cases []struct{ Arms []struct{ Proof string } }
	}
	if err != nil || json.Unmarshal([]byte(stdout), &summary) != nil || summary.Seed != 7 || len(summary.Cases) == 0 {
		t.Fatalf("%v\n%s%s", err, stdout, stderr)
	}
	for _, c := range summary.Cases {
		for _, a := range c.Arms {
			if a.Proof == "" {
				t.Error("an arm without a proof")
			}
		}
	}

	// Figures that nothing can be slower than, and some that everything is.
	if err := os.WriteFile(base, []byte(strings.NewReplacer(": 0.", ": 900.", ": 1.", ": 900.", ": 2.", ": 900.", ": 3.", ": 900.",
		": 4.", ": 900.", ": 5.", ": 900.").Replace(read(t, base))), 0o644); err != nil {
		t.Fatal(err)
	}
	if stdout, stderr, err = run("--check", base); err != nil || !strings.Contains(stdout, "are within 10 %") {
		t.Errorf("check: %v\n%s%s", err, stdout, stderr)
	}
	if err := os.WriteFile(base, []byte(`{"ratio_to_empty": {}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if _, stderr, err = run("--check", base); !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(stderr, "no figure in") {
		t.Errorf("check without figures: %v\n%s", err, stderr)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// ^C and SIGTERM end a run early, with an error, and no report.
func TestBenchIsInterrupted(t *testing.T) {
	root.Need(t)
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), programs(t), "prog", "--allow-busy", "--wait", "--out", filepath.Join(dir, "out"))
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 7)
	if _, err := pipe.Read(text); err != nil || string(text) != "bench: " {
		t.Errorf("said %q, %v", text, err)
	}
	if err := cmd.Process.Signal(unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	rest := new(bytes.Buffer)
	_, _ = rest.ReadFrom(pipe)
	if err := cmd.Wait(); err == nil {
		t.Error("no error")
	}
	if !strings.Contains(rest.String(), "signal received") {
		t.Errorf("said %s", rest)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
