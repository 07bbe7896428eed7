// SPDX-License-Identifier: Apache-2.0

package test

import (
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// ufw is one that is enabled.
type ufw struct{ *harness.Room }

func enableUFW(t *testing.T, e *harness.Env) ufw {
	t.Helper()
	u := ufw{firewallRoom(t, e)}
	u.cmd(t, "--force", "enable")
	return u
}

func (u ufw) cmd(t *testing.T, args ...string) {
	t.Helper()
	u.Must(t, append([]string{"ufw"}, args...)...)
}

// remove takes ufw's rules away, which "ufw disable" only does in part, and slowly.
func (u ufw) remove(t *testing.T, e *harness.Env) {
	t.Helper()
	for _, tool := range []string{"iptables", "ip6tables"} {
		script := withoutUFW(e.Host.Must(t, tool+"-save", "-t", "filter"))
		e.Host.Must(t, tool+"-restore", "--noflush", "--wait=5", e.File(t, tool, script))
	}
}

// withoutUFW is what removes ufw from rules that iptables-save wrote.
func withoutUFW(saved string) string {
	const policies = ":INPUT ACCEPT\n:FORWARD ACCEPT\n"
	var jumps, flushes, removals string
	for line := range strings.Lines(saved) {
		chain, isChain := strings.CutPrefix(strings.Fields(line)[0], ":")
		switch {
		case isChain && strings.HasPrefix(chain, "ufw"):
			flushes += "-F " + chain + "\n"
			removals += "-X " + chain + "\n"
		case strings.Contains(line, " -j ufw"):
			jumps += strings.Replace(line, "-A ", "-D ", 1)
		}
	}
	return "*filter\n" + policies + jumps + flushes + removals + "COMMIT\n"
}

// ufw's routed rules judge published ports, and what containers send. In the iptables
// mode they don't, since Docker's rules stand in front of them: see
// TestFirewallsHaveNoSay.
func TestUFWJudges(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1 := firewalled(t, e)
		e.Network(t, "b", numB)
		c2 := e.Sandbox(t, "c2", "--network", "b")
		u := enableUFW(t, e)
		inTCP, inUDP := over("tcp", e.LAN1, ofHost, 8080), over("udp", e.LAN1, ofHost, 8080)
		outTCP, outUDP := over("tcp", c1.Netns, ofWAN, 80), over("udp", c1.Netns, ofWAN, 80)
		inside := func(f harness.Family) string { return c1.IP(t, "a", f) }

		// It denies what is routed where nothing else is said, but for pings: not what
		// goes between containers, or from the host itself.
		blocked(t, inTCP, inUDP, outTCP, outUDP)
		for _, f := range []harness.Family{harness.V4(), harness.V6()} {
			if err := harness.Ping(c1.Netns, f.WAN); err != nil {
				t.Error(err)
			}
		}
		passes(t, over("tcp", c2.Netns, ofHost, 8080), over("tcp", e.Host, inside, 80))
		doctorNames(t, e, "ufw: connections of containers with the outside need rules")

		for _, f := range []harness.Family{harness.V4(), harness.V6()} {
			u.cmd(t, "route", "allow", "proto", "tcp", "from", "any", "to", inside(f), "port", "80")
			r, err := harness.GetTCP(e.LAN1, at(f.Host, 8080))
			if err != nil || r.Seen.Addr().String() != f.LAN1 {
				t.Errorf("from the LAN: %v, the server saw %s", err, r.Seen)
			}
		}
		u.cmd(t, "route", "allow", "in", "on", "front0", "out", "on", "eth0")
		passes(t, outTCP, outUDP)
		blocked(t, inUDP, over("tcp", e.LAN1, ofHost, 8081))

		// What runs goes on under other rules: ufw accepts what is established before
		// it looks at them. What is new is denied.
		flows := harness.NewFlows(t)
		for _, a := range append(inTCP, outTCP...) {
			flows.TCP(t, a.from, a.dst)
		}
		goesOn(t, e, flows, func() {
			u.cmd(t, "route", "insert", "1", "deny", "from", harness.LAN1IP4)
			u.cmd(t, "route", "delete", "allow", "in", "on", "front0", "out", "on", "eth0")
		})
		blocked(t, inTCP[:1], outTCP, outUDP)
		passes(t, inTCP[1:], over("tcp", e.LAN2, ofHost, 8080))

		goesOn(t, e, flows, func() { u.cmd(t, "reload") })
		blocked(t, inTCP[:1], outTCP, outUDP)
		u.remove(t, e)
		flows.Advance(t, 50)
		flows.Stop(t)
		passes(t, inTCP, inUDP, outTCP, outUDP)
	}, harness.FirstPacket(), harness.OnlyMode(harness.EBPF))
}
