// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// Sockets that were connected to the backend itself are in no flow table: they count as opened and
// as open all the same, and the backend's own kernel shows them.
func TestServiceConnectionsOfSockets(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		client := e.Sandbox(t, "client", "--network", "a")
		web := e.Service(t, "web", "--network", "a", "--port", "80:8000", "--select", "app=web")
		w1 := backend(t, e, "w1", "a")
		web.Become(t, "active", "w1")
		var conns []*harness.TCPConn
		for _, f := range []harness.Family{harness.V4(), harness.V6()} {
			for range 3 {
				for _, from := range []*harness.Netns{client.Netns, e.Host} {
					c, err := harness.DialTCP(from, at(web.VIP(t, "a", f), 80))
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					conns = append(conns, c)
				}
			}
		}
		now := e.InspectService(t, "web").Connections
		if now.Open != len(conns) || now.Opened < len(conns) {
			t.Errorf("counted: %+v, want %d open", now, len(conns))
		}
		open := len(conns)
		if e.Mode == harness.EBPF {
			open = 0
		}
		var flows []listedFlow
		if e.JSON(t, &flows, "flow", "ls", "-o", "json", "-f", "service=web"); len(flows) != open {
			t.Errorf("flow ls has %d, want %d: %+v", len(flows), open, flows)
		}
		peers, err := w1.Netns.Output("ss", "-Htn", "state", "established", "sport", "=", ":8000")
		if err != nil || strings.Count(peers, ":8000") != len(conns) {
			t.Errorf("%d connections at the backend, it says (%v)\n%s", len(conns), err, peers)
		}
	})
}

// SVC-14: connections of a service are counted where operators look for them: by backend, those that
// are open and those that were opened, and those that nobody served.
func TestServiceConnectionsAreCounted(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		web := newFleet(t, e)
		var conns []*harness.TCPConn
		for _, f := range []harness.Family{harness.V4(), harness.V6()} {
			for range 6 {
				for from, dst := range map[*harness.Netns]string{e.LAN1: at(f.Host, 8080), web.client.Netns: at(web.VIP(t, "a", f), 80)} {
					c, err := harness.DialTCP(from, dst)
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					conns = append(conns, c)
				}
			}
		}
		// A first packet may be lost on its way, and another one be the first.
		counted := func(what string, open, opened int) *harness.Service {
			t.Helper()
			var now *harness.Service
			harness.Eventually(t, what, func() error {
				now = e.InspectService(t, "web")
				var of harness.ServiceConnections
				for _, b := range now.Backends {
					of.Open += b.Connections.Open
					of.Opened += b.Connections.Opened
				}
				c := now.Connections
				if c.Open != open || of.Open != open || c.Opened < opened || of.Opened != c.Opened || c.Strangers != 0 {
					return fmt.Errorf("%+v, %+v of the backends, want %d open of %d", c, of, open, opened)
				}
				return nil
			})
			return now
		}
		counted("all are open", len(conns), len(conns))
		table := e.Must(t, "service", "ls", "--counts", "--format", "{{.Name}} {{.Open}} {{.Refused}}")
		if want := fmt.Sprintf("web %d 0", len(conns)); table != want {
			t.Errorf("service ls --counts: %q, want %q", table, want)
		}
		if table := e.Must(t, "service", "backends", "web"); !strings.Contains(table, "OPEN ") {
			t.Errorf("service backends: %s", table)
		}
		for _, c := range conns {
			c.Close()
		}
		before := counted("none is open", 0, len(conns))
		for _, b := range web.names() {
			e.Must(t, "service", "drain", "web", b)
		}
		refusesClients(t, e.LAN1, at(harness.V4().Host, 8080))
		now := counted("nobody serves", 0, before.Connections.Opened)
		if now.Connections.Refused < 1 {
			t.Errorf("refused: %+v", now.Connections)
		}
		m := e.Scrape(t)
		if got := m.Sum("fairway_service_flows_total", `service="web"`); int(got) != now.Connections.Opened {
			t.Errorf("the metric says %v, want %d", got, now.Connections.Opened)
		}
		if got := m.Sum("fairway_service_flows_refused_total", `service="web"`, `reason="no_backend"`); int(got) < 1 {
			t.Errorf("the metric says that %v were refused", got)
		}
		if status := e.Must(t, "status"); !strings.Contains(status, fmt.Sprintf("%d connections opened", now.Connections.Opened)) {
			t.Errorf("status: %s", status)
		}
		web.backends[0].Remove(t)
		e.Daemon.Kill(t)
		e.Daemon.Start(t)
		harness.Eventually(t, "two backends", func() error {
			if now = e.InspectService(t, "web"); len(now.Backends) != 2 {
				return fmt.Errorf("%+v", now.Backends)
			}
			return nil
		})
		e.Expect(t, "SVC-14", "what was counted is counted on after a restart", now.Connections.Opened == before.Connections.Opened)
	}, harness.WithMetrics())
}

// SVC-14: what sockets are connected to a backend themselves is open as anything else, also for
// the next daemon: who drains a backend waits until nothing is.
func TestServiceCountsSockets(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		client := e.Sandbox(t, "client", "--network", "a")
		web := e.Service(t, "web", "--network", "a", "--port", "80:8000", "--publish", "8080:80", "--select", "app=web")
		backend(t, e, "w1", "a")
		web.Become(t, "active", "w1")
		var conns []*harness.TCPConn
		for _, f := range []harness.Family{harness.V4(), harness.V6()} {
			vip := at(web.VIP(t, "a", f), 80)
			for _, way := range []struct {
				from *harness.Netns
				dst  string
			}{{client.Netns, vip}, {client.Netns, vip}, {e.Host, vip}, {e.Host, at(f.Host, 8080)}, {e.LAN1, at(f.Host, 8080)}} {
				c, err := harness.DialTCP(way.from, way.dst)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				conns = append(conns, c)
			}
		}
		open := func(what string, want int) {
			t.Helper()
			harness.Eventually(t, what, func() error {
				now := e.InspectService(t, "web")
				if now.Connections.Open != want || len(now.Backends) != 1 || now.Backends[0].Connections.Open != want {
					return fmt.Errorf("%+v of the service, backends %+v, want %d open", now.Connections, now.Backends, want)
				}
				return nil
			})
		}
		open("all to be open", len(conns))
		e.Must(t, "service", "drain", "web", "w1")
		e.Daemon.Kill(t)
		e.Daemon.Start(t)
		open("all to be open still", len(conns))
		for _, c := range conns[1:] {
			c.Close()
		}
		open("one to be open", 1)
		conns[0].Close()
		open("none to be open", 0)
	}, harness.Restarts())
}
