// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/harness"
)

// NAT-19: a UDP client that never stops sending reaches the new container as
// soon as a published port's container is replaced, from everywhere.
func TestUDPFollowsReplacedContainer(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Network(t, "b", numB)
		c3 := e.Sandbox(t, "c3", "--network", "b")
		old := e.Sandbox(t, "old", "--network", "a", "-p", "5353:53/udp")
		harness.ServeUDP(t, old.Netns, 53, "old")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			if old == nil {
				old = e.Sandbox(t, "old", "--network", "a", "-p", "5353:53/udp")
				harness.ServeUDP(t, old.Netns, 53, "old")
			}
			clients := map[string]*harness.UDPConn{}
			for name, n := range map[string]*harness.Netns{"lan": e.LAN1, "hairpin": c3.Netns} {
				c, err := harness.DialUDP(n, at(f.Host, 5353))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				clients[name] = c
				answeredBy(t, name, c, "old")
			}
			oldIP := old.IP(t, "a", f)
			old.Remove(t)
			old = nil
			fresh := e.Sandbox(t, "fresh", "--network", "a", "-p", "5353:53/udp")
			defer fresh.Remove(t)
			if fresh.IP(t, "a", f) == oldIP {
				t.Errorf("the address %s was handed out again first", oldIP)
			}
			harness.ServeUDP(t, fresh.Netns, 53, "fresh")
			for name, c := range clients {
				answeredBy(t, name, c, "fresh")
			}
		})
	})
}

// NAT-19: the same for a client that began before the port was published.
func TestUDPBegunBeforePublication(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Network(t, "b", numB)
		c3 := e.Sandbox(t, "c3", "--network", "b")
		type client struct {
			name string
			*harness.UDPConn
		}
		var clients []client
		for _, f := range []harness.Family{harness.V4(), harness.V6()} {
			for name, n := range map[string]*harness.Netns{"lan": e.LAN1, "hairpin": c3.Netns} {
				c, err := harness.DialUDP(n, at(f.Host, 5353))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if r, err := c.Exchange(8, harness.Silence/4); err == nil {
					t.Fatalf("answered by %s before publication", r.Tag)
				}
				clients = append(clients, client{fmt.Sprintf("%s over IPv%d", name, f.V), c})
			}
		}
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "5353:53/udp")
		harness.ServeUDP(t, c1.Netns, 53, "c1")
		for _, c := range clients {
			answeredBy(t, c.name, c.UDPConn, "c1")
		}
	})
}

// answeredBy sends until an answer comes, for a second at most.
func answeredBy(t *testing.T, name string, c *harness.UDPConn, tag string) {
	t.Helper()
	harness.Eventually(t, name+" to be answered by "+tag, func() error {
		r, err := c.Exchange(8, 100*time.Millisecond)
		if err == nil && r.Tag != tag {
			err = fmt.Errorf("answered by %s", r.Tag)
		}
		return err
	})
}
