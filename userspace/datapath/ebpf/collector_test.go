// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/fairway-project/fairway/maps/expired"
	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

const (
	flagOrigin    = object.DatapathFlowFlagFLOW_ORIGIN
	flagTwinWorld = object.DatapathFlowFlagFLOW_TWIN_WORLD
	stateSeen     = object.DatapathFlowStateFLOW_SEEN
)

// connection is both halves of a UDP flow from client to host port 53, led to e.
func (w *world) connection(client string, e datapath.Endpoint, target uint16, generation uint16) [2]flow.Half {
	from, host := netip.MustParseAddrPort(client), netip.MustParseAddrPort("192.0.2.10:53")
	to := netip.AddrPortFrom(e.IPv4, target)
	if from.Addr().Is6() {
		host = netip.MustParseAddrPort("[2001:db8::10]:53")
		to = netip.AddrPortFrom(e.IPv6, target)
	}
	now := w.jiffies()
	kind := flow.Flags(object.DatapathFlowKindFLOW_PUBLISHED) << object.DatapathFlowFlagFLOW_KIND_SHIFT
	origin := flow.Half{
		Key:    flow.Key{Src: from, Dst: host, Zone: object.DatapathZoneZONE_WORLD, Proto: uint8(model.UDP)},
		NATSrc: from, NATDst: to, TwinZone: 1, LastSeen: now, State: stateSeen, Flags: flagOrigin | kind,
		Endpoint: 1, EndpointGeneration: generation,
	}
	reply := flow.Half{
		Key: origin.Twin(), NATSrc: host, NATDst: from, LastSeen: now, State: stateSeen, Flags: flagTwinWorld | kind,
		Endpoint: 1, EndpointGeneration: generation,
	}
	return [2]flow.Half{origin, reply}
}

func (w *world) jiffies() uint32 {
	w.t.Helper()
	now, err := w.dp.loader.Clock().Jiffies()
	if err != nil {
		w.t.Fatal(err)
	}
	return now
}

func (w *world) seconds(n uint32) uint32 { return n * w.dp.loader.Clock().HZ() }

