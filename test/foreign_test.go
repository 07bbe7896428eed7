// SPDX-License-Identifier: Apache-2.0

package test

import (
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// foreign puts another program's rules, classifier and table on the host. The
// harness demands that they are unchanged after the end of the test.
func foreign(t testing.TB, w *harness.Topology) {
	w.Host.Must(t, "iptables", "-w", "-N", "MINE")
	w.Host.Must(t, "iptables", "-w", "-A", "INPUT", "-p", "tcp", "--dport", "6666", "-j", "MINE")
	w.Host.Must(t, "iptables", "-w", "-A", "MINE", "-j", "DROP")
	w.Host.Must(t, "iptables", "-w", "-t", "nat", "-A", "POSTROUTING", "-s", "10.9.8.0/24", "-j", "MASQUERADE")
	w.Host.Must(t, "nft", "add table inet mine; add chain inet mine c { type filter hook input priority 0; }; add rule inet mine c tcp dport 6667 drop")
	w.Host.Must(t, "tc", "qdisc", "add", "dev", "eth0", "clsact")
	w.Host.Must(t, "tc", "filter", "add", "dev", "eth0", "ingress", "prio", "7", "protocol", "ip", "u32", "match", "ip", "dport", "6668", "0xffff", "flowid", ":1")
	w.Host.IP(t, "link add mine0 type bridge", "addr add 10.9.8.1/24 dev mine0", "link set mine0 up")
}

// REL-11: what others have put on the host works before, during and after.
func TestForeignRulesStay(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		serve(t, c1.Netns, 80, "c1")
		for _, port := range []int{6666, 6667, 6669} {
			harness.ServeTCP(t, e.Host, port, "host")
			_, err := harness.GetTCP(e.LAN1, at(harness.HostIP4, port), harness.Within(harness.Silence))
			if (err == nil) != (port == 6669) {
				t.Errorf("port %d: %v", port, err)
			}
		}
		harness.Reaches(t, e.LAN1, harness.HostIP4, 8080, "c1")
		filters := e.Host.Must(t, "tc", "filter", "show", "dev", "eth0", "ingress")
		if !strings.Contains(filters, "u32") {
			t.Errorf("the foreign classifier is gone: %s", filters)
		}
	}, harness.Prepare(foreign))
}

// REL-14: the host's firewall is flushed; isolation and the protection of
// loopback ports hold.
func TestFirewallFlush(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Network(t, "b", numB)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		c3 := e.Sandbox(t, "c3", "--network", "b")
		serve(t, c1.Netns, 80, "c1")
		routeTo(t, e.LAN2, numA)
		e.Daemon.Kill(t)
		e.Host.Must(t, "nft", "flush", "ruleset")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			for _, from := range []*harness.Netns{c3.Netns, e.LAN2} {
				_, err := harness.GetTCP(from, at(c1.IP(t, "a", f), 80), harness.Answer(!e.Protects("REL-14")))
				e.Expect(t, "REL-14", from.Name+" reaches a container after a flush of the firewall", err != nil)
			}
			_, err := harness.GetTCP(e.LAN1, at(f.Host, 8080), harness.Answer(e.Protects("REL-14")))
			e.Expect(t, "REL-14", "a published port is dead after a flush of the firewall", err == nil)
		})
		e.Daemon.Start(t)
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			harness.Misses(t, c3.Netns, c1.IP(t, "a", f), 80)
			harness.Misses(t, e.LAN2, c1.IP(t, "a", f), 80)
			harness.Reaches(t, e.LAN1, f.Host, 8080, "c1")
		})
	}, harness.Restarts())
}

// REL-13: a rule of the administrator's in front of FORWARD. Published ports of
// the eBPF mode never pass that chain.
func TestForwardRulesOfUser(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80")
		serve(t, c1.Netns, 80, "c1")
		e.Host.Must(t, "iptables", "-w", "-I", "FORWARD", "-j", "DROP")
		defer e.Host.Must(t, "iptables", "-w", "-D", "FORWARD", "-j", "DROP")
		_, err := harness.GetTCP(e.LAN1, at(harness.HostIP4, 8080), harness.Answer(!e.Protects("REL-13")))
		e.Expect(t, "REL-13", "a published port is open in spite of a rule in FORWARD", err != nil)
	})
}
