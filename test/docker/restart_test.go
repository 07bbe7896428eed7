// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// A daemon that is killed is missed by nobody who was there: connections go on and
// new ones come, while containers come and go unseen; the next daemon knows them.
func TestDaemonKilled(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		d.serve("stays", "-p", "7000:80", "-p", "7000:80/udp")
		d.serve("goes", "-p", "7001:80")
		d.docker("network", "create", "fades")
		flows := d.steady(harness.HostIP4 + ":7000")
		d.Daemon.Kill(t)
		d.reaches(d.LAN1, harness.HostIP4+":7000", "stays")
		d.discard("goes")
		d.discardNetworks("fades")
		d.docker("network", "create", "grows")
		d.serve("came", "-p", "7002:80", "--network", "grows")
		d.serve("again", "-p", "7001:80")
		flows.Advance(t, 10)
		d.Daemon.Start(t)
		d.matches()
		flows.Advance(t, 10)
		for port, name := range map[int]string{7000: "stays", 7001: "again", 7002: "came"} {
			d.reaches(d.LAN1, fmt.Sprintf("%s:%d", harness.HostIP4, port), name)
		}
		d.discard("again", "came")
		d.closed(d.LAN1, harness.HostIP4+":7001")
		d.closed(d.LAN1, harness.HostIP4+":7002")
		d.Daemon.Stop(t)
		flows.Advance(t, 10)
		d.Daemon.Start(t)
		d.matches()
		d.reaches(d.LAN1, harness.HostIP4+":7000", "stays")
		flows.Stop(t)
		if s := d.status(); len(s.Degraded) > 0 {
			t.Errorf("degraded: %q", s.Degraded)
		}
	}, harness.AllowPrivate())
}

// With live-restore an engine may go and come, also the hard way, and the daemon be
// restarted while it is away: traffic of its containers never stops.
func TestEngineRestart(t *testing.T) {
	onEngines(t, func(t *testing.T, d *engine) {
		flows := d.startWithLiveRestore()
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
			d.end(sig)
			flows.Advance(t, 10)
			d.reaches(d.LAN1, harness.HostIP4+":7000", "stays")
			d.Daemon.Kill(t)
			d.Daemon.Start(t)
			flows.Advance(t, 10)
			d.reaches(d.LAN1, harness.HostIP4+":7000", "stays")
			d.start()
			d.matches()
			d.reaches(d.LAN1, harness.HostIP4+":7000", "stays")
			d.serve("new", "-p", "7001:80")
			d.reaches(d.LAN1, harness.HostIP4+":7001", "new")
			d.discard("new")
			d.closed(d.LAN1, harness.HostIP4+":7001")
			d.matches()
		}
		flows.Stop(t)
	})
}

// startWithLiveRestore starts both daemons and a container that is kept busy.
func (d *engine) startWithLiveRestore() *harness.Flows {
	d.t.Helper()
	d.args = append(d.args, "--live-restore")
	d.Daemon.Start(d.t)
	d.start()
	d.importImage()
	d.serve("stays", "-p", "7000:80", "-p", "7000:80/udp")
	return d.steady(harness.HostIP4 + ":7000")
}

// Without live-restore the containers end with the engine, and come again by their
// policy; one that is killed finds what its predecessor left, and tidies it up.
func TestEngineRestartWithPolicy(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		d.docker("network", "create", "net")
		d.serve("web", "-p", "7000:80", "--restart", "always")
		d.serve("user", "-p", "7001:80", "--restart", "always", "--network", "net")
		d.serve("once", "-p", "7002:80")
		d.end(syscall.SIGTERM)
		d.closed(d.LAN1, harness.HostIP4+":7000")
		d.start()
		d.reaches(d.LAN1, harness.HostIP4+":7000", "web")
		d.reaches(d.LAN1, harness.HostIP4+":7001", "user")
		d.closed(d.LAN1, harness.HostIP4+":7002")
		d.matches()
		d.end(syscall.SIGKILL)
		d.reaches(d.LAN1, harness.HostIP4+":7000", "web")
		d.start()
		d.matches()
		// The engine ends what it finds, and takes that for the user's own will.
		d.docker("start", "web", "user")
		d.reaches(d.LAN1, harness.HostIP4+":7000", "web")
		d.reaches(d.LAN1, harness.HostIP4+":7001", "user")
		d.matches()
	})
}

// An upgrade of the engine with live-restore: the next one has other habits, and
// carries on with the containers of the one before.
func TestEngineUpgrade(t *testing.T) {
	onEngines(t, func(t *testing.T, d *engine) {
		all, err := installedEngines()
		if err != nil {
			t.Fatal(err)
		}
		newest := newestOf(all)
		flows := d.startWithLiveRestore()
		d.docker("network", "create", "net")
		d.serve("other", "-p", "7001:80", "--network", "net")
		d.end(syscall.SIGTERM)
		d.binaries = newest
		d.start()
		is(t, "engine", d.docker("version", "-f", "{{slice .Server.Version 0 4}}"), newest.version)
		d.matches()
		d.reaches(d.LAN1, harness.HostIP4+":7000", "stays")
		d.reaches(d.LAN1, harness.HostIP4+":7001", "other")
		d.serve("new", "-p", "7002:80", "--network", "net")
		d.reaches(d.LAN1, harness.HostIP4+":7002", "new")
		d.discard("other")
		d.matches()
		flows.Stop(t)
	})
}
