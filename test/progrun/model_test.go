// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/test/progrun/rig"
	"github.com/fairway-project/fairway/userspace/model"
)

const (
	outside = object.DatapathZoneZONE_WORLD

	publishedPort = 8080
	targetPort    = 80
)

// inside is the zone of what an endpoint sends.
func inside(e rig.Endpoint) flow.Zone { return flow.Zone(e.Network) }

// oracle is NAT and connection tracking as this project wants them, in the
// plainest way: a table of connections, each found by the packet of either side.
type oracle struct {
	f         family
	table     map[flow.Key]*connection
	published map[model.Proto]target
	// generation of each endpoint's owner.
	generation map[uint16]uint16
}

type target struct {
	endpoint   rig.Endpoint
	generation uint16
}

// connection has the keys of its two directions, the one that began it first.
type connection struct {
	keys   [2]flow.Key
	sides  [2]side
	target target
}

// side is what one direction has sent.
type side struct{ ack, fin, rst bool }

func newOracle(f family) *oracle {
	o := &oracle{f: f, table: map[flow.Key]*connection{}, published: map[model.Proto]target{}, generation: map[uint16]uint16{}}
	for _, e := range []rig.Endpoint{f.Web, f.App, f.DB} {
		o.generation[e.Slot] = rig.Generation
	}
	return o
}

// event is a packet that arrives somewhere; sender is the container, if any.
type event struct {
	key    flow.Key
	flags  string
	exact  bool // a RST has the sequence number that the peer expects
	sender rig.Endpoint
}

func (e event) tcp() bool { return e.key.Proto == uint8(model.TCP) }

func (e event) begins() bool { return !e.tcp() || e.flags == "S" }

func (e event) continues() bool { return e.tcp() && e.flags == "A" }

// outcome is what must become of it: free outcomes choose the source port.
type outcome struct {
	verdict  verdict
	src, dst netip.AddrPort
	free     bool
}

func (o *oracle) remove(c *connection) {
	for _, k := range c.keys {
		delete(o.table, k)
	}
}

// expect judges the event and brings known connections up to date.
func (o *oracle) expect(e event) outcome {
	if c := o.table[e.key]; c != nil {
		if o.generation[c.target.endpoint.Slot] == c.target.generation && c.track(e) {
			return o.carry(c, e)
		}
		o.remove(c)
	}
	if e.key.Zone != outside {
		return o.beginInside(e)
	}
	return o.beginOutside(e)
}

// track reports whether the connection takes the packet, or makes room for a new one.
func (c *connection) track(e event) bool {
	if !e.tcp() {
		return true
	}
	own, peer := c.side(e.key)
	if e.flags == "S" && (own.rst || peer.rst || own.fin && peer.fin) {
		return false
	}
	if e.flags == "R" {
		own.rst = own.rst || e.exact || !own.ack || !peer.ack
		return true
	}
	own.ack = own.ack || strings.Contains(e.flags, "A")
	own.fin = own.fin || strings.Contains(e.flags, "F")
	return true
}

func (c *connection) side(k flow.Key) (own, peer *side) {
	if k == c.keys[0] {
		return &c.sides[0], &c.sides[1]
	}
	return &c.sides[1], &c.sides[0]
}

// carry translates: what a direction becomes is the other's key reversed.
func (o *oracle) carry(c *connection, e event) outcome {
	other := c.keys[0]
	if e.key == other {
		other = c.keys[1]
	}
	out := outcome{verdict: forwarded(), src: other.Dst, dst: other.Src}
	if e.key.Zone == outside {
		out.verdict = delivered(c.target.endpoint)
	}
	return out
}

// beginInside masquerades.
func (o *oracle) beginInside(e event) outcome {
	if !e.begins() {
		return outcome{verdict: dropped(noFlow)}
	}
	_, open := o.published[model.Proto(e.key.Proto)]
	src := netip.AddrPortFrom(o.f.host(), e.key.Src.Port())
	taken := o.table[replyKey(e.key, outside, src, e.key.Dst)] != nil || open && e.key.Src.Port() == publishedPort
	return outcome{verdict: forwarded(), src: src, dst: e.key.Dst, free: taken}
}

// beginOutside leads to the published port's container, if there is one.
func (o *oracle) beginOutside(e event) outcome {
	unchanged := outcome{verdict: passed(), src: e.key.Src, dst: e.key.Dst}
	to, open := o.published[model.Proto(e.key.Proto)]
	if !open || e.key.Dst.Port() != publishedPort || !e.begins() && !e.continues() {
		return unchanged
	}
	if o.generation[to.endpoint.Slot] != to.generation {
		return outcome{verdict: dropped(endpointGone)}
	}
	dst := netip.AddrPortFrom(o.f.addr(to.endpoint), targetPort)
	taken := o.table[replyKey(e.key, inside(to.endpoint), e.key.Src, dst)] != nil
	return outcome{verdict: delivered(to.endpoint), src: e.key.Src, dst: dst, free: taken}
}

// replyKey is what answers to a packet look like that left as src -> dst.
func replyKey(k flow.Key, zone flow.Zone, src, dst netip.AddrPort) flow.Key {
	return flow.Key{Src: dst, Dst: src, Zone: zone, Proto: k.Proto}
}

// accept learns from the packet out what was left to choose, and enters the
// connection that it began. It fails on a choice that wasn't free.
func (o *oracle) accept(e event, want outcome, src, dst netip.AddrPort) error {
	if want.src.Addr() != src.Addr() || want.dst != dst || !want.free && want.src != src {
		return fmt.Errorf("%s %s left as %s -> %s, want %s -> %s", e.key, e.flags, src, dst, want.src, want.dst)
	}
	if o.table[e.key] != nil || want.verdict.action != rig.Redirect {
		return nil
	}
	zone, to := outside, target{e.sender, o.generation[e.sender.Slot]}
	if e.key.Zone == outside {
		to = o.published[model.Proto(e.key.Proto)]
		zone = inside(to.endpoint)
	}
	reply := replyKey(e.key, zone, src, dst)
	if o.table[reply] != nil {
		return fmt.Errorf("%s shares the reply tuple %s", e.key, reply)
	}
	if _, open := o.published[model.Proto(e.key.Proto)]; open && zone == outside && src.Port() == publishedPort {
		return fmt.Errorf("%s took the published port %d", e.key, src.Port())
	}
	c := &connection{keys: [2]flow.Key{e.key, reply}, target: to}
	c.sides[0].ack = e.flags != "S"
	o.table[e.key], o.table[reply] = c, c
	return nil
}
