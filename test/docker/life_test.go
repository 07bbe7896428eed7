// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// A network that sorts before the present one takes the ports over when it is
// connected, and gives them back.
func TestPortsFollowTheGateway(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		d.docker("network", "create", "mmm")
		d.docker("network", "create", "aaa")
		d.serve("web", "--network", "mmm", "-p", "7000:80")
		d.reaches(d.LAN1, harness.HostIP4+":7000", "web")
		d.docker("network", "connect", "aaa", "web")
		d.reaches(d.LAN1, harness.HostIP4+":7000", "web")
		d.docker("network", "disconnect", "mmm", "web")
		d.reaches(d.LAN1, harness.HostIP4+":7000", "web")
		d.docker("network", "disconnect", "aaa", "web")
		d.closed(d.LAN1, harness.HostIP4+":7000")
		d.docker("network", "connect", "mmm", "web")
		d.reaches(d.LAN1, harness.HostIP4+":7000", "web")
	})
}

// Stopped, started, paused, renamed: what runs is reached, what doesn't is not, and
// an address that another container has got leads to that one.
func TestLifeOfAContainer(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		d.serve("one", "-p", "7000:80")
		first := d.ip("one", "bridge")
		d.docker("stop", "-t", "0", "one")
		d.closed(d.LAN1, harness.HostIP4+":7000")
		d.serve("two", "-p", "7001:80")
		is(t, "address used again", d.ip("two", "bridge"), first)
		d.reaches(d.LAN1, harness.HostIP4+":7001", "two")
		d.closed(d.LAN1, harness.HostIP4+":7000")
		d.docker("start", "one")
		d.reaches(d.LAN1, harness.HostIP4+":7000", "one")
		d.docker("rename", "two", "zwei")
		d.docker("pause", "zwei")
		d.docker("unpause", "zwei")
		d.reaches(d.LAN1, harness.HostIP4+":7001", "two")
		d.docker("restart", "-t", "0", "zwei")
		d.reaches(d.LAN1, harness.HostIP4+":7001", "two")
		d.docker("kill", "one")
		d.closed(d.LAN1, harness.HostIP4+":7000")
	})
}

// steady keeps a TCP connection and a UDP socket to a published port busy; no message
// may be lost.
func (d *engine) steady(to string) *harness.Flows {
	d.t.Helper()
	d.reaches(d.LAN1, to, "stays")
	flows := harness.NewFlows(d.t)
	flows.TCP(d.t, d.LAN1, to)
	flows.UDP(d.t, d.LAN1, to)
	flows.Advance(d.t, 10)
	return flows
}

// connection is one that must not break.
type connection struct {
	*harness.TCPConn
	t testing.TB
}

func (d *engine) connect(to string) connection {
	d.t.Helper()
	var c *harness.TCPConn
	// The container's server may not listen yet.
	harness.Eventually(d.t, "connect to "+to, func() (err error) {
		c, err = harness.DialTCP(d.LAN1, to, harness.Within(harness.Silence))
		return err
	})
	d.t.Cleanup(func() { c.Close() })
	return connection{c, d.t}
}

func (c connection) echoes(when string) {
	c.t.Helper()
	if err := c.Echo(when); err != nil {
		c.t.Errorf("%s: the connection is broken: %v", when, err)
	}
}

// Fairway started after an engine that has containers already.
func TestDaemonComesLater(t *testing.T) {
	onEngines(t, func(t *testing.T, d *engine) {
		d.start()
		d.importImage()
		d.docker("network", "create", "-o", "com.docker.network.bridge.name=own0", "own")
		d.serve("web", "-p", "7000:80", "--network", "own")
		d.Daemon.Start(t)
		d.reaches(d.LAN1, harness.HostIP4+":7000", "web")
		d.noRules()
	}, harness.AllowPrivate())
}

// Sandboxes of Fairway's own and containers live side by side, and a host port
// belongs to one of them.
func TestBesideSandboxes(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		d.serve("web", "-p", "7000:80")
		peer := strings.TrimSpace(d.Must(t, "run", "-d", "--name", "box", "-p", "7001:80", "--", harnessPeer(), "serve", "80", "box"))
		if peer == "" {
			t.Fatal("no sandbox")
		}
		d.reaches(d.LAN1, harness.HostIP4+":7000", "web")
		d.reaches(d.LAN1, harness.HostIP4+":7001", "box")
		if r := d.Fairway(t, "run", "-d", "-p", "7000:80", "--", harnessPeer(), "serve", "80", "x"); r.Code == 0 {
			t.Error("a sandbox got a container's port")
		}
		if _, err := d.try("run", "-d", "--name", "x", "-p", "7001:80", image, "/peer", "serve", "80", "x"); err == nil {
			t.Error("a container got a sandbox's port")
		}
		d.closed(d.netns("web"), d.sandboxIP("box")+":80")
		d.Daemon.Kill(t)
		d.Daemon.Start(t)
		d.reaches(d.LAN1, harness.HostIP4+":7000", "web")
		d.reaches(d.LAN1, harness.HostIP4+":7001", "box")
		d.Must(t, "rm", "-f", "box")
		d.reaches(d.LAN1, harness.HostIP4+":7000", "web")
	})
}

// Rules that an operator has for containers aren't passed by silently.
func TestDockerUserRules(t *testing.T) {
	onEngines(t, func(t *testing.T, d *engine) {
		d.Host.Must(t, "iptables", "-N", "DOCKER-USER")
		d.Host.Must(t, "iptables", "-A", "DOCKER-USER", "-s", "192.0.2.99", "-j", "DROP")
		if err := d.Daemon.TryStart(); err == nil {
			t.Error("the daemon starts")
		}
		if log := d.Daemon.Log(); !strings.Contains(log, "DOCKER-USER") || !strings.Contains(log, "192.0.2.99") || !strings.Contains(log, "--netfilter=bypass") {
			t.Errorf("the daemon says:\n%s", log)
		}
		d.Daemon.Args = append(d.Daemon.Args, "--netfilter=bypass")
		d.Daemon.Start(t)
		d.Host.Must(t, "iptables", "-F", "DOCKER-USER")
		d.Host.Must(t, "iptables", "-X", "DOCKER-USER")
	})
}
