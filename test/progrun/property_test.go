// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
	"github.com/fairway-project/fairway/userspace/model"
)

// Random events through the real programs and through the oracle: they agree on
// every verdict and address; connections and their answers are each other's
// inverse; no two share a reply tuple; after collection nothing is left.
func TestRandomEvents(t *testing.T) {
	h := rig.New(t, rig.Options{MaxEntries: map[string]uint32{object.DatapathMapFlows4: 1024, object.DatapathMapFlows6: 1024}})
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				h.Restore(t)
				m := &machine{t: t, h: h, f: f, o: newOracle(f)}
				rt.Repeat(map[string]func(*rapid.T){
					"container sends": m.containerSends,
					"answer":          m.answer,
					"more":            m.more,
					"visitor":         m.visitor,
					"publish":         m.publish,
					"unpublish":       m.unpublish,
					"replace":         m.replace,
					"age and collect": m.ageAndCollect,
					"":                m.invariant,
				})
				m.collectAll(rt)
			})
		})
	}
}

// machine turns events into packets for the programs and questions to the oracle.
type machine struct {
	t *testing.T
	h *rig.Host
	f family
	o *oracle
}

func (m *machine) endpoints() []rig.Endpoint { return []rig.Endpoint{m.f.Web, m.f.App, m.f.DB} }

func protos() *rapid.Generator[model.Proto] {
	return rapid.SampledFrom([]model.Proto{model.TCP, model.UDP})
}

func flagsFor(rt *rapid.T, p model.Proto, choice ...string) string {
	if p != model.TCP {
		return ""
	}
	return rapid.SampledFrom(choice).Draw(rt, "flags")
}

func (m *machine) remotes() []netip.Addr { return []netip.Addr{m.f.far(), m.f.client()} }

func (m *machine) containerSends(rt *rapid.T) {
	e := rapid.SampledFrom(m.endpoints()).Draw(rt, "endpoint")
	p := protos().Draw(rt, "proto")
	sport := rapid.SampledFrom([]uint16{targetPort, 5000, 5001, publishedPort}).Draw(rt, "sport")
	dport := rapid.SampledFrom([]uint16{53, 5000}).Draw(rt, "dport")
	to := rapid.SampledFrom(m.remotes()).Draw(rt, "to")
	m.send(rt, event{
		key: flow.Key{
			Src: netip.AddrPortFrom(m.f.addr(e), sport), Dst: netip.AddrPortFrom(to, dport), Zone: inside(e), Proto: uint8(p),
		},
		flags: flagsFor(rt, p, "S", "S", "S", "A", "SA", "FA", "R"), sender: e,
	})
}

func (m *machine) visitor(rt *rapid.T) {
	p := protos().Draw(rt, "proto")
	from := rapid.SampledFrom(m.remotes()).Draw(rt, "from")
	sport := rapid.SampledFrom([]uint16{53, 5000, 5001}).Draw(rt, "sport")
	at := rapid.SampledFrom([]netip.Addr{m.f.Eth0.Addr(m.f.v6), m.f.Eth1.Addr(m.f.v6)}).Draw(rt, "at")
	m.send(rt, event{
		key: flow.Key{
			Src: netip.AddrPortFrom(from, sport), Dst: netip.AddrPortFrom(at, publishedPort), Zone: outside, Proto: uint8(p),
		},
		flags: flagsFor(rt, p, "S", "S", "A", "SA", "R"),
	})
}

// pick draws a connection; the table's order is no part of the drawing.
func (m *machine) pick(rt *rapid.T) *connection {
	all := m.ordered()
	if len(all) == 0 {
		rt.Skip("no connections")
	}
	return rapid.SampledFrom(all).Draw(rt, "connection")
}

func (m *machine) ordered() []*connection {
	var all []*connection
	for _, key := range sortedKeys(m.o.table) {
		if c := m.o.table[key]; c.keys[0] == key {
			all = append(all, c)
		}
	}
	return all
}

func (m *machine) answer(rt *rapid.T) { m.along(rt, m.pick(rt), 1) }

func (m *machine) more(rt *rapid.T) { m.along(rt, m.pick(rt), 0) }

// along sends a packet of a connection's direction.
func (m *machine) along(rt *rapid.T, c *connection, direction int) {
	e := event{key: c.keys[direction]}
	if e.tcp() {
		e.flags = rapid.SampledFrom([]string{"A", "A", "SA", "FA", "FA", "R", "S"}).Draw(rt, "flags")
		e.exact = rapid.Bool().Draw(rt, "exact")
	}
	if e.key.Zone != outside {
		e.sender = m.ownerOf(e.key.Src.Addr())
	}
	m.send(rt, e)
}

func (m *machine) ownerOf(a netip.Addr) rig.Endpoint {
	for _, e := range m.endpoints() {
		if m.f.addr(e) == a {
			return e
		}
	}
	return rig.Endpoint{}
}

