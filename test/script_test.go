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
//	                       "fairway: ..." on standard error, and change nothing
//	onhost COMMAND...      runs in the namespace that plays the host
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("scripts: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			harness.ForEach(t, func(t *testing.T, e *harness.Env) {
				testscript.Run(t, testscript.Params{
					Files: []string{file},
					Setup: func(env *testscript.Env) error {
						env.Setenv("FAIRWAY_SOCKET", e.Daemon.Socket)
						env.Setenv("ROOT", e.Daemon.Root)
						env.Setenv("RUNDIR", e.Daemon.RunDir)
						env.Setenv("BPFFS", e.Daemon.BPFFS)
						env.Setenv("NETNS", e.ID+"-script")
						return nil
					},
					Cmds: map[string]func(*testscript.TestScript, bool, []string){
						"ok":      func(ts *testscript.TestScript, _ bool, args []string) { expectExit(ts, 0, args) },
						"refused": func(ts *testscript.TestScript, _ bool, args []string) { refused(ts, e, t, args) },
						"onhost": func(ts *testscript.TestScript, _ bool, args []string) {
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

func refused(ts *testscript.TestScript, e *harness.Env, t *testing.T, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	before := harness.Look(t, e)
	expectExit(ts, want, args[1:])
	line := strings.TrimSuffix(ts.ReadFile("stderr"), "\n")
	if strings.Contains(line, "\n") || !strings.HasPrefix(line, "fairway: ") {
		ts.Fatalf("standard error is %q, want one line \"fairway: ...\"", line)
	}
	if diff := before.Diff(harness.Look(t, e)); diff != "" {
		ts.Fatalf("fairway %s changed something:\n%s", strings.Join(args[1:], " "), diff)
	}
}
