// SPDX-License-Identifier: Apache-2.0

package test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// MET-01: the counters that Prometheus reads move by what was sent, by the path
// that it took.
func TestMetricsCountTraffic(t *testing.T) {
	const sent = 40
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Network(t, "b", numB)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080-8089:80-89")
		c3 := e.Sandbox(t, "c3", "--network", "b")
		harness.ServeUDP(t, e.WAN, 80, "wan")
		before := e.Scrape(t)
		u, err := harness.DialUDP(c1.Netns, at(harness.WANIP4, 80))
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		for range sent {
			if _, err := u.Exchange(100, harness.Patience); err != nil {
				t.Fatal(err)
			}
		}
		refused, err := harness.DialUDP(c3.Netns, at(c1.IP(t, "a", harness.V4()), 80))
		if err != nil {
			t.Fatal(err)
		}
		defer refused.Close()
		for range sent {
			_, _ = refused.Write([]byte("refused"))
		}
		// Docker's rule in the raw table takes the neighbour network for the outside.
		dropped := map[harness.Mode]string{harness.EBPF: "isolated", harness.IPTables: "direct_routing"}[e.Mode]
		path := map[harness.Mode]string{harness.EBPF: `path="ebpf"`, harness.IPTables: `path="stack"`}[e.Mode]
		for _, want := range []struct {
			name     string
			least    float64
			exactish bool
			labels   []string
		}{
			{"fairway_forwarded_packets_total", 2 * sent, false, []string{path}},
			{"fairway_forwarded_bytes_total", 2 * sent * 128, false, []string{path}},
			{"fairway_container_transmit_packets_total", sent, true, []string{`network="a"`, `name="c1"`}},
			{"fairway_container_receive_packets_total", sent, true, []string{`network="a"`, `name="c1"`}},
			{"fairway_container_transmit_bytes_total", sent * 128, false, []string{`network="a"`, `name="c1"`}},
			{"fairway_dropped_packets_total", sent, true, []string{`reason="` + dropped + `"`}},
		} {
			harness.Eventually(t, want.name, func() error {
				got := e.Scrape(t).Sum(want.name, want.labels...) - before.Sum(want.name, want.labels...)
				if got < want.least || want.exactish && got > want.least+20 {
					return fmt.Errorf("%v grew by %v, want %v or a little more", want.labels, got, want.least)
				}
				return nil
			})
		}
		now := e.Scrape(t)
		for name, want := range map[string]float64{
			"fairway_networks": 5, "fairway_endpoints": 2, "fairway_published_ports": 20, "fairway_scrape_errors_total": 0, "fairway_build_info": 1,
		} {
			if got := now.Sum(name); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
		if limit := now.Sum("fairway_flows_limit"); limit < 1000 {
			t.Errorf("the limit is %v flows", limit)
		}
		harness.Eventually(t, "the flow to be counted", func() error {
			if flows := e.Scrape(t).Sum("fairway_flows"); flows < 1 {
				return fmt.Errorf("%v flows", flows)
			}
			return nil
		})
	}, harness.WithMetrics())
}

