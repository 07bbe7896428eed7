// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"fmt"

	"github.com/fairway-project/fairway/maps/counter"
	"github.com/fairway-project/fairway/maps/endpoint"
	"github.com/fairway-project/fairway/userspace/datapath"
)

// endpoints have slots with generations. With a slot goes what names it: publications,
// links, and the programs on its device.
type endpoints struct {
	table    *endpoint.Table
	counters *counter.Table
	ports    *ports
	links    *links
	programs *programs
	slots    *slots
	// byID are those that this process has ensured, bySlot their IDs; orphans the slots in
	// use whose ID isn't known (yet): an earlier process filled them.
	byID    map[string]*endpointState
	bySlot  map[uint16]string
	orphans map[uint16]endpoint.Endpoint
	// gone are those of which sockets may have been led to, until these have been ended.
	gone []goneEndpoint
	// departed is nil where netfilter has no entries of theirs.
	departed *departed
}

// goneEndpoint is what was an endpoint: another one may have its slot and its addresses by now.
type goneEndpoint struct {
	owner
	network uint16
	// tries are how often its sockets were to be ended in vain.
	tries int
}

type endpointState struct {
	slot    uint16
	network string
	value   endpoint.Endpoint
	// inherited is set if an earlier process filled the slot.
	inherited bool
	// portsSaid is set once this process was told the endpoint's ports.
	portsSaid bool
}

func adoptEndpoints(t *endpoint.Table, counters *counter.Table, p *ports, l *links, programs *programs) (*endpoints, error) {
	orphans, err := t.All()
	s := newSlots("endpoint", endpoint.MaxSlots)
	for slot := range orphans {
		s.take(slot)
	}
	return &endpoints{
		table: t, counters: counters, ports: p, links: l, programs: programs,
		slots: s, byID: make(map[string]*endpointState), bySlot: make(map[uint16]string), orphans: orphans,
	}, err
}

// check refuses an endpoint whose MAC or addresses another one of its network has.
func (es *endpoints) check(e datapath.Endpoint, want endpoint.Endpoint) error {
	for id, other := range es.byID {
		v := other.value
		switch {
		case id == e.ID:
		case v.Index == want.Index:
			return fmt.Errorf("endpoint %s: device %s is endpoint %s's", e.ID, e.HostIf, id)
		case v.Network != want.Network:
		case v.MAC == want.MAC:
			return fmt.Errorf("endpoint %s: mac address %s is endpoint %s's", e.ID, want.MAC, id)
		case want.IPv4.IsValid() && v.IPv4 == want.IPv4, want.IPv6.IsValid() && v.IPv6 == want.IPv6:
			return fmt.Errorf("endpoint %s: address %s %s is endpoint %s's", e.ID, want.IPv4, want.IPv6, id)
		}
	}
	return nil
}

// state returns the endpoint's slot: the one it has, the one that an earlier process
// gave the same device, or a new one.
func (es *endpoints) state(e datapath.Endpoint) (*endpointState, error) {
	if st, ok := es.byID[e.ID]; ok {
		st.network = e.NetworkID
		return st, nil
	}
	for slot, orphan := range es.orphans {
		if orphan.Index == e.HostIndex {
			delete(es.orphans, slot)
			return es.know(e, &endpointState{slot: slot, value: orphan, inherited: true}), nil
		}
	}
	slot, err := es.slots.next()
	if err != nil {
		return nil, fmt.Errorf("endpoint %s: %w", e.ID, err)
	}
	freed, err := es.table.Get(slot)
	if err != nil {
		return nil, err
	}
	return es.know(e, &endpointState{slot: slot, value: freed}), nil
}

func (es *endpoints) know(e datapath.Endpoint, st *endpointState) *endpointState {
	st.network = e.NetworkID
	es.byID[e.ID], es.bySlot[st.slot] = st, e.ID
	return st
}

func (es *endpoints) unknow(id string) {
	delete(es.bySlot, es.byID[id].slot)
	delete(es.byID, id)
}

// own writes the endpoint into its slot. If that isn't the endpoint that the slot
// holds already, with the same device and addresses, a new generation begins.
func (es *endpoints) own(st *endpointState, want endpoint.Endpoint) error {
	if st.value.SameOwner(want) && st.value.Generation != 0 {
		return es.table.Refer(st.slot, st.value, es.stale)
	}
	former := st.value
	if former.Index != 0 {
		if err := es.dismiss(st.slot, former); err != nil {
			return err
		}
	} else if err := es.counters.Reset(st.slot); err != nil {
		return err
	}
	want.Generation = nextGeneration(former.Generation)
	if err := es.table.Put(st.slot, want); err != nil {
		return err
	}
	st.value = want
	es.programs.stay(want.Index)
	if err := es.table.Refer(st.slot, want, es.stale); err != nil {
		return err
	}
	return es.ports.regenerate(st.slot, want.Generation)
}

