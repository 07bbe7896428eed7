// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/cli"
)

// Result is what a command left.
type Result struct {
	Out, Err string
	Code     int
}

// Fairway runs the command line against the environment's daemon.
func (e *Env) Fairway(t testing.TB, args ...string) Result {
	t.Helper()
	return e.Daemon.Fairway(t, args...)
}

// Fairway runs the command line against this daemon.
func (d *Daemon) Fairway(t testing.TB, args ...string) Result {
	t.Helper()
	return d.run(t, "", append([]string{"--socket", d.Socket}, args...)...)
}

// Feed is Fairway with standard input.
func (d *Daemon) Feed(t testing.TB, stdin string, args ...string) Result {
	t.Helper()
	return d.run(t, stdin, append([]string{"--socket", d.Socket}, args...)...)
}

// Uninstall runs `fairway uninstall`, which asks the daemon to do it, or does it
// itself where none runs.
func (d *Daemon) Uninstall(t testing.TB) Result { t.Helper(); return d.uninstall(t, "--purge") }

// UninstallKeepingState leaves the networks in the state on disk.
func (d *Daemon) UninstallKeepingState(t testing.TB) Result { t.Helper(); return d.uninstall(t) }

// UninstallFrom is UninstallKeepingState by an operator in another namespace than the
// daemon's.
func (d *Daemon) UninstallFrom(t testing.TB, n *Netns) Result {
	t.Helper()
	there := *d
	there.netns = n
	return there.UninstallKeepingState(t)
}

func (d *Daemon) uninstall(t testing.TB, more ...string) Result {
	t.Helper()
	args := append([]string{"--socket", d.Socket, "uninstall", "--force", "--datapath", string(d.Mode)}, more...)
	return d.run(t, "", append(args, d.Dirs()...)...)
}

func (d *Daemon) run(t testing.TB, stdin string, args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	return d.runUntil(ctx, t, stdin, args...)
}

func (d *Daemon) runUntil(ctx context.Context, t testing.TB, stdin string, args ...string) Result {
	t.Helper()
	var out, errs strings.Builder
	if onlyAsks(args) {
		env := cli.Env{Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs, LookupEnv: os.LookupEnv, Now: time.Now}
		code := cli.Run(ctx, env, cli.Programs{}, args)
		return Result{Out: out.String(), Err: errs.String(), Code: code}
	}
	cmd := d.netns.Command(ctx, os.Getenv(EnvBinary), args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	if err := d.netns.Start(cmd); err != nil {
		t.Fatalf("fairway %s: %v", strings.Join(args, " "), err)
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("fairway %s: %v", strings.Join(args, " "), err)
	}
	return Result{Out: out.String(), Err: errs.String(), Code: cmd.ProcessState.ExitCode()}
}

// onlyAsks reports whether a command line, which begins with --socket and its value, does
// nothing but ask the daemon. To start the program takes longer than all that such a one
// does, so it runs in the test's own process. The scripts in testdata run the program.
func onlyAsks(args []string) bool {
	if len(args) < 3 || args[0] != "--socket" {
		return false
	}
	switch args[2] {
	case "network", "service", "ps", "inspect", "port", "ports", "stop", "wait", "rm", "flow", "status":
		return true
	case "run":
		flags := args[3:]
		if end := slices.Index(flags, "--"); end >= 0 {
			flags = flags[:end]
		}
		return slices.Contains(flags, "-d")
	}
	return false
}

// Must runs the command line and ends the test where it doesn't succeed. It
// returns standard output without the last line end.
func (e *Env) Must(t testing.TB, args ...string) string {
	t.Helper()
	r := e.Fairway(t, args...)
	if r.Code != 0 {
		t.Fatalf("fairway %s: exit %d: %s", strings.Join(args, " "), r.Code, r.Err)
	}
	return strings.TrimRight(r.Out, "\n")
}

// Refused runs the command line, demands that it fails with exit code 1 and one
// line on standard error, and that this line has every one of the words.
func (e *Env) Refused(t testing.TB, words []string, args ...string) {
	t.Helper()
	r := e.Fairway(t, args...)
	line := strings.TrimRight(r.Err, "\n")
	if r.Code != 1 || strings.Contains(line, "\n") || !strings.HasPrefix(line, "fairway: ") {
		t.Errorf("fairway %s: exit %d, want 1 and one line \"fairway: ...\"; got %q", strings.Join(args, " "), r.Code, r.Err)
		return
	}
	for _, w := range words {
		if !strings.Contains(line, w) {
			t.Errorf("fairway %s: error %q doesn't name %q", strings.Join(args, " "), line, w)
		}
	}
}

// JSON runs the command line and decodes its standard output into v.
func (e *Env) JSON(t testing.TB, v any, args ...string) {
	t.Helper()
	out := e.Must(t, args...)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		t.Fatalf("fairway %s: %v in %s", strings.Join(args, " "), err, out)
	}
}
