// SPDX-License-Identifier: Apache-2.0

package test

import (
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// Connections to a backend that has left its service go on for as long as --drain says, though
// another daemon comes meanwhile.
func TestServiceDrainOutlivesDaemon(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		client := e.Sandbox(t, "client", "--network", "a")
		web := e.Service(t, "web", "--network", "a", "--port", "80:8000", "--publish", "8080:80", "--backend", "w1", "--drain", "1h")
		backend(t, e, "w1", "a")
		backend(t, e, "w2", "a")
		web.Become(t, "active", "w1")
		var conns []*harness.TCPConn
		var ways []string
		for _, f := range []harness.Family{harness.V4(), harness.V6()} {
			for _, way := range []struct {
				from *harness.Netns
				dst  string
			}{{client.Netns, at(web.VIP(t, "a", f), 80)}, {e.Host, at(f.Host, 8080)}, {e.LAN1, at(f.Host, 8080)}} {
				c, err := harness.DialTCP(way.from, way.dst)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				conns, ways = append(conns, c), append(ways, way.from.Name+" → "+way.dst)
			}
		}
		e.Must(t, "service", "update", "web", "--backend", "w2")
		web.Become(t, "draining", "w1")
		e.Daemon.Kill(t)
		e.Daemon.Start(t)
		web.Become(t, "active", "w2")
		web.Become(t, "draining", "w1")
		// The next change finds what is to end.
		e.Must(t, "service", "update", "web", "--scheduler", "random")
		for i, c := range conns {
			if err := c.Echo("still here"); err != nil {
				t.Errorf("%s with another daemon: %v", ways[i], err)
			}
		}
	}, harness.Restarts())
}
