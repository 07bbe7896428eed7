// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/miekg/dns"

	"github.com/fairway-project/fairway/test/harness"
)

// A service's name is its address on each network, or its backends; tasks.NAME always its
// backends, those that get new flows and that the network reaches.
func TestServiceNames(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Network(t, "b", numB)
		t.Cleanup(func() { e.Fairway(t, "service", "rm", "-f", "web", "pool") })
		onA, onB := e.Sandbox(t, "onA", "--network", "a"), e.Sandbox(t, "onB", "--network", "b")
		f4, f6 := harness.V4(), harness.V6()
		vip4, vip6, otherVIP := harness.Addr(f4, numA, 200), harness.Addr(f6, numA, 200), ""
		e.Must(t, "service", "create", "--network", "a,b", "--ip", vip4, "--ip6", vip6, "--port", "80", "--select", "app=web", "web")
		e.Must(t, "service", "create", "--network", "a", "--endpoint-mode", "dnsrr", "--select", "app=web", "pool")
		otherVIP = e.Must(t, "service", "inspect", "-f", `{{(index .Networks 1).IPv4}}`, "web")
		expectAnswer(t, onA, "web", dns.TypeA, vip4)
		expectAnswer(t, onA, "WEB.a", dns.TypeAAAA, vip6)
		expectAnswer(t, onB, "web", dns.TypeA, otherVIP)
		expectAnswer(t, onA, reverse(t, vip4), dns.TypePTR, "web.a.")
		expectAnswer(t, onA, reverse(t, vip6), dns.TypePTR, "web.a.")
		expectAnswer(t, onB, reverse(t, otherVIP), dns.TypePTR, "web.b.")
		// A name that stands for nobody at the moment is nobody else's.
		for _, name := range []string{"tasks.web", "pool", "tasks.pool.a"} {
			expectAnswer(t, onA, name, dns.TypeA)
		}
		w1 := e.Sandbox(t, "w1", "--network", "a", "--label", "app=web")
		w2 := e.Sandbox(t, "w2", "--network", "a", "--network", "b", "--label", "app=web")
		becomes := func(s *harness.Sandbox, name string, want ...string) {
			t.Helper()
			slices.Sort(want)
			harness.Eventually(t, s.Name+" to resolve "+name, func() error {
				m, err := ask(s, "udp", name, dns.TypeA)
				if err != nil {
					return err
				}
				got := answers(m)
				if slices.Sort(got); !slices.Equal(got, want) {
					return fmt.Errorf("%v, want %v", got, want)
				}
				return nil
			})
		}
		for _, name := range []string{"tasks.web", "pool", "tasks.pool"} {
			becomes(onA, name, w1.IP(t, "a", f4), w2.IP(t, "a", f4))
		}
		expectAnswer(t, onA, "pool", dns.TypeAAAA, w1.IP(t, "a", f6), w2.IP(t, "a", f6))
		becomes(onB, "tasks.web", w2.IP(t, "b", f4))
		expectAnswer(t, onA, "web", dns.TypeA, vip4)
		expectAnswer(t, onA, reverse(t, w1.IP(t, "a", f4)), dns.TypePTR, "w1.a.")

		e.Must(t, "service", "drain", "web", "w2")
		becomes(onA, "tasks.web", w1.IP(t, "a", f4))
		becomes(onB, "tasks.web")
		becomes(onA, "pool", w1.IP(t, "a", f4), w2.IP(t, "a", f4))
		e.Daemon.Kill(t)
		e.Daemon.Start(t)
		expectAnswer(t, onA, "web", dns.TypeA, vip4)
		expectAnswer(t, onA, "tasks.web", dns.TypeA, w1.IP(t, "a", f4))
		w1.Remove(t)
		becomes(onA, "pool", w2.IP(t, "a", f4))

		for _, taken := range [][]string{
			{"run", "-d", "--name", "web", "--network", "b", "--", "true"},
			{"run", "-d", "--network", "a", "--alias", "Pool", "--", "true"},
			{"service", "create", "--network", "b", "--port", "80", "--select", "a=b", "web"},
			{"service", "create", "--network", "a", "--port", "80", "--select", "a=b", "w2"},
		} {
			if r := e.Fairway(t, taken...); r.Code == 0 {
				t.Errorf("fairway %q: a name that is taken was given twice", taken)
			}
		}
		e.Must(t, "service", "rm", "web")
		for _, name := range []string{"web", "tasks.web"} {
			if m, err := ask(onA, "udp", name, dns.TypeA); err == nil && len(m.Answer) > 0 {
				t.Errorf("%s is resolved without the service: %v", name, m.Answer)
			}
		}
	}, harness.Restarts())
}
