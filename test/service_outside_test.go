// SPDX-License-Identifier: Apache-2.0

package test

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// newOutside makes a service web on network a, port 80, which is published as 8080. Its backends
// are wan's addresses.
func newOutside(t *testing.T, e *harness.Env, flags ...string) *harness.Service {
	t.Helper()
	e.Network(t, "a", numA)
	return e.Service(t, "web", append([]string{
		"--network", "a", "--port", "80:8000", "--port", "80:8000/udp", "--publish", "8080:80", "--publish", "8080:80/udp",
		"--backend", harness.V4().WAN, "--backend", harness.V6().WAN,
	}, flags...)...)
}

// SVC-07: a machine outside of Fairway is a backend as any other, for everybody, and sees an
// address that it can answer to.
func TestServiceBackendOutside(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		web := newOutside(t, e)
		e.Network(t, "c", numI)
		client, stranger := e.Sandbox(t, "client", "--network", "a"), e.Sandbox(t, "stranger", "--network", "c")
		serve(t, e.WAN, 8000, "wan")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			for _, w := range []walk{
				{client.Netns, at(web.VIP(t, "a", f), 80)}, {client.Netns, at(f.Host, 8080)}, {stranger.Netns, at(f.Host, 8080)},
				{e.LAN1, at(f.Host, 8080)}, {e.LAN2, at(f.Host, 8080)}, {e.WAN, at(f.Host, 8080)},
				{e.Host, at(web.VIP(t, "a", f), 80)}, {e.Host, at(f.Host, 8080)},
			} {
				seenAs(t, spreads(t, w.from, w.dst, "wan"), f.Host)
			}
			// Over IPv6 Docker's proxy takes it.
			comes := f.Is6() || e.Protects("SVC-07")
			r, err := harness.GetTCP(e.Host, at(f.Loopback, 8080), harness.Answer(comes))
			if reached := err == nil && r.Tag == "wan"; reached != comes {
				t.Errorf("host → %s: %+v, %v, reached is to be %t", f.Loopback, r, err, comes)
			}
			harness.Misses(t, e.LAN1, web.VIP(t, "a", f), 80)
			for _, w := range []walk{{client.Netns, at(web.VIP(t, "a", f), 80)}, {e.LAN1, at(f.Host, 8080)}} {
				exchange(t, w.from.Name+" → "+w.dst, w, 4000)
			}
		})
	})
}

// SVC-07: errors about such connections reach their clients, as do hints at a narrow path.
func TestServiceBackendOutsideErrors(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		web := newOutside(t, e)
		client := e.Sandbox(t, "client", "--network", "a")
		e.NarrowRouter(t, 1400)
		harness.ServeTCP(t, e.WAN, 8000, "wan")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			for _, w := range []walk{{client.Netns, at(web.VIP(t, "a", f), 80)}, {e.LAN1, at(f.Host, 8080)}} {
				if _, err := harness.GetUDP(w.from, w.dst); !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("%s → %s, where nobody listens: %v, want %v", w.from.Name, w.dst, err, syscall.ECONNREFUSED)
				}
				c, err := harness.DialTCP(w.from, w.dst)
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Bulk(1 << 20); err != nil {
					t.Errorf("%s → %s: %v", w.from.Name, w.dst, err)
				}
				c.Close()
			}
			u, err := harness.DialUDP(e.LAN1, at(f.Host, 8080), harness.Socket(func(fd int) error { return dontFragment(fd, f) }))
			if err != nil {
				t.Fatal(err)
			}
			defer u.Close()
			harness.Eventually(t, "the client to learn how narrow the path is", func() error {
				if _, err := u.Write(make([]byte, 1430)); !errors.Is(err, syscall.EMSGSIZE) {
					return errors.New("it may still send 1430 bytes")
				}
				return nil
			})
		})
	})
}

// dontFragment has a socket set DF, and refuse what is larger than it knows the path to take.
func dontFragment(fd int, f harness.Family) error {
	if f.Is6() {
		return syscall.SetsockoptInt(fd, syscall.IPPROTO_IPV6, syscall.IPV6_MTU_DISCOVER, syscall.IPV6_PMTUDISC_DO)
	}
	return syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, syscall.IP_MTU_DISCOVER, syscall.IP_PMTUDISC_DO)
}

// SVC-07: a backend outside is asked whether it serves. Connections to it go on with the daemon
// dead, and end when it doesn't serve any more.
func TestServiceBackendOutsideLives(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		newOutside(t, e, "--health", "tcp,port=8001,interval=100ms,timeout=1s,rise=1,fall=1")
		serve(t, e.WAN, 8000, "wan")
		both := []harness.Family{harness.V4(), harness.V6()}
		for _, f := range both {
			refusesClients(t, e.LAN1, at(f.Host, 8080))
		}
		conns := make(map[int]*harness.TCPConn)
		t.Run("serves", func(t *testing.T) {
			harness.ServeTCP(t, e.WAN, 8001, "asked")
			outsideBecomes(t, e, "active")
			flows := harness.NewFlows(t)
			for _, f := range both {
				flows.TCP(t, e.LAN1, at(f.Host, 8080))
				flows.UDP(t, e.LAN1, at(f.Host, 8080))
				c, err := harness.DialTCP(e.LAN2, at(f.Host, 8080))
				if err != nil {
					t.Fatal(err)
				}
				conns[f.V] = c
			}
			e.Daemon.Kill(t)
			flows.Advance(t, 20)
			for _, f := range both {
				harnessReaches(t, e.LAN1, at(f.Host, 8080), "wan")
			}
			e.Daemon.Start(t)
			outsideBecomes(t, e, "active")
			flows.Advance(t, 20)
			flows.Stop(t)
			for _, c := range conns {
				if err := c.Echo("still here"); err != nil {
					t.Error(err)
				}
			}
		})
		outsideBecomes(t, e, "down")
		for v, c := range conns {
			defer c.Close()
			ended(t, c, fmt.Sprintf("a connection over IPv%d", v))
		}
		for _, f := range both {
			refusesClients(t, e.LAN1, at(f.Host, 8080))
		}
	}, harness.Restarts())
}

// outsideBecomes waits until both backends of web have a state, and clients of the LAN find it so.
func outsideBecomes(t *testing.T, e *harness.Env, state string) {
	t.Helper()
	harness.Eventually(t, "backends outside to be "+state, func() error {
		now := e.InspectService(t, "web").Backends
		for _, b := range now {
			if b.State != state {
				return fmt.Errorf("%+v", now)
			}
		}
		for _, f := range []harness.Family{harness.V4(), harness.V6()} {
			if _, err := harness.GetTCP(e.LAN1, at(f.Host, 8080)); (err == nil) != (state == "active") {
				return fmt.Errorf("IPv%d: %v", f.V, err)
			}
		}
		return nil
	})
}