func (w *world) put(halves ...flow.Half) {
	w.t.Helper()
	for _, h := range halves {
		if err := w.dp.meter.flows.Put(h); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) collect() {
	w.t.Helper()
	if _, err := w.dp.collector.pass(nil); err != nil {
		w.t.Fatal(err)
	}
}

// left returns the sources of the origin halves, and how many halves there are.
func (w *world) left() (origins map[string]bool, halves int) {
	w.t.Helper()
	origins = make(map[string]bool)
	for h, err := range w.dp.meter.flows.All() {
		if err != nil {
			w.t.Fatal(err)
		}
		halves++
		if h.Origin() {
			origins[h.Src.String()] = true
		}
	}
	return origins, halves
}

func (w *world) wantFlows(what string, want ...string) {
	w.t.Helper()
	got, halves := w.left()
	wanted := make(map[string]bool)
	for _, s := range want {
		wanted[s] = true
	}
	equal(w.t, what, got, wanted)
	if halves != 2*len(want) {
		w.t.Errorf("%s: %d halves for %d connections", what, halves, len(want))
	}
}

// flowWorld has endpoint 1 with UDP port 53 published to its port 80.
func flowWorld(t *testing.T) (*world, datapath.Endpoint) {
	w := newWorld(t)
	e := w.endpoint(1)
	w.ensure(w.hostIs(w.host()), w.networkIs(w.network()), w.endpointIs(e), w.portsAre(e.ID, publication(e, model.UDP, 53)))
	return w, e
}

// However often somebody wants to know, flows are counted no more often than passes may
// take of the time.
func TestRecountIsBounded(t *testing.T) {
	w, _ := flowWorld(t)
	c := w.dp.collector
	for _, s := range []struct {
		took time.Duration
		runs uint64
	}{{time.Microsecond, 1}, {time.Minute, 0}} {
		w.collect()
		c.mu.Lock()
		before := c.totals.Runs
		c.totals.LastTime, c.counted = s.took, c.counted.Add(-time.Minute)
		c.mu.Unlock()
		if err := c.recount(); err != nil {
			t.Fatal(err)
		}
		if totals, _ := c.stats(); totals.Runs-before != s.runs {
			t.Errorf("a minute after a pass of %s: %d more, want %d", s.took, totals.Runs-before, s.runs)
		}
	}
}

func TestCollectsWhatExpired(t *testing.T) {
	w, e := flowWorld(t)
	const fresh, stale, halfFresh, fresh6, stale6 = "198.51.100.1:1", "198.51.100.2:2", "198.51.100.3:3", "[2001:db8::1]:1", "[2001:db8::2]:2"
	for _, client := range []string{fresh, stale, halfFresh, fresh6, stale6} {
		c := w.connection(client, e, 80, 1)
		switch client {
		case stale, stale6:
			c[0].LastSeen -= w.seconds(121)
			c[1].LastSeen -= w.seconds(121)
		case halfFresh:
			c[0].LastSeen -= w.seconds(121)
		}
		w.put(c[0], c[1])
	}
	w.collect()
	w.wantFlows("after collection", fresh, halfFresh, fresh6)
	s, err := w.dp.Stats(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if s.Collection.Expired != 2 || s.Collection.Runs == 0 {
		t.Errorf("collection: %+v", s.Collection)
	}
}

// A flow that saw a packet after it was judged stays.
func TestCollectionSparesWhatSawAPacket(t *testing.T) {
	w, e := flowWorld(t)
	c := w.connection("198.51.100.1:1", e, 80, 1)
	judged := c
	judged[0].LastSeen -= w.seconds(500)
	judged[1].LastSeen -= w.seconds(500)
	w.put(c[0], judged[1])
	batch := []expired.Entry{entry(&judged[0], &judged[1])}
	if err := w.dp.collector.program.Collect(batch); err != nil {
		t.Fatal(err)
	}
	if batch[0].Collected != 0 {
		t.Error("a flow whose origin saw a packet was collected")
	}
	w.wantFlows("after the origin's packet", "198.51.100.1:1")
	w.put(judged[0], c[1])
	batch[0] = entry(&judged[0], &judged[1])
	if err := w.dp.collector.program.Collect(batch); err != nil {
		t.Fatal(err)
	}
	if batch[0].Collected != 0 {
		t.Error("a flow whose reply saw a packet was collected")
	}
	h, found, err := w.dp.meter.flows.Lookup(c[0].Key)
	if err != nil || !found || h.LastSeen == uint32(object.DatapathFlowLastSeenFLOW_DEAD) {
		t.Errorf("origin half: %s, found %t, %v", &h, found, err)
	}
}

func TestHalvesWithoutTheOtherGo(t *testing.T) {
	w, e := flowWorld(t)
	a, b := w.connection("198.51.100.1:1", e, 80, 1), w.connection("198.51.100.2:2", e, 80, 1)
	a[0].LastSeen -= w.seconds(11)
	b[1].LastSeen -= w.seconds(11)
	w.put(a[0], b[1])
	for range sweepEvery {
		w.collect()
	}
	if _, halves := w.left(); halves != 0 {
		t.Errorf("%d halves are left", halves)
	}
}

// With an endpoint go its flows, all of them, and no other.
func TestFlowsGoWithTheirEndpoint(t *testing.T) {
	w, e := flowWorld(t)
	old := w.connection("198.51.100.1:1", e, 80, 1)
	w.put(old[0], old[1])
	w.ensure(w.endpointGone(e.ID))
	w.collect()
	w.wantFlows("after removal")
	w.ensure(w.endpointIs(e))
	g := w.snapshot().Endpoints
	for slot, v := range g {
		next := w.connection("198.51.100.2:2", e, 80, v.Generation)
		next[0].Endpoint, next[1].Endpoint = slot, slot
		w.put(next[0], next[1])
	}
	w.collect()
	w.wantFlows("of the next owner", "198.51.100.2:2")
}

// UDP flows follow their publication at once; unconcerned ones stay.
func TestUDPFlowsAreRepointed(t *testing.T) {
	w, e := flowWorld(t)
	through := w.connection("198.51.100.1:1", e, 80, 1)
	w.put(through[0], through[1])
	other := publication(e, model.UDP, 54)
	w.ensure(w.portsAre(e.ID, publication(e, model.UDP, 53), other))
	w.wantFlows("after another port was added", "198.51.100.1:1")
	moved := publication(e, model.UDP, 53)
	moved.Port.Num = 81
	w.ensure(w.portsAre(e.ID, moved, other))
	w.wantFlows("after the target changed")
	through = w.connection("198.51.100.1:1", e, 81, 1)
	w.put(through[0], through[1])
	w.ensure(w.portsAre(e.ID, other))
	w.flowsEnd()
}

func TestFlowsAreListed(t *testing.T) {
	w, e := flowWorld(t)
	c := w.connection("198.51.100.1:1", e, 80, 1)
	c[0].LastSeen -= w.seconds(20)
	c[1].LastSeen -= w.seconds(20)
	w.put(c[0], c[1])
	var got []datapath.Flow
	for f, err := range w.dp.Flows(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, f)
	}
	if len(got) != 1 {
		t.Fatalf("flows: %+v", got)
	}
	f := got[0]
	if f.Idle < 20*time.Second || f.Idle > 30*time.Second || f.Idle+f.Expires != 120*time.Second {
		t.Errorf("idle %s, expires %s", f.Idle, f.Expires)
	}
	f.Idle, f.Expires = 0, 0
	equal(t, "flow", f, datapath.Flow{
		Proto: 17, Src: c[0].Src, Dst: c[0].Dst, NATSrc: c[0].NATSrc, NATDst: c[0].NATDst,
		State: "ASSURED", Kind: "published", EndpointID: "ep1", TargetID: "ep1",
	})
}
