// SPDX-License-Identifier: Apache-2.0

package test

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/test/harness"
)

// Two daemons side by side, each with a host of its own and the same subnets:
// they reach each other's published ports and nothing else.
func TestTwoHosts(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		other := e.Second(t, e.LAN1)
		var boxes []*harness.Sandbox
		for i, h := range []*harness.Env{e, other} {
			h.Network(t, "a", numA)
			c := h.Sandbox(t, "c", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
			serve(t, c.Netns, 80, []string{"first", "second"}[i])
			boxes = append(boxes, c)
		}
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			seenFrom(t, harness.Reaches(t, boxes[0].Netns, f.LAN1, 8080, "second"), f.Host)
			seenFrom(t, harness.Reaches(t, boxes[1].Netns, f.Host, 8080, "first"), f.LAN1)
			harness.Reaches(t, e.Host, f.Loopback, 8080, "first")
			harness.Reaches(t, e.LAN1, f.Loopback, 8080, "second")
		})
		// The end of one is none of the other's business.
		flows := harness.NewFlows(t)
		flows.TCP(t, boxes[0].Netns, at(harness.LAN1IP4, 8080))
		e.Daemon.Kill(t)
		flows.Advance(t, 20)
		e.Daemon.Start(t)
		flows.Advance(t, 20)
		flows.Stop(t)
		other.Must(t, "rm", "-f", "c")
		e.Must(t, "inspect", "c")
	}, harness.AllowPrivate())
}

// REL-11: uninstall works without a daemon too. The state stays unless it is
// purged, and a daemon that starts later makes everything anew.
func TestUninstallWithoutDaemon(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		before := harness.LookAtHost(t, e)
		e.Daemon.Start(t)
		e.Network(t, "a", numA)
		e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80")
		e.Daemon.Kill(t)
		// The datapath is the one that was used last, what else the settings say is for daemons.
		settings := e.File(t, "plugin.yaml", "datapath: ebpf\ndocker_plugin: "+filepath.Join(e.Daemon.RunDir, "plugin.sock")+"\n")
		if r := e.Fairway(t, append([]string{"uninstall", "-f", "--config", settings}, e.Daemon.Dirs()...)...); r.Code != 0 {
			t.Fatalf("uninstall: exit %d: %s", r.Code, r.Err)
		}
		if diff := before.Diff(harness.LookAtHost(t, e)); diff != "" {
			t.Errorf("uninstall leaves:\n%s", diff)
		}
		e.Daemon.Start(t)
		c1 := e.Sandbox(t, "c2", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		serve(t, c1.Netns, 80, "c2")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			harness.Reaches(t, e.LAN1, f.Host, 8080, "c2")
		})
		e.Daemon.Kill(t)
	}, harness.NoDaemon())
}

// What is uninstalled in the namespace of another daemon that runs leaves that one's
// devices and rules alone, which its own state doesn't know. Nor does it take its place:
// there is one set of rules for each namespace.
func TestUninstallInAnotherDaemonsNamespace(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		other := e.Second(t, e.LAN1)
		e.Network(t, "a", numA)
		c := e.Sandbox(t, "c", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		serve(t, c.Netns, 80, "c")
		flows := harness.NewFlows(t)
		flows.TCP(t, e.LAN2, at(harness.HostIP4, 8080))
		flows.Advance(t, 20)
		before, rules := deviceNumbers(t, e.Host), harness.LookAtHost(t, e)
		other.Daemon.Kill(t)
		if e.Mode == harness.IPTables {
			third := e.NewDaemon(t, e.Host)
			refuses(t, third, "occupied namespace", func() error { return nil }, "another fairway instance has its rules")
			if r := third.Uninstall(t); r.Code != 0 {
				t.Errorf("uninstall of the daemon that was refused: exit %d: %s", r.Code, r.Err)
			}
		}
		if r := other.Daemon.UninstallFrom(t, e.Host); r.Code != 0 {
			t.Errorf("uninstall: exit %d: %s", r.Code, r.Err)
		}
		if diff := cmp.Diff(before, deviceNumbers(t, e.Host)); diff != "" {
			t.Errorf("devices before and after (-want +got):\n%s", diff)
		}
		if diff := rules.Diff(harness.LookAtHost(t, e)); diff != "" {
			t.Errorf("the host before and after (-want +got):\n%s", diff)
		}
		flows.Advance(t, 20)
		flows.Stop(t)
	})
}

func deviceNumbers(t *testing.T, n *harness.Netns) map[string]int {
	t.Helper()
	numbers := make(map[string]int)
	err := n.Do(func() error {
		all, err := net.Interfaces()
		for _, d := range all {
			numbers[d.Name] = d.Index
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return numbers
}
