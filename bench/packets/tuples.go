// SPDX-License-Identifier: Apache-2.0

package packets

import (
	"fmt"
	"net/netip"

	"github.com/fairway-project/fairway/bench/pktgen"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/world"
)

const (
	// servicePort is where the server is reached, of many if one is not enough.
	servicePort = 9000
	// publishedPort is the host's of the same.
	publishedPort = 8000
	// firstSource and maxSources are the client's ports. They are neither published
	// nor the host's own, so no arm has to change them.
	firstSource = 16384
	maxSources  = 32768
)

// tuples are the connections of a case, as the client's packets and as the
// server's.
type tuples struct {
	there, back pktgen.Flows
	// one says that there is one destination port, which sinks can look at.
	one bool
	// inStep says that both ways have the connections in the same order.
	inStep bool
}

// newTuples spreads n connections over source ports and, if that isn't enough, over
// the addresses of the LAN host or the ports of the other container.
func newTuples(walk plan.Walk, f plan.Family, e world.Ends, n int) (tuples, error) {
	more, err := spread(n)
	if err != nil {
		return tuples{}, err
	}
	ports := uint32(n) / more
	client, server := e.Client.Addr, e.To
	seen := e.Seen
	there := pktgen.Flows{SrcPorts: ports}
	back := pktgen.Flows{DstPorts: ports}
	t := tuples{one: true, inStep: more == 1 || walk == plan.LANToPublished}
	switch {
	case more == 1:
	case walk == plan.LANToPublished:
		client, seen = world.LANAddress(f), world.LANAddress(f)
		there.SrcAddrs, back.DstAddrs = more, more
	case walk == plan.ContainerToLAN:
		server = world.LANAddress(f)
		there.DstAddrs, back.SrcAddrs = more, more
	default:
		there.DstPorts, back.SrcPorts = more, more
		t.one = false
	}
	there.Src, there.Dst = netip.AddrPortFrom(client, firstSource), netip.AddrPortFrom(server, e.Target("udp", servicePort).Port())
	back.Src, back.Dst = netip.AddrPortFrom(e.Server.Addr, servicePort), netip.AddrPortFrom(seen, firstSource)
	if walk == plan.ContainerToLAN {
		back.Src = netip.AddrPortFrom(server, servicePort)
	}
	t.there, t.back = there, back
	return t, nil
}

// spread is by how much n has to be divided to fit the source ports.
func spread(n int) (uint32, error) {
	for more := 1; more <= world.LANAddresses; more++ {
		if n > 0 && n%more == 0 && n/more <= maxSources {
			return uint32(more), nil
		}
	}
	return 0, fmt.Errorf("%d flows: not up to %d sources times up to %d others", n, maxSources, world.LANAddresses)
}
