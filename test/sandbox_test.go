// SPDX-License-Identifier: Apache-2.0

package test

import (
	"os"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// Real programs in sandboxes talk to each other by name.
func TestProgramsInSandboxes(t *testing.T) {
	peer := os.Getenv(harness.EnvPeer)
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.SandboxRunning(t, "web", []string{"--network", "a", "-p", "8080:80"}, peer, "serve", "80", "web")
		harness.Eventually(t, "server", func() error { _, err := harness.GetTCP(e.LAN1, at(harness.HostIP4, 8080)); return err })
		out := e.Must(t, "run", "--rm", "--network", "a", "--", peer, "fetch", "web:80")
		if !strings.HasPrefix(out, "web ") {
			t.Errorf("fetch by name: %q", out)
		}
		if out := e.Must(t, "exec", "web", "--", peer, "fetch", "web:80"); !strings.HasPrefix(out, "web ") {
			t.Errorf("fetch of itself: %q", out)
		}
	})
}

// run and exec pass on standard streams and exit codes.
func TestForeground(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		r := e.Daemon.Feed(t, "hello\n", "run", "--rm", "--network", "a", "--", "sh", "-c", "cat; echo oops >&2; exit 7")
		if r.Code != 7 || r.Out != "hello\n" || r.Err != "oops\n" {
			t.Errorf("run: %+v", r)
		}
		e.Sandbox(t, "c", "--network", "a")
		if r := e.Daemon.Feed(t, "hi", "exec", "c", "--", "sh", "-c", "cat; exit 3"); r.Code != 3 || r.Out != "hi" {
			t.Errorf("exec: %+v", r)
		}
		for _, c := range []struct {
			command string
			code    int
		}{{"/no/such/program", 127}, {"/etc/passwd", 126}} {
			if r := e.Fairway(t, "run", "--rm", "--network", "a", "--", c.command); r.Code != c.code {
				t.Errorf("run %s: %+v, want exit code %d", c.command, r, c.code)
			}
			if r := e.Fairway(t, "exec", "c", "--", c.command); r.Code != c.code {
				t.Errorf("exec %s: %+v, want exit code %d", c.command, r, c.code)
			}
		}
		if out := e.Must(t, "ps", "-a", "-q"); strings.Count(out, "\n") != 0 {
			t.Errorf("sandboxes left: %s", out)
		}
	})
}

// stop keeps the sandbox, rm removes it; both with all its processes.
func TestStopAndRemove(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.SandboxRunning(t, "stopped", []string{"--network", "a", "-p", "8080:80"}, "sh", "-c", "sleep 1000 & sleep 1000 & wait")
		e.Refused(t, []string{"stopped", "running"}, "rm", "stopped")
		e.Must(t, "stop", "stopped")
		if in := e.Inspect(t, "stopped"); in.State.Running || in.State.Status != "exited" {
			t.Errorf("after stop: %+v", in.State)
		}
		e.Must(t, "rm", "stopped")
		e.Refused(t, []string{"stopped"}, "inspect", "stopped")
	})
}
