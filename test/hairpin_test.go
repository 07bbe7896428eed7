// SPDX-License-Identifier: Apache-2.0

package test

import (
	"slices"
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
				listedAtBothEnds(t, e, c, f)
			}
			harness.Reaches(t, c2.Netns, c1.IP(t, "a", f), 80, "c1")
		})
		// Docker's rules leave connections within a network to netfilter too.
		listed := e.Must(t, "flow", "ls", "-q", "-f", "opener=c2", "-f", "kind=routed") != ""
		said := strings.Contains(e.Fairway(t, "flow", "ls").Err, "within a network")
		if inIPTables := e.Mode == harness.IPTables; listed != inIPTables || said == inIPTables {
			t.Errorf("connections within a network are listed: %v; flow ls says that they aren't: %v", listed, said)
		}
	})
}

type flowEnd struct{ Sandbox, Network string }

type listedFlow struct {
	Dst, Sandbox   string
	Opener, Target flowEnd
}

// listedAtBothEnds demands that the connections of c to c1 by the host's address are
// found by the names of either end.
func listedAtBothEnds(t *testing.T, e *harness.Env, c *harness.Sandbox, f harness.Family) {
	t.Helper()
	for _, filters := range [][]string{
		{"-f", "sandbox=" + c.Name}, {"-f", "opener=" + c.Name, "-f", "target=c1"}, {"-f", "opener=" + c.ID[:12]},
	} {
		var flows []listedFlow
		e.JSON(t, &flows, append([]string{"flow", "ls", "-o", "json"}, filters...)...)
		if !slices.ContainsFunc(flows, func(fl listedFlow) bool {
			return fl.Dst == at(f.Host, 8080) && fl.Opener.Sandbox == c.Name && fl.Target == (flowEnd{"c1", "a"}) && fl.Sandbox == "c1"
		}) {
			t.Errorf("flow ls %s: no connection of %s to c1 among %+v", strings.Join(filters, " "), c.Name, flows)
		}
	}
}

// A server never sees the client's address as its own on the way back in: clients of its own
// network and of another one are seen as the gateway of the server's network.
func TestHairpinSource(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Network(t, "b", numB)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		c3 := e.Sandbox(t, "c3", "--network", "b")
		serve(t, c1.Netns, 80, "c1")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			seenFrom(t, harness.Reaches(t, c1.Netns, f.Host, 8080, "c1"), c1.Gateway("a", f))
			seenFrom(t, harness.Reaches(t, c3.Netns, f.Host, 8080, "c1"), c1.Gateway("a", f))
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
