// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// pluginDir is where Docker looks for drivers, whatever its own directories are.
const pluginDir = "/run/docker/plugins"

// onPlugin runs fn in a world where Docker finds Fairway's network driver, under a
// name of this world's own.
func onPlugin(t *testing.T, fn func(t *testing.T, d *engine, driver string), opts ...harness.Option) {
	t.Helper()
	onEngines(t, func(t *testing.T, d *engine) {
		driver := "fwt-" + d.ID
		socket := filepath.Join(pluginDir, driver+".sock")
		d.Daemon.Args = append(d.Daemon.Args, "--docker-plugin="+socket)
		t.Cleanup(func() {
			_ = os.Remove(socket)
			// Stays if another driver is there.
			_ = os.Remove(pluginDir)
		})
		d.Daemon.Start(t)
		d.start()
		d.importImage()
		fn(t, d, driver)
		if s := d.status(); len(s.Degraded) > 0 {
			t.Errorf("degraded: %q", s.Degraded)
		}
	}, opts...)
}

// pings demands that an address answers.
func (d *engine) pings(from *harness.Netns, to string) {
	d.t.Helper()
	harness.Eventually(d.t, from.Name+" pings "+to, func() error {
		_, err := from.Output("ping", "-n", "-c", "1", "-W", "1", to)
		return err
	})
}

// Containers on a network of the driver's reach each other, the gateway and the
// world outside, are published, and can't reach another network.
func TestPlugin(t *testing.T) {
	onPlugin(t, func(t *testing.T, d *engine, driver string) {
		harness.ServeTCP(t, d.WAN, 80, "wan")
		d.docker("network", "create", "-d", driver, "--subnet", "172.30.0.0/24", "-o", "com.docker.network.driver.mtu=1400", "one")
		d.docker("network", "create", "-d", driver, "two")
		d.serve("web", "--network", "one", "-p", "7000:80", "-p", "7001:80/udp")
		d.serve("cat", "--network", "one", "--ip", "172.30.0.77")
		d.serve("alien", "--network", "two")
		web, cat, alien := d.netns("web"), d.netns("cat"), d.netns("alien")
		is(t, "address asked for", d.ip("cat", "one"), "172.30.0.77")
		d.pings(cat, d.ip("web", "one"))
		d.pings(web, "172.30.0.77")
		d.pings(cat, "172.30.0.1")
		is(t, "source in the network", d.reaches(cat, d.ip("web", "one")+":80", "web"), "172.30.0.77")
		is(t, "source outside", d.reaches(cat, harness.WANIP4+":80", "wan"), harness.HostIP4)
		is(t, "source that a published port shows", d.reaches(d.LAN1, harness.HostIP4+":7000", "web"), harness.LAN1IP4)
		d.reaches(d.Host, "127.0.0.1:7000", "web")
		d.reaches(d.Host, "[::1]:7000", "web")
		d.reaches(alien, harness.HostIP4+":7000", "web")
		d.closed(alien, d.ip("cat", "one")+":80")
		d.closed(d.LAN1, d.ip("cat", "one")+":80")
		if out := cat.Must(t, "ip", "-o", "link", "show", "eth0"); !strings.Contains(out, "mtu 1400") {
			t.Errorf("eth0: %s", out)
		}
		d.noRules()
		if out := d.Fairway(t, "doctor").Out; strings.Contains(out, "no daemon here owns") {
			t.Errorf("doctor says\n%s", out)
		}
		d.discard("web", "cat", "alien")
		d.closed(d.LAN1, harness.HostIP4+":7000")
		bridge := "br-" + d.docker("network", "inspect", "-f", "{{slice .Id 0 12}}", "one")
		d.discardNetworks("one", "two")
		if _, err := d.Host.Output("ip", "link", "show", bridge); err == nil {
			t.Errorf("%s is left", bridge)
		}
	})
}

