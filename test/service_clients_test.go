// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// asked is whom each of many clients was led to, and how many of them were led elsewhere than
// before.
type asked map[string]string

// ask has clients connect, each from an address and a port of its own, and leave no trace of it.
func (a asked) ask(t *testing.T, from *harness.Netns, dst string, locals ...string) {
	t.Helper()
	for _, local := range locals {
		c, err := harness.DialTCP(from, dst, harness.From(local))
		if err != nil {
			t.Fatalf("%s → %s: %v", local, dst, err)
		}
		a[local+" → "+dst] = c.Tag
		// With a reset: a port that waits couldn't be used again.
		_ = c.SetLinger(0)
		c.Close()
	}
}

// elsewhere counts those who were led to others than before, but to one that is new.
func (a asked) elsewhere(now asked, isNew string) (n int) {
	for client, tag := range now {
		if tag != a[client] && tag != isNew {
			n++
		}
	}
	return n
}

// SVC-10: hundreds of clients of one service keep their backends when another comes.
func TestServiceRemembersManyClients(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		const clients = 300
		nets := map[int]string{4: "198.18.0.0/16", 6: "2001:db8:18::/64"}
		for _, f := range []harness.Family{harness.V4(), harness.V6()} {
			e.Host.IP(t, fmt.Sprintf("route add %s via %s", nets[f.V], f.LAN1))
			e.LAN1.IP(t, fmt.Sprintf("route add local %s dev lo", nets[f.V]))
			t.Cleanup(func() { e.Host.IP(t, "route del "+nets[f.V]) })
		}
		// To bind what only a route makes local.
		e.LAN1.Sysctl(t, "ipv6/ip_nonlocal_bind", "1")
		web := manyPlaces(t, e, "--affinity", "client-ip,timeout=1h")
		for i := range 2 {
			backend(t, e, fmt.Sprintf("w%d", i+1), "a")
		}
		web.Become(t, "active", "w1", "w2")
		all := func() asked {
			seen := make(asked)
			for _, f := range []harness.Family{harness.V4(), harness.V6()} {
				addr := netip.MustParsePrefix(nets[f.V]).Addr()
				for range clients {
					addr = addr.Next()
					seen.ask(t, e.LAN1, at(f.Host, 8080), at(addr.String(), 0))
				}
			}
			return seen
		}
		before := all()
		backend(t, e, "w3", "a")
		web.Become(t, "active", "w1", "w2", "w3")
		moved := before.elsewhere(all(), "")
		e.Expect(t, "SVC-10", fmt.Sprintf("%d of %d clients were led elsewhere than before", moved, 2*clients), moved == 0)
	}, harness.Own())
}

// SVC-11: a backend that comes takes its part of the clients, and moves few others.
func TestServiceMovesFewClients(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		const clients = 200
		web := manyPlaces(t, e)
		names := []string{"w1", "w2", "w3", "w4"}
		for _, name := range names {
			backend(t, e, name, "a")
		}
		web.Become(t, "active", names...)
		all := func() asked {
			seen := make(asked)
			for _, f := range []harness.Family{harness.V4(), harness.V6()} {
				for i := range clients {
					seen.ask(t, e.LAN1, at(f.Host, 8080), fmt.Sprint(":", 20000+i))
				}
			}
			return seen
		}
		before := all()
		backend(t, e, "w5", "a")
		web.Become(t, "active", append(names, "w5")...)
		harness.Eventually(t, "the flows to be forgotten", func() error {
			if out := e.Must(t, "flow", "ls"); strings.Contains(out, ":8080") {
				return fmt.Errorf("flows:\n%s", out)
			}
			return nil
		})
		now := all()
		taken := 0
		for _, tag := range now {
			if tag == "w5" {
				taken++
			}
		}
		// 80 are expected, with a deviation of 8.
		if taken < 16 {
			t.Errorf("the fifth backend has %d of %d clients", taken, len(now))
		}
		moved := before.elsewhere(now, "w5")
		e.Expect(t, "SVC-11", fmt.Sprintf("%d of %d clients were led to others than before", moved, len(now)), moved <= len(now)/20)
	})
}

// manyPlaces is a service web on network a, published as 8080 over TCP.
func manyPlaces(t *testing.T, e *harness.Env, flags ...string) *harness.Service {
	t.Helper()
	e.Network(t, "a", numA)
	return e.Service(t, "web", append([]string{"--network", "a", "--port", "80:8000", "--publish", "8080:80", "--select", "app=web"}, flags...)...)
}

// SVC-15: whoever was refused is served as soon as somebody serves, from the same port too.
func TestServiceAfterRefusal(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		client := e.Sandbox(t, "client", "--network", "a")
		web := e.Service(t, "web", "--network", "a", "--port", "80:8000", "--port", "80:8000/udp",
			"--publish", "8080:80", "--publish", "8080:80/udp", "--select", "app=web")
		type try struct {
			probe   harness.Probe
			from    *harness.Netns
			dst     string
			options harness.DialOption
		}
		var tries []try
		for _, f := range []harness.Family{harness.V4(), harness.V6()} {
			for _, probe := range harness.Probes() {
				for _, w := range []try{
					{from: client.Netns, dst: at(web.VIP(t, "a", f), 80)}, {from: e.LAN1, dst: at(f.Host, 8080)},
					{from: e.Host, dst: at(f.Host, 8080)}, {from: e.Host, dst: at(web.VIP(t, "a", f), 80)}, {from: e.Host, dst: at(f.Loopback, 8080)},
				} {
					w.probe, w.options = probe, harness.From(fmt.Sprint(":", 21000+len(tries)))
					tries = append(tries, w)
				}
			}
		}
		for _, w := range tries {
			if r, err := w.probe(w.from, w.dst, w.options); harness.Classify(err) != harness.Reset {
				t.Errorf("%s → %s: %+v, %v, want a refusal", w.from.Name, w.dst, r, err)
			}
		}
		backend(t, e, "w1", "a")
		web.Become(t, "active", "w1")
		for _, w := range tries {
			if r, err := w.probe(w.from, w.dst, w.options); err != nil || r.Tag != "w1" {
				t.Errorf("%s → %s: %+v, %v, want an answer of w1", w.from.Name, w.dst, r, err)
			}
		}
	})
}
