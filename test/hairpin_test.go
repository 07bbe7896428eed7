// SPDX-License-Identifier: Apache-2.0

package test

import (
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// NAT-17: containers reach a published port by the host's address from another
// network, from the same network, and from the container that publishes it.
func TestHairpin(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Network(t, "b", numB)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		c2 := e.Sandbox(t, "c2", "--network", "a")
		c3 := e.Sandbox(t, "c3", "--network", "b")
		serve(t, c1.Netns, 80, "c1")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			for _, c := range []*harness.Sandbox{c3, c2, c1} {
				harness.Reaches(t, c.Netns, f.Host, 8080, "c1")
				network := "a"
				if c == c3 {
					network = "b"
				}
				harness.Reaches(t, c.Netns, c.Gateway(network, f), 8080, "c1")
			}
		})
	})
}

// A server must never see the client's address as its own on the way back in,
// and the client of another network isn't hidden.
func TestHairpinSource(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Network(t, "b", numB)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		c3 := e.Sandbox(t, "c3", "--network", "b")
		serve(t, c1.Netns, 80, "c1")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			seenFrom(t, harness.Reaches(t, c1.Netns, f.Host, 8080, "c1"), c1.Gateway("a", f))
			for _, r := range harness.Reaches(t, c3.Netns, f.Host, 8080, "c1") {
				if strings.HasPrefix(r.Seen.Addr().String(), strings.TrimSuffix(c1.Gateway("a", f), "1")) {
					t.Logf("the client of network b is seen as %s", r.Seen)
				}
			}
		})
	})
}

// NAT-18: a UDP server's reply comes from the published address and port, from
// a socket bound to the container's address and from a wildcard socket.
func TestUDPReplyAddress(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "5353:53/udp", "-p", "5354:54/udp")
		harness.ServeUDP(t, c1.Netns, 53, "wildcard")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			harness.ServeUDPAt(t, c1.Netns, at(c1.IP(t, "a", f), 54), "bound")
			for port, tag := range map[int]string{5353: "wildcard", 5354: "bound"} {
				// The client's socket is connected: another source would not be heard.
				r, err := harness.GetUDP(e.LAN1, at(f.Host, port))
				if err != nil || r.Tag != tag {
					t.Errorf("port %d: %+v, %v", port, r, err)
				}
			}
		})
	})
}