// What runs goes on over restarts of Fairway, and networks, which Docker never
// tells of again, work after restarts of either.
func TestPluginRestarts(t *testing.T) {
	onPlugin(t, func(t *testing.T, d *engine, driver string) {
		d.docker("network", "create", "-d", driver, "one")
		d.serve("web", "--network", "one", "-p", "7000:80")
		inside := d.connect(harness.HostIP4 + ":7000")
		for i, end := range []func(testing.TB){d.Daemon.Stop, d.Daemon.Kill} {
			end(t)
			inside.echoes("while Fairway is away")
			d.Daemon.Start(t)
			inside.echoes("after its start")
			d.reaches(d.LAN1, harness.HostIP4+":7000", "web")
			name := fmt.Sprintf("new%d", i)
			d.serve(name, "--network", "one", "-p", fmt.Sprintf("%d:80", 7001+i))
			d.reaches(d.netns(name), d.ip("web", "one")+":80", "web")
			d.reaches(d.LAN1, fmt.Sprintf("%s:%d", harness.HostIP4, 7001+i), name)
		}
		d.end(syscall.SIGTERM)
		d.start()
		d.closed(d.LAN1, harness.HostIP4+":7000")
		d.docker("start", "web", "new0")
		d.reaches(d.LAN1, harness.HostIP4+":7000", "web")
		d.reaches(d.netns("new0"), d.ip("web", "one")+":80", "web")
		d.discard("web", "new0", "new1")
		d.discardNetworks("one")
	}, harness.AllowPrivate())
}

// What ends while Fairway is away doesn't keep its address and its port when it is
// back: Docker goes on without an answer, and never tells again.
func TestPluginGivenUp(t *testing.T) {
	onPlugin(t, func(t *testing.T, d *engine, driver string) {
		d.docker("network", "create", "-d", driver, "one")
		d.serve("db", "--network", "one")
		d.serve("web", "--network", "one", "-p", "7000:80")
		d.serve("stays", "--network", "one", "-p", "7001:80")
		d.Daemon.Stop(t)
		back := refuseCalls(t, filepath.Join(pluginDir, driver+".sock"))
		d.discard("db")
		d.docker("stop", "-t", "0", "web")
		back()
		d.Daemon.Start(t)
		harness.Eventually(t, "the port is free", func() error {
			if out := d.Must(t, "ports"); strings.Contains(out, "7000") {
				return errors.New(out)
			}
			return nil
		})
		d.docker("start", "web")
		d.reaches(d.LAN1, harness.HostIP4+":7000", "web")
		d.reaches(d.LAN1, harness.HostIP4+":7001", "stays")
		d.discard("web", "stays")
		d.discardNetworks("one")
	})
}

// refuseCalls answers in a driver's place, with errors: Docker would wait a quarter of
// a minute for one that isn't there, at each call.
func refuseCalls(t *testing.T, socket string) (end func()) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler()}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return func() { server.Close() }
}

// A port that is taken makes docker run fail with the reason, and leaves nothing.
func TestPluginPortTaken(t *testing.T) {
	onPlugin(t, func(t *testing.T, d *engine, driver string) {
		d.docker("network", "create", "-d", driver, "one")
		d.serve("web", "--network", "one", "-p", "7000:80")
		_, err := d.try("run", "-d", "--name", "late", "--network", "one", "-p", "7000:80", image, "/peer", "serve", "80", "late")
		if err == nil || !strings.Contains(err.Error(), "port is already allocated") {
			t.Errorf("second container: %v", err)
		}
		d.reaches(d.LAN1, harness.HostIP4+":7000", "web")
		if _, err := d.try("network", "create", "-d", driver, "-o", "colour=red", "bad"); err == nil || !strings.Contains(err.Error(), "colour") {
			t.Errorf("unknown option: %v", err)
		}
		d.discard("late", "web")
		d.discardNetworks("one")
	})
}

// An uninstall removes what the driver made, under running containers too.
func TestPluginUninstall(t *testing.T) {
	onPlugin(t, func(t *testing.T, d *engine, driver string) {
		d.docker("network", "create", "-d", driver, "one")
		d.serve("web", "--network", "one", "-p", "7000:80")
		d.Must(t, "uninstall", "-f")
		d.closed(d.LAN1, harness.HostIP4+":7000")
		if out := d.Host.Must(t, "ip", "-o", "link"); strings.Contains(out, "fairway:") {
			t.Errorf("devices are left:\n%s", out)
		}
		d.Daemon.Stop(t)
		d.Daemon.Start(t)
		d.docker("restart", "-t", "0", "web")
		d.reaches(d.LAN1, harness.HostIP4+":7000", "web")
		d.discard("web")
		d.discardNetworks("one")
	})
}