// open lets packets pass.
func (es *endpoints) open(st *endpointState, takesFrames bool) error {
	st.value.Ready, st.value.TakesFrames = true, takesFrames
	return es.table.Put(st.slot, st.value)
}

// delete removes an endpoint that byID has. With the generation its flows and
// publications are void at once; their entries are removed afterwards. The programs stay
// on the device for as long as it exists.
func (es *endpoints) delete(id string) error {
	st := es.byID[id]
	if err := es.vacate(st.slot, st.value); err != nil {
		return fmt.Errorf("endpoint %s: %w", id, err)
	}
	es.unknow(id)
	return nil
}

// giveBack undoes what state did for an endpoint that couldn't be ensured.
func (es *endpoints) giveBack(id string) error {
	st := es.byID[id]
	if !st.inherited {
		return es.delete(id)
	}
	es.unknow(id)
	es.orphans[st.slot] = st.value
	return nil
}

// prune removes those that aren't wanted, and those of an earlier process that nobody
// ensured and spare says no to.
func (es *endpoints) prune(wanted func(id string) bool, spare func(device int) bool) error {
	var errs []error
	for id := range es.byID {
		if !wanted(id) {
			errs = append(errs, es.delete(id))
		}
	}
	for slot, e := range es.orphans {
		if spare(e.Index) {
			continue
		}
		if err := es.vacate(slot, e); err != nil {
			errs = append(errs, err)
			continue
		}
		delete(es.orphans, slot)
	}
	return errors.Join(errs...)
}

// dismiss voids what a slot's owner has, and makes it unknown. The slot keeps the
// device's number until it is written anew.
func (es *endpoints) dismiss(slot uint16, former endpoint.Endpoint) error {
	void := former
	void.Ready = false
	void.Generation = nextGeneration(former.Generation)
	if err := es.table.Put(slot, void); err != nil {
		return err
	}
	es.gone = append(es.gone, goneEndpoint{owner: owner{slot, former.Generation}, network: former.Network})
	es.departed.add(former)
	return es.table.Forget(slot, former)
}

// takeGone returns the endpoints that are gone, for the one who ends the sockets that lead there.
func (es *endpoints) takeGone() []goneEndpoint {
	gone := es.gone
	es.gone = nil
	return gone
}

// vacate frees a slot with all that belongs to it. The device's number goes last:
// what a crash leaves before is found by it.
func (es *endpoints) vacate(slot uint16, former endpoint.Endpoint) error {
	if err := es.dismiss(slot, former); err != nil {
		return err
	}
	// Its flows need no walk through the tables: they are void with the generation.
	_, err := es.ports.replace(endpointHolder(slot), nil)
	if err := errors.Join(err, es.links.sync(slot, nil)); err != nil {
		return err
	}
	if former.Index != 0 {
		es.programs.leave(former.Index)
	}
	free := endpoint.Endpoint{Generation: nextGeneration(former.Generation)}
	if err := es.table.Put(slot, free); err != nil {
		return err
	}
	es.slots.release(slot)
	return nil
}

// count is the number of endpoints, of an earlier process too.
func (es *endpoints) count() int { return len(es.byID) + len(es.orphans) }

// on returns an endpoint of the network, if there is one.
func (es *endpoints) on(networkID string) (id string, found bool) {
	for id, e := range es.byID {
		if e.network == networkID {
			return id, true
		}
	}
	return "", false
}

// id is the endpoint that has the slot, "" if none is known by its ID.
func (es *endpoints) id(slot uint16) string { return es.bySlot[slot] }

// known reports whether this process has ensured the endpoint.
func (es *endpoints) known(id string) bool { return es.byID[id] != nil }

// claimed reports whether an endpoint that is known by its ID has the slot.
func (es *endpoints) claimed(slot uint16) bool { return es.id(slot) != "" }

// used reports whether an endpoint has the slot, of an earlier process perhaps.
func (es *endpoints) used(slot uint16) bool {
	_, orphan := es.orphans[slot]
	return orphan || es.claimed(slot)
}

// stale reports whether references to a slot may be taken over.
func (es *endpoints) stale(slot uint16) bool { return !es.claimed(slot) }

// indexes are the devices of the endpoints that are known by their ID.
func (es *endpoints) indexes() map[int]bool {
	all := make(map[int]bool)
	for _, st := range es.byID {
		all[st.value.Index] = true
	}
	return all
}

// devices are those of all endpoints, of an earlier process too.
func (es *endpoints) devices() map[int]bool {
	all := es.indexes()
	for _, orphan := range es.orphans {
		all[orphan.Index] = true
	}
	return all
}

// owner tells an endpoint from others that had its slot.
type owner struct{ slot, generation uint16 }

func (es *endpoints) owners() map[owner]string {
	ids := make(map[owner]string, len(es.byID))
	for id, e := range es.byID {
		ids[owner{e.slot, e.value.Generation}] = id
	}
	return ids
}

// nextGeneration skips 0, which zeroed memory has.
func nextGeneration(g uint16) uint16 {
	if g++; g == 0 {
		g = 1
	}
	return g
}
