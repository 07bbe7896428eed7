// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/share"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

func TestShareOf(t *testing.T) {
	room := [2]uint32{1000, 2000}
	for name, c := range map[string]struct {
		percent, endpoints uint32
		want               share.Share
	}{
		"off":          {0, 4, share.Share{}},
		"nobody":       {10, 0, share.Share{}},
		"one has all":  {10, 1, share.Share{}},
		"four":         {10, 4, share.Share{Sure: [2]uint32{25, 50}, Common: [2]uint32{925, 1850}, SurePorts: 1638, Others: 3}},
		"one for each": {10, 400, share.Share{Sure: [2]uint32{1, 1}, Common: [2]uint32{601, 1601}, SurePorts: 16, Others: 399}},
		"too many":     {10, 900, share.Share{Sure: [2]uint32{0, 1}, Common: [2]uint32{0, 1101}, SurePorts: 7, Others: 899}},
	} {
		if got := shareOf(c.percent, room, c.endpoints); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

// Whoever took what there is, the others' parts fit in.
func TestSharesFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint32Range(32, 1<<24).Draw(t, "room")
		endpoints := rapid.Uint32Range(1, 8191).Draw(t, "endpoints")
		s := shareOf(rapid.Uint32Range(1, 50).Draw(t, "percent"), [2]uint32{n, n}, endpoints)
		if all := uint64(s.Common[0]) + uint64(s.Sure[0])*uint64(s.Others); s.Sure[0] != 0 && all > uint64(n) {
			t.Fatalf("%d in a table for %d: %+v", all, n, s)
		}
	})
}

// What can't be used counts as used up.
func TestFillOf(t *testing.T) {
	const percent, limit = 10, 2000 // for 1,000 connections
	for name, c := range map[string]struct {
		endpoints uint32
		entries   uint64
		want      float64
	}{
		"one has all":             {1, 1900, 0.95},
		"half of it":              {4, 925, 0.5},
		"all that all may use":    {4, 1850, 1},
		"and what they have kept": {4, 2000, 1000.0 / 925},
		"none kept":               {900, 1900, 0.95},
	} {
		s := shareOf(percent, [2]uint32{limit / 2, limit / 2}, c.endpoints)
		for family := range s.Sure {
			if got := fillOf(c.entries, limit, s, family); got != c.want {
				t.Errorf("%s: got %v, want %v", name, got, c.want)
			}
		}
	}
}

// A server that leaves dead connections behind gets room again while a part of the table
// is kept for another.
func TestEstablishedGiveWayInAShare(t *testing.T) {
	w, e := flowWorld(t)
	w.dp.shares.reserve = 50
	w.ensure(w.endpointIs(w.endpoint(2)))
	common := int(w.dp.collector.share.Common[share.IPv4])
	dead := func(from, to int) {
		for i := from; i < to; i++ {
			c := w.connection(fmt.Sprintf("198.51.100.%d:%d", 1+i/1000, 1+i%1000), e, 80, 1)
			for h := range c {
				c[h].Proto = uint8(model.TCP)
				c[h].State |= object.DatapathFlowStateFLOW_ACK
				c[h].LastSeen -= w.seconds(2 * 3600)
			}
			w.put(c[0], c[1])
		}
		// One counts, the next judges by that.
		w.collect()
		w.collect()
	}
	dead(0, common*90/100)
	if _, halves := w.left(); halves/2 != common*90/100 {
		t.Errorf("%d connections are left, want all %d", halves/2, common*90/100)
	}
	dead(common*90/100, common*96/100)
	if _, halves := w.left(); halves != 0 {
		t.Errorf("%d halves are left with hardly any room, want none", halves)
	}
}

// What an endpoint is sure of isn't given up for others', however full it is where they
// are.
func TestEstablishedStayInTheirShare(t *testing.T) {
	w, e := flowWorld(t)
	w.dp.shares.reserve = 50
	quiet := w.endpoint(2)
	w.ensure(w.endpointIs(quiet))
	common := int(w.dp.collector.share.Common[share.IPv4])
	idle := func(client string, to datapath.Endpoint) {
		c, of := w.connection(client, to, 80, 1), w.dp.endpoints.byID[to.ID]
		for h := range c {
			c[h].Proto = uint8(model.TCP)
			c[h].State |= object.DatapathFlowStateFLOW_ACK
			c[h].LastSeen -= w.seconds(2 * 3600)
			c[h].Endpoint, c[h].EndpointGeneration = of.slot, of.value.Generation
		}
		w.put(c[0], c[1])
	}
	for i := range common * 96 / 100 {
		idle(fmt.Sprintf("198.51.100.%d:%d", 1+i/1000, 1+i%1000), e)
	}
	for i := range 3 {
		idle(fmt.Sprintf("203.0.113.1:%d", 1+i), quiet)
	}
	w.collect()
	w.collect()
	if _, halves := w.left(); halves != 2*3 {
		t.Errorf("%d halves are left, want those of the quiet one's 3 connections", halves)
	}
}

// What older programs opened is counted by the collector's walk, and what it removes
// isn't any more.
func TestConnectionsAreCounted(t *testing.T) {
	w, e := flowWorld(t)
	open := func() share.Counts {
		t.Helper()
		c, err := w.dp.shares.table.Open(1)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, client := range []string{"198.51.100.1:1", "198.51.100.1:2", "[2001:db8::7]:1"} {
		c := w.connection(client, e, 80, 1)
		w.put(c[0], c[1])
	}
	w.collect()
	if got := open(); got != (share.Counts{2, 1}) {
		t.Errorf("%v are open, want 2 and 1", got)
	}
	c := w.connection("198.51.100.1:2", e, 80, 1)
	for i := range c {
		c[i].LastSeen -= w.seconds(300)
	}
	w.put(c[0], c[1])
	w.collect()
	if got := open(); got != (share.Counts{1, 1}) {
		t.Errorf("%v are open, want 1 and 1", got)
	}
	var use object.DatapathFlowUse
	if err := w.dp.loader.Maps().FlowUses.Lookup(uint32(share.All), &use); err != nil || use.Ended[share.IPv4] != 1 {
		t.Errorf("%+v, %v", use, err)
	}
}
