// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// The router gets another MAC address, as when a spare takes over: connections go on
// through it, without a new one, as soon as the host knows.
func TestRouterChangesItsMAC(t *testing.T) {
	const first, spare = "02:00:5e:00:00:01", "02:00:5e:00:00:02"
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a")
		serve(t, e.WAN, 80, "wan")
		become := func(mac string) {
			t.Helper()
			e.Router.IP(t, "link set eth0 address "+mac)
			for _, f := range []harness.Family{harness.V4(), harness.V6()} {
				e.Host.IP(t, fmt.Sprintf("neigh replace %s lladdr %s dev eth0", f.Router, mac))
			}
		}
		become(first)
		var conns []*harness.UDPConn
		for _, f := range []harness.Family{harness.V4(), harness.V6()} {
			c, err := harness.DialUDP(c1.Netns, at(f.WAN, 80))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			conns = append(conns, c)
		}
		// Often enough to meet the next hop as it is remembered, on any CPU.
		answered := func() error {
			for range 20 {
				for _, c := range conns {
					if _, err := c.Exchange(10, harness.Silence); err != nil {
						return err
					}
				}
			}
			return nil
		}
		for _, mac := range []string{first, spare, first} {
			become(mac)
			harness.Eventually(t, "answers through "+mac, answered)
		}
	})
}

// Nobody answers for a next hop any more: nothing arrives, until somebody does again.
func TestRouterVanishes(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a")
		serve(t, e.WAN, 80, "wan")
		harness.Reaches(t, c1.Netns, harness.WANIP4, 80, "wan")
		harness.Reaches(t, c1.Netns, harness.WANIP6, 80, "wan")
		e.Router.IP(t, "link set eth0 down")
		for _, f := range []harness.Family{harness.V4(), harness.V6()} {
			e.Host.IP(t, fmt.Sprintf("neigh flush to %s dev eth0", f.Router))
		}
		harness.Misses(t, c1.Netns, harness.WANIP4, 80)
		e.Router.IP(t, "link set eth0 up", "addr replace "+harness.RouterIP6+"/64 dev eth0 nodad")
		for _, f := range []harness.Family{harness.V4(), harness.V6()} {
			reachesSoon(t, c1.Netns, at(f.WAN, 80), "wan", f.Host)
		}
	})
}
