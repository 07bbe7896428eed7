// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// shows demands that a command prints a line with all these words.
func (d *engine) shows(words []string, args ...string) {
	d.t.Helper()
	harness.Eventually(d.t, fmt.Sprintf("fairway %s shows %q", strings.Join(args, " "), words), func() error {
		out := d.Must(d.t, args...)
		for line := range strings.Lines(out) {
			if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
				return nil
			}
		}
		return fmt.Errorf("not in\n%s", out)
	})
}

// What Docker has is in Fairway's lists too, with its owner: networks, containers,
// ports, flows and metrics.
func TestDockerIsShown(t *testing.T) {
	onPlugin(t, func(t *testing.T, d *engine, driver string) {
		d.docker("network", "create", "native")
		d.docker("network", "create", "-d", driver, "driven")
		d.serve("web", "--network", "native", "-p", "7000:80")
		d.serve("app", "--network", "driven", "-p", "7001:80")
		d.reaches(d.LAN1, harness.HostIP4+":7000", "web")
		d.reaches(d.LAN1, harness.HostIP4+":7001", "app")
		for _, c := range []struct{ network, name, owner, port string }{
			{"native", "web", "docker", "7000"}, {"driven", "app", "docker-plugin", "7001"},
		} {
			d.shows([]string{c.network, "bridge", c.owner}, "network", "ls")
			d.shows([]string{c.name, c.network, d.ip(c.name, c.network), "0.0.0.0:" + c.port + "->80/tcp", c.owner}, "ps")
			d.shows([]string{"0.0.0.0:" + c.port, "80/tcp", c.name, c.owner}, "ports")
			d.shows([]string{"80/tcp -> 0.0.0.0:" + c.port}, "port", c.name)
			d.shows([]string{"[::]:" + c.port}, "port", c.name, "80")
			d.shows([]string{c.name}, "flow", "ls")
			d.shows([]string{c.owner, "1 endpoints, 2 published ports"}, "status")
			m := d.Scrape(t)
			if n := m.Sum("fairway_endpoints", `owner="`+c.owner+`"`); n != 1 {
				t.Errorf("fairway_endpoints of %s: %v", c.owner, n)
			}
			if n := m.Sum("fairway_container_receive_packets_total", `owner="`+c.owner+`"`, `name="`+c.name+`"`); n == 0 {
				t.Errorf("no packets of %s", c.name)
			}
		}
		if out := d.Must(t, "ps", "-q"); out != "" {
			t.Errorf("fairway ps -q: %q", out)
		}
		d.discard("web", "app")
		d.discardNetworks("native", "driven")
		if out := d.Must(t, "ports"); strings.Contains(out, "docker") {
			t.Errorf("ports after all is removed:\n%s", out)
		}
		d.logged("docker", "sandbox=web", "network=native", "7000")
		d.logged("docker-plugin", "sandbox=", "network=", "7001")
	}, harness.WithMetrics())
}

// logged demands that the log has a line for each thing that came, and one for each that
// went, with its owner. A port may go and come again while its container ends: Docker
// still lists it when its proxy is gone.
func (d *engine) logged(owner, sandbox, network, port string) {
	d.t.Helper()
	endpoint, published := []string{sandbox, network, "ipv4="}, []string{sandbox, "port=0.0.0.0:" + port + "->80/tcp"}
	for _, c := range []struct {
		came, went string
		words      []string
	}{
		{"network created", "network removed", []string{network}},
		{"endpoint connected", "endpoint disconnected", endpoint},
		{"port published", "port unpublished", published},
	} {
		harness.Eventually(d.t, c.came+" and "+c.went+" of "+owner, func() error {
			log := d.Daemon.Log()
			count := func(msg string) int { return lines(log, append(c.words, `level=INFO msg="`+msg+`" owner=`+owner+" ")) }
			if came, went := count(c.came), count(c.went); came == 0 || came != went {
				return fmt.Errorf("%d and %d lines with %q in\n%s", came, went, c.words, log)
			}
			return nil
		})
	}
}

// lines counts those that have all words.
func lines(text string, words []string) (n int) {
	for line := range strings.Lines(text) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			n++
		}
	}
	return n
}

// A daemon that is started without --docker-plugin carries on what the driver had,
// says loudly that Docker gets no answers, and the next one with it takes over.
func TestPluginUnserved(t *testing.T) {
	onPlugin(t, func(t *testing.T, d *engine, driver string) {
		d.docker("network", "create", "-d", driver, "one")
		d.serve("web", "--network", "one", "-p", "7000:80")
		inside := d.connect(harness.HostIP4 + ":7000")
		d.Daemon.Stop(t)
		with := d.Daemon.Args
		d.Daemon.Args = slices.DeleteFunc(slices.Clone(with), func(a string) bool { return strings.HasPrefix(a, "--docker-plugin") })
		d.Daemon.Start(t)
		inside.echoes("without --docker-plugin")
		d.reaches(d.LAN1, harness.HostIP4+":7000", "web")
		d.shows([]string{"80/tcp -> 0.0.0.0:7000"}, "port", "web")
		if s := d.status(); len(s.Degraded) != 1 || !strings.Contains(s.Degraded[0], "--docker-plugin") {
			t.Errorf("degraded: %q", s.Degraded)
		}
		if !strings.Contains(d.Daemon.Log(), "flag=--docker-plugin") {
			t.Errorf("the daemon says:\n%s", d.Daemon.Log())
		}
		d.Daemon.Stop(t)
		d.Daemon.Args = with
		d.Daemon.Start(t)
		inside.echoes("with it again")
		d.discard("web")
		d.closed(d.LAN1, harness.HostIP4+":7000")
		d.discardNetworks("one")
	})
}