// The reasons of what the eBPF datapath refuses, by the packets that they are for.
func TestDropReasons(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Network(t, "quiet", numB, "-o", "com.docker.network.bridge.enable_icc=false")
		e.Network(t, "i", numI, "--internal")
		c1 := e.Sandbox(t, "c1", "--network", "a")
		q1 := e.Sandbox(t, "q1", "--network", "quiet")
		q2 := e.Sandbox(t, "q2", "--network", "quiet")
		i1 := e.Sandbox(t, "i1", "--network", "i")
		routeTo(t, e.LAN2, numA)
		f := harness.V4()
		own := harness.Ethernet(c1.MAC(t, "a"), bridgeMAC(t, e, c1, f), f)
		for reason, send := range map[string]func(){
			"spoofed_address": func() {
				harness.Inject(t, c1.Netns, "eth0", harness.UDPFrame(t, f, own, "172.30.0.99", f.WAN, 1, 2, "x"))
			},
			"spoofed_mac": func() {
				other := harness.Ethernet(q1.MAC(t, "quiet"), own.DstMAC, f)
				harness.Inject(t, c1.Netns, "eth0", harness.UDPFrame(t, f, other, c1.IP(t, "a", f), f.WAN, 1, 2, "x"))
			},
			"isolated":       func() { _, _ = harness.GetUDP(c1.Netns, at(q1.IP(t, "quiet", f), 80), harness.Within(harness.Silence)) },
			"icc":            func() { _, _ = harness.GetUDP(q1.Netns, at(q2.IP(t, "quiet", f), 80), harness.Within(harness.Silence)) },
			"direct_routing": func() { _, _ = harness.GetUDP(e.LAN2, at(c1.IP(t, "a", f), 80), harness.Within(harness.Silence)) },
			"internal": func() {
				i1.Must(t, "ip", "route", "add", "default", "via", harness.Addr(f, numI, 1))
				_, _ = harness.GetUDP(i1.Netns, at(f.WAN, 80), harness.Within(harness.Silence))
			},
			"no_flow": func() {
				seg := harness.Frame(t, own, harness.IPHeader(f, c1.IP(t, "a", f), f.WAN, 6), tcpSegment(50000, 80))
				harness.Inject(t, c1.Netns, "eth0", seg)
			},
		} {
			t.Run(reason, func(t *testing.T) {
				before := e.Drops(t)
				send()
				e.Dropped(t, reason, before, 1)
			})
		}
	}, harness.OnlyMode(harness.EBPF))
}

type check struct{ Name, Result, Fact, Fix string }

func doctor(t *testing.T, e *harness.Env) map[string]check {
	t.Helper()
	r := e.Fairway(t, "doctor", "-o", "json")
	var list []check
	if err := json.Unmarshal([]byte(r.Out), &list); err != nil {
		t.Fatalf("doctor: %v in %q; %s", err, r.Out, r.Err)
	}
	worst, byName := 0, map[string]check{}
	for _, c := range list {
		code, known := map[string]int{"OK": 0, "WARN": 1, "FAIL": 2}[c.Result]
		if !known || c.Fact == "" || (c.Fix == "") != (c.Result == "OK") || strings.Contains(c.Fact, "\n") {
			t.Errorf("check %+v: want a result, a fact in one line, and what mends it unless it is OK", c)
		}
		worst = max(worst, code)
		byName[c.Name] = c
	}
	if r.Code != worst {
		t.Errorf("doctor: exit %d, want %d", r.Code, worst)
	}
	return byName
}

// doctor finds nothing to fail on a host where everything works, with and
// without a daemon, and changes nothing.
func TestDoctorOnHealthyHost(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80")
		view := harness.Look(t, e)
		checks := doctor(t, e)
		for _, c := range checks {
			if c.Result == "FAIL" {
				t.Errorf("%+v", c)
			}
		}
		if len(checks) < 8 {
			t.Errorf("only %d checks", len(checks))
		}
		if diff := view.Diff(harness.Look(t, e)); diff != "" {
			t.Errorf("doctor changed something:\n%s", diff)
		}
		e.Daemon.Kill(t)
		if c := doctor(t, e)["daemon"]; c.Result == "OK" {
			t.Errorf("the daemon is dead, and doctor says %+v", c)
		}
		e.Daemon.Start(t)
	}, harness.Restarts())
}

// What somebody broke is found, and the command that doctor prints mends it.
func TestDoctorMends(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Host.Sysctl(t, "ipv4/ip_forward", "0")
		c := doctor(t, e)["ip_forward"]
		if c.Result != "FAIL" {
			t.Fatalf("forwarding is off, and doctor says %+v", c)
		}
		e.Host.Must(t, "sh", "-c", c.Fix)
		if c := doctor(t, e)["ip_forward"]; c.Result != "OK" {
			t.Errorf("after %q: %+v", c.Fix, c)
		}
	}, harness.OnlyMode(harness.IPTables))
}
