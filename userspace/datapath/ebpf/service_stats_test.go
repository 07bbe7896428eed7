// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// count has a slot's backend with this index have so many flows, as the programs count them.
func (w *world) count(slot uint16, index uint32, flows uint64) {
	w.t.Helper()
	w.change(slot, index, func(b *object.DatapathBackend) { b.Flows = flows })
}

func (w *world) change(slot uint16, index uint32, how func(*object.DatapathBackend)) {
	w.t.Helper()
	var id ebpf.MapID
	if err := w.dp.loader.Maps().Pools.Lookup(uint32(slot), &id); err != nil {
		w.t.Fatal(err)
	}
	pool, err := ebpf.NewMapFromID(id)
	if err != nil {
		w.t.Fatal(err)
	}
	defer pool.Close()
	var b object.DatapathBackend
	if err := pool.Lookup(index, &b); err != nil {
		w.t.Fatal(err)
	}
	how(&b)
	if err := pool.Put(index, &b); err != nil {
		w.t.Fatal(err)
	}
}

// passOver has a slot's backend with this index be passed over until then, in jiffies, as programs do.
func (w *world) passOver(slot uint16, index uint32, until uint32) {
	w.t.Helper()
	w.change(slot, index, func(b *object.DatapathBackend) { b.Until, b.Notes.Period = until, 5 })
}

// stats are the counters of services, as their backends are ordered.
func (w *world) stats(ids ...string) []datapath.ServiceStats {
	w.t.Helper()
	all, err := w.dp.ServiceStats(context.Background(), ids...)
	if err != nil {
		w.t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b datapath.ServiceStats) int { return cmp.Compare(a.ServiceID, b.ServiceID) })
	for i := range all {
		slices.SortFunc(all[i].Backends, func(a, b datapath.BackendStats) int { return a.Target.Compare(b.Target) })
	}
	return all
}

// What was counted of a service goes on over changes of its backends and ports and over a
// restart, and nobody gets another's.
func TestServiceStats(t *testing.T) {
	w, all := serviceWorld(t)
	s := udpService(all...)
	at := func(i int) netip.AddrPort { return s.Pools[0].Backends[i].Target }
	w.ensure(w.serviceIs(s))
	for i := range all {
		w.count(1, uint32(1+i), uint64(10+i))
	}
	equal(t, "all", w.stats(), []datapath.ServiceStats{{ServiceID: s.ID, Flows: 33, Backends: []datapath.BackendStats{{Target: at(0), Flows: 10}, {Target: at(1), Flows: 11}, {Target: at(2), Flows: 12}}}})
	w.ensure(w.serviceIs(udpService(all[1])))
	w.restart()
	w.ensure(w.hostIs(w.host()), w.networkIs(w.network()), w.endpointIs(all[0]), w.endpointIs(all[1]), w.endpointIs(all[2]))
	w.ensure(w.serviceIs(udpService(all[1], all[0])))
	two := []datapath.ServiceStats{{ServiceID: s.ID, Flows: 33, Backends: []datapath.BackendStats{{Target: at(0), Flows: 0}, {Target: at(1), Flows: 11}}}}
	if err := w.dp.endServices(w.dp.services.takeEnded()); err != nil {
		t.Fatal(err)
	}
	equal(t, "after a restart", w.stats(s.ID), two)

	// The published port gets a pool of its own, and comes back.
	split := udpService(all[1], all[0])
	split.Pools = append(split.Pools, udpService(all[1]).Pools...)
	split.Fronts[1].Pool = 1
	w.ensure(w.serviceIs(split))
	w.count(2, 1, 5)
	equal(t, "two pools", w.stats(s.ID), []datapath.ServiceStats{{ServiceID: s.ID, Flows: 38, Backends: []datapath.BackendStats{{Target: at(0), Flows: 0}, {Target: at(1), Flows: 11}, {Target: at(1), Flows: 5}}}})
	w.ensure(w.serviceIs(udpService(all[1], all[0])))
	two[0].Flows = 38
	equal(t, "one again", w.stats(s.ID), two)
	w.restart()
	w.ensure(w.hostIs(w.host()), w.networkIs(w.network()), w.endpointIs(all[0]), w.endpointIs(all[1]), w.endpointIs(all[2]))
	w.ensure(w.serviceIs(udpService(all[1], all[0])))
	equal(t, "one again, after a restart", w.stats(s.ID), two)

	other := udpService(all[2])
	other.ID, other.Name = "service2", "other"
	for i := range other.Fronts {
		other.Fronts[i].Port = model.Port{Num: 54, Proto: model.UDP}
	}
	w.ensure(w.serviceIs(other))
	equal(t, "of both", w.stats(), append(two, datapath.ServiceStats{ServiceID: other.ID, Backends: []datapath.BackendStats{{Target: at(2), Flows: 0}}}))
	w.ensure(func(ctx context.Context) error { return w.dp.DeleteService(ctx, s.ID) })
	equal(t, "of one that is gone", w.stats(s.ID), nil)
	if st := w.stats("unknown"); len(st) != 0 {
		t.Errorf("of nobody: %+v", st)
	}
}

// A backend is passed over until its time is over, and judged at all where there are two.
func TestServicePassedOver(t *testing.T) {
	w, all := serviceWorld(t)
	passive := func(endpoints ...datapath.Endpoint) datapath.Service {
		s := udpService(endpoints...)
		s.Passive = true
		return s
	}
	w.ensure(w.serviceIs(passive(all...)))
	passed := func() bool { return w.stats()[0].Backends[0].PassedOver }
	if passed() {
		t.Error("passed over at first")
	}
	for _, until := range []struct {
		seconds uint32
		want    bool
	}{{50, true}, {^uint32(0), false}} {
		w.passOver(1, 1, w.jiffies()+w.seconds(until.seconds))
		if passed() != until.want {
			t.Errorf("%d s before its time is over: passed over: %v", int32(until.seconds), !until.want)
		}
	}
	w.passOver(1, 1, w.jiffies()+w.seconds(50))
	w.ensure(w.serviceIs(passive(all[1])))
	if s, _, _, err := w.dp.services.table.Pool(1); err != nil || s.Passive {
		t.Errorf("of one alone: %+v, %v", s, err)
	}
}
