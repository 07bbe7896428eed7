// SPDX-License-Identifier: Apache-2.0

package test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/harness"
)

// SVC-13: a backend on which nothing listens is passed over by new connections, with the daemon
// dead too, without any check; nobody is refused for it but the few who found it out.
func TestServicePassesOverWhoFails(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		web := newFleet(t, e)
		deaf := e.Sandbox(t, "deaf", "--network", "a", "--label", "app=web")
		web.Become(t, "active", append(web.names(), "deaf")...)
		e.Daemon.Kill(t)
		for _, f := range []harness.Family{harness.V4(), harness.V6()} {
			lost := timesRefused(t, 200, map[*harness.Netns]string{
				e.LAN1: at(f.Host, 8080), web.client.Netns: at(web.VIP(t, "a", f), 80), web.stranger.Netns: at(f.Host, 8080),
			})
			e.Expect(t, "SVC-13", fmt.Sprintf("IPv%d: %d of 600 connections were refused", f.V, lost), lost <= 50)
		}
		e.Daemon.Start(t)
		if e.Mode == harness.EBPF {
			harness.Eventually(t, "service backends says that it is passed over", func() error {
				timesRefused(t, 20, map[*harness.Netns]string{e.LAN1: at(harness.V4().Host, 8080)})
				if table := e.Must(t, "service", "backends", "-f", "name=deaf", "web"); !strings.Contains(table, "passed over") {
					return errors.New(table)
				}
				return nil
			})
		}
		if r := e.Fairway(t, "service", "update", "--passive", "web"); (r.Code == 0) != e.Protects("SVC-13") {
			t.Errorf("service update --passive: %+v", r)
		}
		if e.Mode == harness.EBPF {
			if n := e.Scrape(t).Sum("fairway_service_backends_passed_over_total", `service="web"`); n < 2 {
				t.Errorf("the metric says that backends were passed over %v times, want 2 at least", n)
			}
		}
		// Asked not to, nobody is judged.
		e.Must(t, "service", "update", "--passive=false", "web")
		serve(t, deaf.Netns, 8000, "deaf")
		for _, f := range []harness.Family{harness.V4(), harness.V6()} {
			spreads(t, e.LAN1, at(f.Host, 8080), append(web.names(), "deaf")...)
		}
	}, harness.WithMetrics())
}

// SVC-13: who gets no answer of one backend gets another one when the SYN is sent again. Nobody
// else passes it over for that: anybody can send SYNs that nobody answers.
func TestServiceLeavesWhoIsSilent(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		web := newFleet(t, e)
		silent := e.Sandbox(t, "silent", "--network", "a", "--label", "app=web")
		web.Become(t, "active", append(web.names(), "silent")...)
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			if out, err := silent.Netns.Output("ip", "route", "add", "blackhole", f.LAN1); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			limit := harness.Within(time.Minute)
			if !e.Protects("SVC-13") {
				limit = harness.Within(5 * time.Second) // nothing comes of waiting
			}
			var err error
			waited := 0
			for range 200 {
				began := time.Now()
				if _, err = harness.GetTCP(e.LAN1, at(f.Host, 8080), limit); err != nil {
					break
				}
				if time.Since(began) < 900*time.Millisecond {
					continue
				}
				if waited++; waited == 2 {
					break
				}
			}
			e.Expect(t, "SVC-13", fmt.Sprintf("after %d that waited a connection failed: %v", waited, err), err == nil)
		})
		if e.Mode == harness.EBPF {
			if n := e.Scrape(t).Sum("fairway_service_backends_passed_over_total", `service="web"`); n != 0 {
				t.Errorf("the metric says that backends were passed over %v times", n)
			}
		}
	}, harness.WithMetrics())
}

// SVC-13: sockets that are connected to backends themselves, of which no packet is looked at, pass
// over what others found out. A container that tries one again is refused now and then.
func TestServiceSocketsPassOverWhoFails(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Network(t, "c", numI)
		web := e.Service(t, "web", "--network", "a", "--port", "80:8000", "--publish", "8080:80", "--select", "app=web")
		backend(t, e, "w1", "a")
		backend(t, e, "w2", "a")
		e.Sandbox(t, "deaf", "--network", "a", "--label", "app=web")
		client, stranger := e.Sandbox(t, "client", "--network", "a"), e.Sandbox(t, "stranger", "--network", "c")
		web.Become(t, "active", "w1", "w2", "deaf")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			published := at(f.Host, 8080)
			timesRefused(t, 40, map[*harness.Netns]string{e.LAN1: published, e.WAN: published, stranger.Netns: published})
			lost := timesRefused(t, 300, map[*harness.Netns]string{client.Netns: at(web.VIP(t, "a", f), 80)})
			e.Expect(t, "SVC-13", fmt.Sprintf("%d of 300 sockets were refused", lost), lost <= 30)
			if e.Mode != harness.EBPF {
				return
			}
			harness.Eventually(t, "a backend to see the client's own address, which packets don't show", func() error {
				r, err := harness.GetTCP(client.Netns, at(web.VIP(t, "a", f), 80))
				if err == nil && r.Seen.Addr().String() != client.IP(t, "a", f) {
					err = fmt.Errorf("%s saw %s", r.Tag, r.Seen)
				}
				return err
			})
		})
	})
}

// timesRefused counts the connections that are refused, of so many from each.
func timesRefused(t *testing.T, times int, ways map[*harness.Netns]string) (n int) {
	t.Helper()
	for range times {
		for from, dst := range ways {
			switch _, err := harness.GetTCP(from, dst); harness.Classify(err) {
			case harness.OK:
			case harness.Reset:
				n++
			default:
				t.Fatalf("%s → %s: %v", from.Name, dst, err)
			}
		}
	}
	return n
}
