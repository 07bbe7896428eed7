// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// firewalld is a firewalld that runs.
type firewalld struct {
	*harness.Room
	stop func()
}

// busConfig is for a message bus that starts nothing by itself. Without polkit
// firewalld obeys root alone.
const busConfig = `<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
  </policy>
</busconfig>
`

// startFirewalld starts firewalld as its package configures it, on a bus of its own.
func startFirewalld(t *testing.T, e *harness.Env) *firewalld {
	t.Helper()
	f := &firewalld{Room: firewallRoom(t, e)}
	f.Must(t, "mkdir", "/run/dbus")
	f.Start(t, "dbus-daemon", "--nofork", "--config-file="+e.File(t, "bus.conf", busConfig))
	harness.Eventually(t, "the bus", func() error {
		_, err := f.Output("test", "-S", "/run/dbus/system_bus_socket")
		return err
	})
	f.stop = f.Start(t, "firewalld", "--nofork", "--nopid", "--log-target=console")
	harness.Eventually(t, "firewalld", func() error {
		_, err := f.Output("firewall-cmd", "--state")
		return err
	})
	return f
}

// modern reports whether it is firewalld 2 or later, which leaves the rules of others
// alone and takes devices of the default zone for its policies, too.
func (f *firewalld) modern(t *testing.T) bool {
	t.Helper()
	return !strings.HasPrefix(f.Must(t, "firewall-cmd", "--version"), "1.")
}

// cmd runs firewall-cmd.
func (f *firewalld) cmd(t *testing.T, args ...string) {
	t.Helper()
	if out := f.Must(t, append([]string{"firewall-cmd"}, args...)...); strings.TrimSpace(out) != "success" {
		t.Errorf("firewall-cmd %s: %s", strings.Join(args, " "), out)
	}
}

// letIn lets containers out, and opens a port of theirs to the zone public, as
// docs/docker.md says.
func (f *firewalld) letIn(t *testing.T) {
	t.Helper()
	for _, args := range [][]string{
		{"--zone=trusted", "--add-interface=front0"},
		{"--new-policy=published"},
		{"--policy=published", "--add-ingress-zone=public"},
		{"--policy=published", "--add-egress-zone=trusted"},
		{"--policy=published", "--add-port=80/tcp"},
	} {
		f.cmd(t, append([]string{"--permanent"}, args...)...)
	}
	f.cmd(t, "--reload")
}

// firewalld's zones and policies judge published ports, and what containers send. In
// the iptables mode it accepts whatever DNAT translated: see TestFirewallsHaveNoSay.
func TestFirewalldJudges(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1 := firewalled(t, e)
		f := startFirewalld(t, e)
		inTCP, inUDP := over("tcp", e.LAN1, ofHost, 8080), over("udp", e.LAN1, ofHost, 8080)
		outTCP, outUDP := over("tcp", c1.Netns, ofWAN, 80), over("udp", c1.Netns, ofWAN, 80)

		// Without a word about containers it rejects whatever is forwarded. Clients
		// hear that; a socket of IPv6 that is connecting does with its second SYN only.
		meets(t, harness.Unreachable, inTCP[:1], inUDP, outUDP)
		doctorNames(t, e, "firewalld: connections of containers with the outside need rules")
		e.Host.Must(t, "iptables", "-w", "-N", "DOCKER-USER")
		f.letIn(t)
		modern := f.modern(t)
		if _, err := e.Host.Output("iptables", "-w", "-n", "-L", "DOCKER-USER"); (err == nil) != modern {
			t.Errorf("rules of others after firewalld read its configuration: %v; left alone: want %v", err, modern)
		}
		passes(t, outTCP, outUDP)
		// To be in a zone because it is the default wasn't always enough for a policy.
		if modern {
			passes(t, inTCP)
		} else {
			blocked(t, inTCP)
		}
		f.cmd(t, "--permanent", "--zone=public", "--add-interface=eth0")
		f.cmd(t, "--reload")
		passes(t, inTCP, outTCP, outUDP)
		blocked(t, inUDP, over("tcp", e.LAN1, ofHost, 8081))

		f.letsRun(t, e, append(inTCP, outTCP...))
		f.cuts(t, outUDP)

		// Devices of one zone reach each other, where the zone forwards.
		f.cmd(t, "--zone=public", "--change-interface=front0")
		passes(t, inTCP, inUDP, outTCP, outUDP)
		f.stop()
		passes(t, inTCP, inUDP, outTCP, outUDP)
	}, harness.FirstPacket(), harness.OnlyMode(harness.EBPF))
}

// letsRun: what runs goes on over a reload and under other rules, since firewalld
// accepts what is established before it looks at them. They hold for what is new.
func (f *firewalld) letsRun(t *testing.T, e *harness.Env, walks []attempt) {
	t.Helper()
	flows := harness.NewFlows(t)
	for _, a := range walks {
		flows.TCP(t, a.from, a.dst)
	}
	last := walks[len(walks)-1]
	flows.UDP(t, last.from, last.dst)
	change := func(args ...string) {
		t.Helper()
		goesOn(t, e, flows, func() { f.cmd(t, args...) })
	}
	in := over("tcp", e.LAN1, ofHost, 8080)
	change("--policy=published", "--remove-port=80/tcp")
	blocked(t, in)
	change("--reload")
	passes(t, in)
	deny := fmt.Sprintf("--add-rich-rule=rule family=ipv4 source address=%s drop", harness.LAN1IP4)
	// A zone's are about what comes to the host itself.
	change("--zone=public", deny)
	passes(t, in)
	change("--policy=published", deny)
	blocked(t, in[:1])
	passes(t, in[1:], over("tcp", e.LAN2, ofHost, 8080))
	flows.Stop(t)
}

// cuts: rules that come before what firewalld has for established connections end what
// runs, and it goes on without them.
func (f *firewalld) cuts(t *testing.T, walks []attempt) {
	t.Helper()
	running := talk(t, walks)
	direct := []string{"ipv4", "filter", "FORWARD", "0", "-d", harness.WANIP4, "-j", "DROP"}
	f.cmd(t, append([]string{"--direct", "--add-rule"}, direct...)...)
	running[:1].cut(t)
	running[1:].answered(t)
	f.cmd(t, append([]string{"--direct", "--remove-rule"}, direct...)...)
	running.answered(t)
	f.cmd(t, "--panic-on")
	running.cut(t)
	f.cmd(t, "--panic-off")
	running.answered(t)
}
