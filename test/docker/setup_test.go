// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// An engine with rules of its own is taken over: configured, restarted, its rules
// flushed, its containers carried; and given back.
func TestSetupTakesOver(t *testing.T) {
	onEngines(t, func(t *testing.T, d *engine) {
		// Where the engine itself turns forwarding on, it also leaves the policy of
		// FORWARD at DROP, which setup doesn't touch: the host would become a router.
		d.Host.Sysctl(t, "ipv4/ip_forward", "1")
		d.args, d.own = nil, true
		config := filepath.Join(d.dir, "daemon.json")
		before, err := os.ReadFile(config)
		if err != nil {
			t.Fatal(err)
		}
		d.start()
		d.importImage()
		d.serve("web", "-p", "7000:80", "--restart", "always")
		setup := func(args ...string) harness.Result {
			args = append([]string{"docker", "setup", "--root", d.Daemon.Root, "--proxy", os.Getenv(envProxy)}, args...)
			return d.Fairway(t, args...)
		}
		if r := setup("--check"); r.Code != 2 || !strings.Contains(r.Out, "docker iptables") {
			t.Errorf("check of an engine with rules: exit %d\n%s%s", r.Code, r.Out, r.Err)
		}
		r := setup("--force")
		if r.Code != 0 || !strings.Contains(r.Out, "carry traffic now") {
			t.Errorf("setup: exit %d\n%s%s", r.Code, r.Out, r.Err)
		}
		d.end(syscall.SIGTERM)
		d.start()
		if r := setup("--force"); r.Code != 0 || !strings.Contains(r.Out, "remove chain") {
			t.Errorf("second setup: exit %d\n%s%s", r.Code, r.Out, r.Err)
		}
		d.Daemon.Start(t)
		d.reaches(d.LAN1, harness.HostIP4+":7000", "web")
		d.noRules()
		if r := setup("--check"); r.Code != 0 {
			t.Errorf("check after the setup: exit %d\n%s%s", r.Code, r.Out, r.Err)
		}
		d.agrees(setup)
		if r := setup("--undo"); r.Code != 0 {
			t.Errorf("undo: exit %d\n%s%s", r.Code, r.Out, r.Err)
		}
		if raw, err := os.ReadFile(config); err != nil || string(raw) != string(before) {
			t.Errorf("daemon.json after the undo: %q, %v, before it %q", raw, err, before)
		}
		// What a daemon that ran keeps is there when none does.
		if r := setup("--force"); r.Code != 0 {
			t.Errorf("setup with a daemon: exit %d\n%s%s", r.Code, r.Out, r.Err)
		}
		d.Daemon.Stop(t)
		if r := setup("--undo"); r.Code != 0 || !strings.Contains(r.Out, "as it was before") {
			t.Errorf("undo without a daemon: exit %d\n%s%s", r.Code, r.Out, r.Err)
		}
	}, harness.AllowPrivate())
}

// agrees demands that doctor and setup's check judge the policy that Docker leaves
// alike, and that none of them advises what would cut the containers off.
func (d *engine) agrees(setup func(...string) harness.Result) {
	d.t.Helper()
	d.Host.Must(d.t, "iptables", "-P", "FORWARD", "DROP")
	defer d.Host.Must(d.t, "iptables", "-P", "FORWARD", "ACCEPT")
	if r := setup("--check"); r.Code != 0 || !strings.Contains(r.Out, "the policy of FORWARD is DROP") {
		d.t.Errorf("check with a policy: exit %d\n%s%s", r.Code, r.Out, r.Err)
	}
	checks := d.Fairway(d.t, "doctor").Out
	for line := range strings.Lines(checks) {
		if strings.Contains(line, "policy") && !strings.HasPrefix(line, "OK") || strings.Contains(line, "first-packet") {
			d.t.Errorf("doctor says %s", line)
		}
	}
	if !strings.Contains(checks, "iptables policy DROP in FORWARD") {
		d.t.Errorf("doctor doesn't name the policy:\n%s", checks)
	}
	d.reaches(d.LAN1, harness.HostIP4+":7000", "web")
}
