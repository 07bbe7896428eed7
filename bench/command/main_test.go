// SPDX-License-Identifier: Apache-2.0

package command

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// options returns what a command line means.
func options(t *testing.T, args ...string) Options {
	t.Helper()
	var got Options
	var stdout, stderr bytes.Buffer
	cmd := newCommand(&stdout, &stderr, func(_ context.Context, o Options) error {
		got = o
		return nil
	})
	cmd.SetArgs(args)
	if err := cmd.Execute(); err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return got
}

func TestFlags(t *testing.T) {
	for _, tt := range []struct {
		args string
		want Options
	}{
		{"", Options{Pairs: 20}},
		{"--list", Options{Pairs: 20, List: true}},
		{"pps crr --arms ebpf,iptables --flows 1,65536 --family ipv6 --pairs 5 --slice 50ms --seed 7 --cpu 1 --out report --json --allow-busy --match hit", Options{
			Workloads: []string{"pps", "crr"}, Arms: []string{"ebpf", "iptables"}, Flows: []int{1, 65536}, Families: []string{"ipv6"}, Pairs: 5,
			Slice: 50 * time.Millisecond, Seed: 7, CPU: 1, Out: "report", JSON: true, AllowBusy: true, Match: "hit",
		}},
		{"--budget 14m --wait --cross-check --check a --update b --fairway ./f", Options{
			Pairs: 20, Budget: 14 * time.Minute, Wait: true, CrossCheck: true, Check: "a", Update: "b", Fairway: "./f",
		}},
	} {
		got := options(t, strings.Fields(tt.args)...)
		if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Options{}, "Stdout", "Stderr")); diff != "" {
			t.Errorf("%s:\n%s", tt.args, diff)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		args, says string
		want       int
	}{
		{"--list", "", 0},
		{"--help", "", 0},
		{"--flows many", "fairway-bench: invalid argument \"many\" for \"--flows\" flag", 2},
		{"--bogus", "fairway-bench: unknown flag: --bogus; see \"fairway-bench --help\"\n", 2},
		{"nothing", "fairway-bench: no workload \"nothing\"", 2},
		{"--fairway /none", "fairway-bench: --fairway: ", 1},
	} {
		var stdout, stderr bytes.Buffer
		got := Main(&stdout, &stderr, strings.Fields(tt.args))
		if got != tt.want || !strings.HasPrefix(stderr.String(), tt.says) || (tt.says == "") != (stderr.Len() == 0) {
			t.Errorf("%s: exit code %d, said %q", tt.args, got, &stderr)
		}
	}
	var stderr bytes.Buffer
	if got := exitCode(&stderr, exec.CommandContext(t.Context(), "sh", "-c", "exit 3").Run()); got != 3 || stderr.Len() > 0 {
		t.Errorf("what has been explained: exit code %d, said %q", got, &stderr)
	}
	if got := exitCode(io.Discard, said{exec.CommandContext(t.Context(), "sh", "-c", "exit 3").Run()}); got != 1 {
		t.Errorf("a program of the run that failed: exit code %d", got)
	}
	if got := exitCode(&stderr, errors.Join(errors.New("a"), errors.New("b"))); got != 1 || stderr.String() != "fairway-bench: a\nfairway-bench: b\n" {
		t.Errorf("two errors: exit code %d, said %q", got, &stderr)
	}
}

func TestCompletion(t *testing.T) {
	for args, want := range map[string]string{
		"pps|":         "crr\t",
		"--arms|":      "iptables\n",
		"--family|":    "ipv6\n",
		"--match|":     ":4\n",
		"--out|":       ":16\n",
		"--check|":     ":0\n",
		"prog|--cross": "--cross-check\t",
	} {
		var stdout, stderr bytes.Buffer
		if code := Main(&stdout, &stderr, append([]string{"__complete"}, strings.Split(args, "|")...)); code != 0 || !strings.Contains(stdout.String(), want) {
			t.Errorf("%s: %d, %q, %q", args, code, &stdout, &stderr)
		}
	}
	var stdout, stderr bytes.Buffer
	if Main(&stdout, &stderr, []string{"__complete", "pps", ""}); strings.Contains(stdout.String(), "pps\t") {
		t.Errorf("offers a workload twice: %q", &stdout)
	}
}

// The named program comes first, then the one beside this, then PATH's.
func TestProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, beside := t.TempDir(), filepath.Join(filepath.Dir(self), "fairway")
	named, inPath := filepath.Join(dir, "named"), filepath.Join(dir, "fairway")
	t.Setenv("PATH", dir)
	find := func(o Options, want string) {
		t.Helper()
		if got, err := o.program(); got != want || (err != nil) != (want == "") {
			t.Errorf("found %q, %v; want %q", got, err, want)
		}
	}
	find(Options{}, "")
	find(Options{Fairway: named}, "")
	for _, path := range []string{inPath, beside, named} {
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			t.Fatal(err)
		}
		find(Options{}, map[bool]string{true: inPath, false: beside}[path == inPath])
	}
	t.Cleanup(func() { _ = os.Remove(beside) })
	find(Options{Fairway: named}, named)
}
