// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"maps"
	"net/netip"

	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/host"
	"github.com/fairway-project/fairway/maps/ledsocket"
	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/userspace/model"
)

// endedFlows are those by one of these fronts to one of these backends.
type endedFlows struct {
	fronts  map[publish.Key]bool
	targets map[netip.AddrPort]bool
	// pool is where some targets may stay until this is done, or which is itself to go then.
	pool *pool
	// tries are how often the flows, or their sockets, were to be ended in vain.
	tries int
}

// without returns what is still to be ended: of backends that serve again by now, nothing is.
func (e endedFlows) without() endedFlows {
	e.targets = maps.Clone(e.targets)
	maps.DeleteFunc(e.targets, func(target netip.AddrPort, _ bool) bool { return e.pool.serves(target) })
	return e
}

// endedByTarget finds the few that a flow may be of, of thousands.
type endedByTarget map[netip.AddrPort][]endedFlows

func byTarget(ended []endedFlows) endedByTarget {
	all := make(endedByTarget)
	for _, e := range ended {
		for target := range e.targets {
			all[target] = append(all[target], e)
		}
	}
	return all
}

// has tells whether a flow is one of them. A port of all addresses may be another service's at
// one of them: published says what has an entry of its own.
func (all endedByTarget) has(origin *flow.Half, published func(publish.Key) bool) bool {
	k := publish.Key{Addr: origin.Dst.Addr(), Port: origin.Dst.Port(), Proto: model.Proto(origin.Proto)}
	own := k
	own.Network = uint16(origin.Zone)
	for _, e := range all[origin.NATDst] {
		if e.fronts[k] || e.fronts[own] || e.fronts[anywhere(k)] && !published(k) && !published(own) {
			return true
		}
	}
	return false
}

// hasSocket is has for sockets that were led. Which network's address one asked for isn't known.
func (all endedByTarget) hasSocket(proto model.Proto, led ledsocket.Led, published func(publish.Key) bool) bool {
	k := publish.Key{Addr: led.Origin.Addr(), Port: led.Origin.Port(), Proto: proto}
	for _, e := range all[led.Target] {
		for front := range e.fronts {
			own := k
			own.Network = front.Network
			if front == own || front == anywhere(k) && !published(k) {
				return true
			}
		}
	}
	return false
}

// anywhere is the port of all addresses of the family.
func anywhere(k publish.Key) publish.Key {
	k.Network = 0
	if k.Addr.Is6() {
		k.Addr = netip.IPv6Unspecified()
	} else {
		k.Addr = netip.IPv4Unspecified()
	}
	return k
}

// isPublished reports whether something is published by the key, or by a service's own address
// where the key has no network.
func (d *Datapath) isPublished(k publish.Key) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, is := d.ports.entries[k]; is || k.Network != 0 {
		return is
	}
	at := d.addresses.known[k.Addr]
	if at == host.NoNetwork {
		return false
	}
	k.Network = host.NetworkOf(at)
	_, is := d.ports.entries[k]
	return is
}
