// SPDX-License-Identifier: Apache-2.0

package test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts say what the command line answers, to bad input above all. Beside
// testscript's own commands they have
//
//	ok ARGS...             fairway ARGS must succeed
//	refused CODE ARGS...   fairway ARGS must exit with CODE, say one line
//	                       "fairway: ..." on standard error, and change nothing;
//	                       the host is looked at before the first of several and
//	                       after the last
//	onhost COMMAND...      runs in the namespace that plays the host
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("scripts: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			harness.ForEach(t, func(t *testing.T, e *harness.Env) {
				r := refusals{t: t, e: e}
				testscript.Run(t, testscript.Params{
					Files: []string{file},
					Setup: func(env *testscript.Env) error {
						env.Defer(r.end)
						env.Setenv("FAIRWAY_SOCKET", e.Daemon.Socket)
						env.Setenv("ROOT", e.Daemon.Root)
						env.Setenv("RUNDIR", e.Daemon.RunDir)
						env.Setenv("BPFFS", e.Daemon.BPFFS)
						env.Setenv("NETNS", e.ID+"-script")
						return nil
					},
					Cmds: map[string]func(*testscript.TestScript, bool, []string){
						"ok": func(ts *testscript.TestScript, _ bool, args []string) {
							r.end()
							expectExit(ts, 0, args)
						},
						"refused": func(ts *testscript.TestScript, _ bool, args []string) { r.refused(ts, args) },
						"onhost": func(ts *testscript.TestScript, _ bool, args []string) {
							r.end()
							out, err := e.Host.Output(args[0], args[1:]...)
							ts.Logf("%s", out)
							ts.Check(err)
						},
					},
				})
			})
		})
	}
}

// expectExit runs fairway and compares the exit code. What it printed is there
// for the script's stdout and stderr commands.
func expectExit(ts *testscript.TestScript, want int, args []string) {
	code := 0
	err := ts.Exec(os.Getenv(harness.EnvBinary), args...)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("fairway %s: exit %d, want %d", strings.Join(args, " "), code, want)
	}
}

// refusals are commands that are refused one after the other.
type refusals struct {
	t      *testing.T
	e      *harness.Env
	before harness.View
	lines  []string
}

func (r *refusals) refused(ts *testscript.TestScript, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if len(r.lines) == 0 {
		r.before = harness.Look(r.t, r.e)
	}
	r.lines = append(r.lines, strings.Join(args[1:], " "))
	expectExit(ts, want, args[1:])
	line := strings.TrimSuffix(ts.ReadFile("stderr"), "\n")
	if strings.Contains(line, "\n") || !strings.HasPrefix(line, "fairway: ") {
		ts.Fatalf("standard error is %q, want one line \"fairway: ...\"", line)
	}
}

// end reports what they changed.
func (r *refusals) end() {
	if len(r.lines) == 0 {
		return
	}
	if diff := r.before.Diff(harness.Look(r.t, r.e)); diff != "" {
		r.t.Errorf("one of these fairway commands changed something:\n%s\n%s", strings.Join(r.lines, "\n"), diff)
	}
	r.lines = nil
}
