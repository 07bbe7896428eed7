// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/harness"
)

// NAT-24: masquerading has twenty ports. Each destination gets twenty flows with
// a port of the range, no more, and what was refused harms nobody.
func TestMasqueradePortsRunOut(t *testing.T) {
	const ports, clients, first = 20, 40, 20000
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		// Published ports are no masquerade ports, so that a container that sends
		// from them needs others.
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", fmt.Sprintf("%d-%d:9000-9039/udp", first, first+clients-1))
		harness.ServeUDP(t, e.WAN, 80, "wan")
		harness.ServeUDP(t, e.WAN, 81, "other")
		before := e.Drops(t)
		var open []*harness.UDPConn
		seen := map[uint16]bool{}
		for i := range clients {
			c, r := sendFrom(t, c1, at(harness.WANIP4, 80), first+i)
			if c == nil {
				continue
			}
			defer c.Close()
			open = append(open, c)
			if p := r.Seen.Port(); p < 50000 || p >= 50000+ports || seen[p] {
				t.Errorf("source port %d, want another of 50000-%d", p, 50000+ports-1)
			}
			seen[r.Seen.Port()] = true
		}
		if len(open) != ports {
			t.Errorf("%d flows to one destination, want %d", len(open), ports)
		}
		if e.Mode == harness.EBPF {
			e.Dropped(t, "no_port", before, clients-ports)
		}
		if c, r := sendFrom(t, c1, at(harness.WANIP4, 81), first); c == nil || r.Tag != "other" {
			t.Errorf("another destination: %+v", r)
		} else {
			c.Close()
		}
		for i, c := range open {
			if _, err := c.Exchange(8, harness.Patience); err != nil {
				t.Errorf("flow %d, which was open: %v", i, err)
			}
		}
	}, harness.DaemonArgs("--masquerade-ports", "50000-50019"))
}

// sendFrom opens a flow; no connection where nothing comes back.
func sendFrom(t *testing.T, c1 *harness.Sandbox, dst string, port int) (*harness.UDPConn, harness.Reply) {
	t.Helper()
	c, err := harness.DialUDP(c1.Netns, dst, harness.From(fmt.Sprint(":", port)))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if r, err := c.Exchange(8, 70*time.Millisecond); err == nil {
			return c, r
		}
	}
	c.Close()
	return nil, harness.Reply{}
}

// The options of the daemon are checked before anything is touched.
func TestDaemonOptionsAreChecked(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		for what, c := range map[string]struct {
			config string
			words  []string
		}{
			"range":    {"masquerade_ports: 9-8\n", []string{"9-8"}},
			"number":   {"masquerade_ports: all\n", []string{"all", "1024-65535"}},
			"table":    {"flow_table_size: 3\n", []string{"3", "64"}},
			"key":      {"colour: blue\n", []string{"colour"}},
			"datapath": {"datapath: pigeon\n", []string{"pigeon", "ebpf"}},
			"timeout":  {"timeouts: {udp: 1ms}\n", []string{"udp", "1ms"}},
			"uplinks":  {"uplinks: [a/b]\n", []string{"a/b"}},
			"no yaml":  {"{[\n", []string{"config"}},
		} {
			d := e.NewDaemon(t, e.Host, "--config", e.File(t, "bad-"+what+".yaml", c.config))
			d.Mode = ""
			refuses(t, d, what, func() error { return nil }, c.words...)
		}
	}, harness.NoDaemon(), harness.OnlyMode(harness.EBPF))
}
