// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/harness"
)

// CAP-03: a full flow table refuses new flows, counts them, and keeps the old
// ones; there is room again when flows end.
func TestFullFlowTable(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, c2 := pair(t, e)
		serve(t, e.WAN, 80, "wan")
		old := harness.NewFlows(t)
		for range 5 {
			old.TCP(t, c2.Netns, at(harness.WANIP4, 80))
		}
		var opened, refused int
		for range 1000 {
			c, err := harness.DialUDP(c1.Netns, at(harness.WANIP4, 80))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if refused > 5 {
				break
			}
			if _, err := c.Exchange(8, 100*time.Millisecond); err != nil {
				refused++
				continue
			}
			opened++
		}
		if refused == 0 || opened < 200 {
			t.Errorf("%d flows opened and %d refused, want about 500 and the rest", opened, refused)
		}
		old.Advance(t, 50)
		old.Stop(t)
		var status struct {
			Stats struct {
				Drops []struct {
					Reason  string `json:"reason"`
					Packets uint64 `json:"packets"`
				} `json:"drops"`
			} `json:"stats"`
		}
		e.JSON(t, &status, "status", "-o", "json")
		var counted uint64
		for _, d := range status.Stats.Drops {
			if d.Reason == "flow_table_full" || d.Reason == "flow_share" {
				counted += d.Packets
			}
		}
		if counted == 0 {
			t.Errorf("no drop is counted: %+v", status.Stats.Drops)
		}
		c1.Remove(t)
		harness.Eventually(t, "room for a new flow", func() error {
			_, err := harness.GetUDP(c2.Netns, at(harness.WANIP4, 80), harness.Within(100*time.Millisecond))
			return err
		})
	}, harness.OnlyMode(harness.EBPF), harness.DaemonArgs("--flow-table-size", "1024"))
}

// NAT-07 to NAT-10 with time scaled down: idle flows end and leave nothing, one
// that is used stays.
func TestIdleFlowsExpire(t *testing.T) {
	config := "timeouts: {udp: 1s, udp_stream: 1s, icmp: 1s, icmpv6: 1s, tcp_established: 1s, tcp_time_wait: 1s, tcp_close: 1s, tcp_fin_wait: 1s}\n"
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, c2 := pair(t, e)
		serve(t, e.WAN, 80, "wan")
		used := harness.NewFlows(t)
		used.TCP(t, c2.Netns, at(harness.WANIP4, 80))
		used.UDP(t, c2.Netns, at(harness.WANIP6, 80))
		for _, f := range []harness.Family{harness.V4(), harness.V6()} {
			harness.Reaches(t, c1.Netns, f.WAN, 80, "wan")
			if err := harness.Ping(c1.Netns, f.WAN); err != nil {
				t.Error(err)
			}
			idle, err := harness.DialTCP(c1.Netns, at(f.WAN, 80))
			if err != nil {
				t.Fatal(err)
			}
			defer idle.Close()
		}
		harness.Eventually(t, "idle flows to end", func() error {
			if n := harness.CountLines(e.Must(t, "flow", "ls"), " c1 "); n > 0 {
				return fmt.Errorf("%d are left", n)
			}
			return nil
		})
		used.Stop(t)
		if n := harness.CountLines(e.Must(t, "flow", "ls"), " c2 "); n != 2 {
			t.Errorf("%d flows of c2 are listed, want 2", n)
		}
	}, harness.OnlyMode(harness.EBPF), harness.Config(config))
}

// SEC-21: from its first moment on a sandbox can't do what it must not. Each
// sends all the time from before it is attached.
func TestNothingPassesWhileAttaching(t *testing.T) { nothingPasses(t, 20) }

// nothingPasses has one join and leave so many times.
func nothingPasses(t *testing.T, joins int) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Network(t, "b", numB)
		c1 := e.Sandbox(t, "c1", "--network", "a")
		s := harness.Sniff(t, c1.Netns, "eth0", nil)
		target := c1.IP(t, "a", harness.V4())
		for i := range 5 {
			name := fmt.Sprint(e.ID, "-early", i)
			e.Host.Must(t, "ip", "netns", "add", name)
			n := harness.OpenNetns(t, name, "/run/netns/"+name)
			shout := harness.NewShout(t, n, target, 9)
			e.Must(t, "sandbox", "add", fmt.Sprint("early", i), "--netns", n.Path, "--network", "b")
			shout.Wait(t, 20)
			e.Must(t, "rm", "-f", fmt.Sprint("early", i))
			shout.Stop()
			e.Host.Must(t, "ip", "netns", "del", name)
		}
		joinAndLeave(t, e, target, joins)
		s.Never(t, "packet of another network", harness.UDPPorts(0, 9))
	})
}

// joinAndLeave has one that shouts all the time join and leave a network.
func joinAndLeave(t *testing.T, e *harness.Env, target string, times int) {
	t.Helper()
	x := e.Sandbox(t, "x", "--network", "b")
	shout := harness.NewShout(t, x.Netns, target, 9)
	defer shout.Stop()
	for range times {
		e.Must(t, "network", "disconnect", "b", "x")
		e.Must(t, "network", "connect", "b", "x")
	}
}

// CAP-08: attaching and detaching leaves no file descriptor, device or address.
func TestChurnLeaksNothing(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		cycle := func() {
			e.Network(t, "a", numA)
			e.Sandbox(t, "c1", "--network", "a", "-p", "8080-8084:80-84")
			e.Must(t, "rm", "-f", "c1")
			e.Must(t, "network", "rm", "a")
		}
		cycle()
		before, view := openFiles(t, e.Daemon.Pid()), harness.Look(t, e)
		for range 5 {
			cycle()
		}
		harness.Eventually(t, "file descriptors to be as before", func() error {
			if now := openFiles(t, e.Daemon.Pid()); now > before {
				return fmt.Errorf("%d, were %d", now, before)
			}
			return nil
		})
		if diff := view.Diff(harness.Look(t, e)); diff != "" {
			t.Errorf("after churn:\n%s", diff)
		}
	})
}

func openFiles(t *testing.T, pid int) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
