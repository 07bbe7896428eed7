// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/harness"
)

// CAP-02: one container takes all source ports towards a server, and fills the table with
// established connections. Another one still gets what it is sure of.
func TestBusyContainerLeavesOthersTheirShare(t *testing.T) {
	// Destinations whose counts of ports fall together (bpf/share.h) have a part of the ports
	// each. There are more of them than it takes, so that those that are refused ports are none
	// the less not what ends the connections.
	const table, ports, first, perPort, servers = 1024, 60, 50000, 16, 48
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		busy, other := pair(t, e)
		harness.ServeUDP(t, e.WAN, 80, "wan")
		for i := range servers {
			harness.ServeTCP(t, e.WAN, 80+i, "wan")
		}
		t.Run("ports", func(t *testing.T) {
			before, most, sure := e.Drops(t), ports, 0
			if e.Protects("CAP-02") {
				most, sure = ports-2, 2
			}
			if n := datagramsFrom(t, busy, first, ports); n != most {
				t.Errorf("one container has %d of %d ports towards a server, want %d", n, ports, most)
			}
			if n := datagramsFrom(t, other, first, 2); n != sure {
				t.Errorf("the other has %d ports, want %d", n, sure)
			}
			if e.Mode == harness.EBPF {
				e.Dropped(t, "port_share", before, 1)
			}
		})
		if e.Mode != harness.EBPF {
			return // there is one table for the whole machine
		}
		t.Run("connections", func(t *testing.T) {
			before := e.Drops(t)
			held := dialUntilRefused(t, busy, servers, perPort)
			if held < table/2*7/10 {
				t.Errorf("one container has %d connections, want most of %d", held, table/2)
			}
			for i := range 20 {
				c, err := harness.DialTCP(other.Netns, at(harness.WANIP4, 80+i%4))
				if err != nil {
					t.Fatalf("connection %d of the other: %v", i, err)
				}
				defer c.Close()
			}
			e.Dropped(t, "flow_share", before, 1)
			busyHas := fmt.Sprintf(`name=%q`, busy.Name)
			if n := e.Scrape(t).Sum("fairway_container_flows", busyHas); n < float64(held) {
				t.Errorf("%v connections of %s are counted, want at least %d", n, busy.Name, held)
			}
			for _, want := range []string{"flows", "ports"} {
				if n := e.Scrape(t).Sum("fairway_container_flows_refused_total", busyHas, fmt.Sprintf(`want=%q`, want)); n < 1 {
					t.Errorf("no refusal of %s is counted for %s", want, busy.Name)
				}
			}
		})
	}, harness.DaemonArgs("--flow-table-size", fmt.Sprint(table),
		"--masquerade-ports", fmt.Sprintf("%d-%d", first, first+ports-1), "--metrics", harness.MetricsAddr))
}

// datagramsFrom counts how many of n source ports lead to the server and back.
func datagramsFrom(t *testing.T, c *harness.Sandbox, first, n int) (served int) {
	t.Helper()
	for i := range n {
		u, err := harness.DialUDP(c.Netns, at(harness.WANIP4, 80), harness.From(fmt.Sprint(":", first+i)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := u.Exchange(8, time.Second); err == nil {
			served++
		}
		u.Close()
	}
	return served
}

// dialUntilRefused opens connections, perPort at most to each of the servers' ports from 80 on,
// until three servers in a row refuse, and returns how many there are. The end of the test
// closes them.
func dialUntilRefused(t *testing.T, c *harness.Sandbox, servers, perPort int) (held int) {
	t.Helper()
	refused := 0
	for server := 0; server < servers && refused < 3; server++ {
		for range perPort {
			conn, err := harness.DialTCP(c.Netns, at(harness.WANIP4, 80+server), harness.Within(time.Second))
			if err != nil {
				refused++
				break
			}
			refused = 0
			t.Cleanup(func() { conn.Close() })
			held++
		}
	}
	return held
}
