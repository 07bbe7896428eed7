// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/harness"
)

// NAT-23: many clients connect, ask and close at the same time, from outside to
// a published port and from a container to the outside. Nobody fails and nobody
// gets another's answer.
func TestParallelConnections(t *testing.T) { parallelConnections(t, 80) }

// parallelConnections has each client make so many.
func parallelConnections(t *testing.T, each int) {
	const clients = 32
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80")
		harness.ServeTCP(t, c1.Netns, 80, "c1")
		harness.ServeTCP(t, e.LAN1, 80, "lan1")
		for _, w := range []walk{{e.LAN1, at(harness.HostIP4, 8080)}, {c1.Netns, at(harness.LAN1IP4, 80)}} {
			var all sync.WaitGroup
			for i := range clients {
				all.Go(func() {
					for k := range each {
						if err := oneRequest(w, fmt.Sprintf("client %d request %d", i, k)); err != nil {
							t.Errorf("%s → %s, client %d, request %d: %v", w.from.Name, w.dst, i, k, err)
							return
						}
					}
				})
			}
			all.Wait()
		}
	})
}

// oneRequest closes with a reset: otherwise the ports of the one address that
// the clients share run out.
func oneRequest(w walk, text string) error {
	c, err := harness.DialTCP(w.from, w.dst)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetLinger(0)
	return c.Echo(text)
}

// NAT-26: of a large range any port leads to the port at the same place. The time of
// iptables-restore grows with the square of the range: a larger one is in the long tests.
func TestPublishedLargeRange(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		size := 2000
		if e.Mode == harness.IPTables {
			size = 500
		}
		publishedRange(t, e, size)
	})
}

func publishedRange(t *testing.T, e *harness.Env, size int) {
	const probes = 25
	e.Network(t, "a", numA)
	c1 := e.Sandbox(t, "c1", "--network", "a", "-p", fmt.Sprintf("20000-%d:40000-%d", 20000+size-1, 40000+size-1))
	for range probes {
		i := rand.IntN(size)
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			tag := fmt.Sprint("port-", 40000+i)
			harness.ServeTCP(t, c1.Netns, 40000+i, tag)
			for _, addr := range []string{harness.HostIP4, harness.HostIP6} {
				if r, err := harness.GetTCP(e.LAN1, at(addr, 20000+i)); err != nil || r.Tag != tag {
					t.Errorf("port %d leads to %q (%v), want %s", 20000+i, r.Tag, err, tag)
				}
			}
		})
	}
	harness.Misses(t, e.LAN1, harness.HostIP4, 20000+size)
}

// NAT-21: what is unpublished, by disconnecting the gateway's network or by
// removal, takes no new connection; an established one is ended, not left to
// wait for ever, when its container goes.
func TestConnectionOfUnpublishedPort(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80")
		harness.ServeTCP(t, c1.Netns, 80, "c1")
		c, err := harness.DialTCP(e.LAN1, at(harness.HostIP4, 8080))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Echo("before"); err != nil {
			t.Fatal(err)
		}
		c1.Remove(t)
		_ = c.SetDeadline(time.Now().Add(harness.Silence))
		if err := c.Echo("after"); err == nil {
			t.Error("a removed container answers")
		}
		if _, err := harness.GetTCP(e.LAN1, at(harness.HostIP4, 8080)); harness.Classify(err) != harness.Reset {
			t.Errorf("new connection: %v, want a reset", err)
		}
		if out := e.Must(t, "flow", "ls"); harness.CountLines(out, ":8080") != 0 {
			t.Errorf("flows are left:\n%s", out)
		}
		// The next container with the address inherits nothing.
		c2 := e.Sandbox(t, "c2", "--network", "a", "--ip", "172.30.0.2", "-p", "8080:80")
		s := harness.Sniff(t, c2.Netns, "eth0", nil)
		harness.ServeTCP(t, c2.Netns, 80, "c2")
		if r, err := harness.GetTCP(e.LAN1, at(harness.HostIP4, 8080)); err != nil || r.Tag != "c2" {
			t.Errorf("the next container: %+v, %v", r, err)
		}
		if e.Mode == harness.EBPF {
			s.Never(t, "segment of the old connection", harness.All(harness.SrcIP(harness.LAN1IP4), harness.Contains("after")))
		}
	})
}