func (m *machine) publish(rt *rapid.T) {
	e := rapid.SampledFrom(m.endpoints()).Draw(rt, "endpoint")
	p := protos().Draw(rt, "proto")
	to := target{e, m.o.generation[e.Slot]}
	m.o.published[p] = to
	m.h.PublishEntry(m.t, publish.Key{Addr: rig.Any(m.f.v6), Port: publishedPort, Proto: p}, publish.Entry{
		Target: netip.AddrPortFrom(m.f.addr(e), targetPort), Endpoint: e.Slot, Generation: to.generation,
	})
}

func (m *machine) unpublish(rt *rapid.T) {
	p := protos().Draw(rt, "proto")
	delete(m.o.published, p)
	m.h.Unpublish(m.t, publish.Key{Addr: rig.Any(m.f.v6), Port: publishedPort, Proto: p})
}

// replace gives the slot another owner with the same addresses.
func (m *machine) replace(rt *rapid.T) {
	e := rapid.SampledFrom(m.endpoints()).Draw(rt, "endpoint")
	m.o.generation[e.Slot]++
	m.h.PutEndpoint(m.t, e, m.o.generation[e.Slot])
}

// send runs the event through the program and compares.
func (m *machine) send(rt *rapid.T, e event) {
	rt.Helper()
	want := m.o.expect(e)
	in := m.frame(e)
	run := rig.Run{Program: rig.FromUplink, Device: m.f.Eth0.Device, Frame: in.Bytes()}
	if e.key.Zone != outside {
		run.Program, run.Device = rig.FromContainer, e.sender.Name
	}
	got := m.h.Run(m.t, run)
	if got.Action != want.verdict.action {
		rt.Fatalf("%s %s: action %d, want %d\n%s", e.key, e.flags, got.Action, want.verdict.action, flowText(m.t, m.h))
	}
	if got.Action == rig.Drop {
		return
	}
	if err := frame.Check(got.Frame); err != nil {
		rt.Fatalf("%s %s: %v", e.key, e.flags, err)
	}
	src, dst, err := frame.Ends(got.Frame)
	check(m.t, err)
	if err := m.o.accept(e, want, src, dst); err != nil {
		rt.Fatal(err)
	}
}

// frame numbers every segment the same, so that only resets can be inexact.
func (m *machine) frame(e event) frame.Frame {
	f := m.f.arrives(e.key.Src.Addr(), e.key.Dst.Addr())
	seq, ack := uint32(900), uint32(100)
	if e.key.Zone != outside {
		f = m.f.sends(e.sender, e.key.Dst.Addr())
		seq, ack = ack, seq
	}
	if !e.tcp() {
		return f.UDP(e.key.Src.Port(), e.key.Dst.Port())
	}
	if e.flags == "R" && !e.exact {
		seq += 5555
	}
	return f.TCP(e.key.Src.Port(), e.key.Dst.Port(), e.flags).Seq(seq, ack)
}

// invariant: the table is the oracle's, in pairs.
func (m *machine) invariant(rt *rapid.T) {
	all := halves(m.t, m.h)
	if err := pairsError(all); err != nil {
		rt.Fatal(err)
	}
	for key := range all {
		if m.o.table[key] == nil {
			rt.Fatalf("the oracle knows nothing of %s", key)
		}
	}
	if len(all) != len(m.o.table) {
		rt.Fatalf("%d halves, the oracle has %d", len(all), len(m.o.table))
	}
	for _, half := range all {
		if half.Origin() && half.Zone != outside && m.ownerOf(half.NATSrc.Addr()).Slot != 0 {
			rt.Fatalf("leaves with a container's address: %s", half.String())
		}
	}
}

// ageAndCollect judges all flows, lets packets pass on some, and collects: those
// and only those stay.
func (m *machine) ageAndCollect(rt *rapid.T) {
	const longAgo = 1 << 20
	m.h.Age(m.t, longAgo)
	condemned := judge(m.t, m.h)
	saved := map[*connection]bool{}
	for _, c := range m.ordered() {
		if m.o.generation[c.target.endpoint.Slot] == c.target.generation && rapid.Bool().Draw(rt, "saved") {
			direction := rapid.IntRange(0, 1).Draw(rt, "direction")
			e := event{key: c.keys[direction]}
			if e.tcp() {
				e.flags = "A"
			}
			if e.key.Zone != outside {
				e.sender = m.ownerOf(e.key.Src.Addr())
			}
			m.send(rt, e)
			saved[c] = true
		}
	}
	if n, want := collect(m.t, m.h, condemned), len(condemned)-len(saved); n != want {
		rt.Fatalf("collected %d of %d flows, want %d", n, len(condemned), want)
	}
	for _, c := range m.ordered() {
		if !saved[c] {
			m.o.remove(c)
		}
	}
}

func (m *machine) collectAll(rt *rapid.T) {
	all := judge(m.t, m.h)
	if n := collect(m.t, m.h, all); n != len(all) || len(halves(m.t, m.h)) != 0 {
		rt.Fatalf("collected %d of %d flows, left:\n%s", n, len(all), flowText(m.t, m.h))
	}
}

func sortedKeys(table map[flow.Key]*connection) []flow.Key {
	return slices.SortedFunc(maps.Keys(table), func(a, b flow.Key) int { return strings.Compare(a.String(), b.String()) })
}
