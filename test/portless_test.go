// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// SEC-22: of protocols without ports, a masqueraded container takes nothing from the host.
func TestHostKeepsProtocolsWithoutPorts(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a")
		harness.ServeUDP(t, e.LAN1, 9000, "lan1")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			for _, proto := range []int{4, 41, 47, 50, 51, 89} {
				t.Run(fmt.Sprintf("protocol %d", proto), func(t *testing.T) { hostWasFirst(t, e, f, c1, proto) })
			}
			// Numbers for experiments (RFC 3692), one for each.
			t.Run("host speaks later", func(t *testing.T) { hostSpeaksLater(t, e, f, c1, 253) })
			t.Run("host listens later", func(t *testing.T) { hostListensLater(t, e, f, c1, 254) })
		})
	}, harness.Own()) // what the host holds outlives a test
}

// The host and a machine of the LAN talk; a container's packet changes nothing.
func hostWasFirst(t *testing.T, e *harness.Env, f harness.Family, c1 *harness.Sandbox, proto int) {
	host, lan, inside := harness.OpenIP(t, e.Host, f, proto), harness.OpenIP(t, e.LAN1, f, proto), harness.OpenIP(t, c1.Netns, f, proto)
	host.MustSend(t, f.LAN1, "hello")
	lan.Wait(t, "hello")
	lan.MustSend(t, f.Host, "welcome")
	host.Wait(t, "welcome")
	for i := range 3 {
		_ = inside.Send(f.LAN1, "mine")
		// What comes after it has passed shows that it has, or hasn't.
		if _, err := harness.GetUDP(c1.Netns, at(f.LAN1, 9000)); err != nil {
			t.Fatal(err)
		}
		var all []string
		for j := range 10 {
			all = append(all, fmt.Sprintf("%d.%d", i, j))
			lan.MustSend(t, f.Host, all[j])
		}
		host.Wait(t, all...)
		for _, payload := range all {
			if inside.Has(payload) {
				t.Errorf("the container received the host's packet %s", payload)
			}
		}
	}
}

// containerFirst opens a container's masqueraded flow, which works.
func containerFirst(t *testing.T, e *harness.Env, f harness.Family, c1 *harness.Sandbox, proto int) (lan, inside *harness.IPSocket) {
	t.Helper()
	lan, inside = harness.OpenIP(t, e.LAN1, f, proto), harness.OpenIP(t, c1.Netns, f, proto)
	inside.MustSend(t, f.LAN1, "first")
	lan.Wait(t, "first")
	lan.MustSend(t, f.Host, "answer")
	inside.Wait(t, "answer")
	return lan, inside
}

func hostSpeaksLater(t *testing.T, e *harness.Env, f harness.Family, c1 *harness.Sandbox, proto int) {
	lan, inside := containerFirst(t, e, f, c1, proto)
	host := harness.OpenIP(t, e.Host, f, proto)
	sent := host.Send(f.LAN1, "own") == nil
	if e.Protects("SEC-22") {
		lan.Wait(t, "own")
	}
	lan.MustSend(t, f.Host, "whose")
	harness.Eventually(t, "somebody to receive it", func() error {
		if !host.Has("whose") && !inside.Has("whose") {
			return fmt.Errorf("nobody (the host could send: %t)", sent)
		}
		return nil
	})
	e.Expect(t, "SEC-22", "a container receives what is sent to the host", host.Has("whose") && !inside.Has("whose"))
}

func hostListensLater(t *testing.T, e *harness.Env, f harness.Family, c1 *harness.Sandbox, proto int) {
	lan, inside := containerFirst(t, e, f, c1, proto)
	host := harness.OpenIP(t, e.Host, f, proto)
	if !e.Protects("SEC-22") {
		lan.MustSend(t, f.Host, "whose")
		inside.Wait(t, "whose")
		return
	}
	// The daemon looks for listeners now and then.
	harness.Eventually(t, "the listening host to receive", func() error {
		lan.MustSend(t, f.Host, "heard")
		if !host.Has("heard") {
			return fmt.Errorf("nothing yet")
		}
		return nil
	})
	_ = inside.Send(f.LAN1, "again")
	lan.MustSend(t, f.Host, "still")
	host.Wait(t, "still")
	if inside.Has("still") {
		t.Error("the container received what the host listens for")
	}
}

// SEC-22: so does a tunnel of the host's kernel.
func TestHostKeepsItsTunnels(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a")
		f := harness.V4()
		for kind, proto := range map[string]int{"gre": 47, "ipip": 4} {
			t.Run(kind, func(t *testing.T) {
				if e.Protects("SEC-22") {
					containerFirst(t, e, f, c1, proto)
				}
				ends := map[*harness.Netns][2]string{e.Host: {f.Host, f.LAN1}, e.LAN1: {f.LAN1, f.Host}}
				for n, end := range ends {
					if out, err := n.Output("ip", "link", "add", "tunnel", "type", kind, "local", end[0], "remote", end[1]); err != nil {
						t.Skipf("this kernel has no such tunnels: %s", out)
					}
					t.Cleanup(func() { n.Must(t, "ip", "link", "del", "tunnel") })
					n.Must(t, "ip", "link", "set", "tunnel", "up")
				}
				e.Host.Must(t, "ip", "addr", "add", "10.99.0.1/30", "dev", "tunnel")
				e.LAN1.Must(t, "ip", "addr", "add", "10.99.0.2/30", "dev", "tunnel")
				for range 2 {
					if err := harness.Ping(e.LAN1, "10.99.0.1"); err != nil {
						t.Error(err)
					}
					if err := harness.Ping(e.Host, "10.99.0.2"); err != nil {
						t.Error(err)
					}
					_ = harness.OpenIP(t, c1.Netns, f, proto).Send(f.LAN1, "mine")
				}
			})
		}
	}, harness.Own()) // what the host holds outlives a test
}
