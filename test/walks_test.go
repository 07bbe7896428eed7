// SPDX-License-Identifier: Apache-2.0

package test

import (
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// Container to container on one network: nothing is translated.
func TestContainerToContainer(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, c2 := pair(t, e)
		serve(t, c2.Netns, 80, "c2")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			replies := harness.Reaches(t, c1.Netns, c2.IP(t, "a", f), 80, "c2")
			seenFrom(t, replies, c1.IP(t, "a", f))
			if err := harness.Ping(c1.Netns, c2.IP(t, "a", f)); err != nil {
				t.Error(err)
			}
		})
	})
}

// A network with jumbo frames carries them whole between its containers.
func TestJumboFramesWithinNetwork(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, c2 := pair(t, e, "-o", "com.docker.network.driver.mtu=9000")
		harness.ServeUDP(t, c2.Netns, 80, "c2")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			size := map[int]string{4: "8972", 6: "8952"}[f.V]
			if err := harness.Ping(c1.Netns, c2.IP(t, "a", f), "-M", "do", "-s", size); err != nil {
				t.Error(err)
			}
			c, err := harness.DialUDP(c1.Netns, at(c2.IP(t, "a", f), 80))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Exchange(8000, harness.Patience); err != nil {
				t.Error(err)
			}
		})
	})
}

// The host reaches its containers by their addresses, whatever they publish.
func TestHostToContainer(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, _ := pair(t, e)
		serve(t, c1.Netns, 80, "c1")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			replies := harness.Reaches(t, e.Host, c1.IP(t, "a", f), 80, "c1")
			seenFrom(t, replies, c1.Gateway("a", f))
			if err := harness.Ping(e.Host, c1.IP(t, "a", f)); err != nil {
				t.Error(err)
			}
		})
	})
}

// Containers reach what listens on the host, by the gateway's address and by
// the host's own; the host sees the container itself.
func TestContainerToHost(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, _ := pair(t, e)
		harness.ServeTCP(t, e.Host, 2200, "host")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			// A wildcard socket would answer from the gateway's address.
			harness.ServeUDPAt(t, e.Host, at(f.Host, 2200), "host")
			harness.ServeUDPAt(t, e.Host, at(c1.Gateway("a", f), 2200), "host")
			for _, dst := range []string{c1.Gateway("a", f), f.Host} {
				replies := harness.Reaches(t, c1.Netns, dst, 2200, "host")
				seenFrom(t, replies, c1.IP(t, "a", f))
				if err := harness.Ping(c1.Netns, dst); err != nil {
					t.Error(err)
				}
			}
		})
	})
}

// NAT-29: what is not Fairway's is forwarded, or not, as it was before.
func TestForeignForwardingIsUntouched(t *testing.T) {
	prepare := func(t testing.TB, w *harness.Topology) {
		w.Host.Sysctl(t, "ipv4/ip_forward", "1")
		w.Host.Sysctl(t, "ipv6/conf/all/forwarding", "1")
		for _, f := range []harness.Family{harness.V4(), harness.V6()} {
			w.LAN1.Must(t, "ip", "route", "replace", "default", "via", f.Host)
		}
	}
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		pair(t, e)
		serve(t, e.WAN, 80, "wan")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			seenFrom(t, harness.Reaches(t, e.LAN1, f.WAN, 80, "wan"), f.LAN1)
		})
	}, harness.Prepare(prepare))
}
