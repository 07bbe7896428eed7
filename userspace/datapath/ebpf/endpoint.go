// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"errors"
	"fmt"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/maps/endpoint"
	"github.com/fairway-project/fairway/maps/icc"
	"github.com/fairway-project/fairway/userspace/datapath"
)

// EnsureEndpoint implements datapath.Datapath. The endpoint becomes Ready last:
// until then its programs drop everything.
func (d *Datapath) EnsureEndpoint(_ context.Context, e datapath.Endpoint) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, ok := d.state.networks[e.NetworkID]
	if !ok {
		return fmt.Errorf("endpoint %s: network %s isn't known to the datapath", e.ID, e.NetworkID)
	}
	want := endpoint.Endpoint{Index: e.HostIndex, IPv4: e.IPv4, IPv6: e.IPv6, MAC: e.MAC, Network: n.slot}
	if err := d.checkConflict(e, want); err != nil {
		return err
	}
	st, err := d.endpointState(e)
	if err != nil {
		return err
	}
	if err := d.reshare(); err != nil {
		return err
	}
	if err := d.own(st, want); err != nil {
		return fmt.Errorf("endpoint %s: %w", e.ID, err)
	}
	if err := d.syncLinks(st.slot, holes(e)); err != nil {
		return fmt.Errorf("endpoint %s: %w", e.ID, err)
	}
	if err := d.guard(e); err != nil {
		return fmt.Errorf("endpoint %s: %w", e.ID, err)
	}
	st.value.Ready, st.value.TakesFrames = true, d.takesFrames(e)
	if err := d.tables.endpoints.Put(st.slot, st.value); err != nil {
		return err
	}
	return d.forgetGoneDevices()
}

// DeleteEndpoint implements datapath.Datapath. With the generation the endpoint's
// flows and publications are void at once; their entries are removed afterwards.
// The programs stay on the device for as long as it exists.
func (d *Datapath) DeleteEndpoint(_ context.Context, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	st, ok := d.state.endpoints[id]
	if !ok {
		return d.forgetGoneDevices()
	}
	if err := d.vacate(st.slot, st.value); err != nil {
		return fmt.Errorf("endpoint %s: %w", id, err)
	}
	delete(d.state.endpoints, id)
	d.collector.kick()
	return errors.Join(d.reshare(), d.forgetGoneDevices())
}

// endpointState returns the endpoint's slot: the one it has, the one that an
// earlier process gave the same device, or a new one.
func (d *Datapath) endpointState(e datapath.Endpoint) (*endpointState, error) {
	s := &d.state
	if st, ok := s.endpoints[e.ID]; ok {
		st.network = e.NetworkID
		return st, nil
	}
	for slot, orphan := range s.orphanEndpoints {
		if orphan.Index == e.HostIndex {
			delete(s.orphanEndpoints, slot)
			s.endpoints[e.ID] = &endpointState{slot: slot, network: e.NetworkID, value: orphan}
			return s.endpoints[e.ID], nil
		}
	}
	slot, err := s.endpointSlots.next()
	if err != nil {
		return nil, fmt.Errorf("endpoint %s: %w", e.ID, err)
	}
	freed, err := d.tables.endpoints.Get(slot)
	if err != nil {
		return nil, err
	}
	s.endpoints[e.ID] = &endpointState{slot: slot, network: e.NetworkID, value: freed}
	return s.endpoints[e.ID], nil
}

// own writes the endpoint into its slot. If that isn't the endpoint that the slot
// holds already, with the same device and addresses, a new generation begins.
func (d *Datapath) own(st *endpointState, want endpoint.Endpoint) error {
	if st.value.SameOwner(want) && st.value.Generation != 0 {
		return d.tables.endpoints.Refer(st.slot, st.value, d.stale)
	}
	former := st.value
	if former.Index != 0 {
		if err := d.dismiss(st.slot, former); err != nil {
			return err
		}
	} else if err := d.tables.counters.Reset(st.slot); err != nil {
		return err
	}
	want.Generation = nextGeneration(former.Generation)
	if err := d.tables.endpoints.Put(st.slot, want); err != nil {
		return err
	}
	st.value = want
	delete(d.state.leaving, want.Index)
	if err := d.tables.endpoints.Refer(st.slot, want, d.stale); err != nil {
		return err
	}
	return d.regenerate(st.slot, want.Generation)
}

// dismiss voids what a slot's owner has, and makes it unknown. The slot keeps the
// device's number until it is written anew.
func (d *Datapath) dismiss(slot uint16, former endpoint.Endpoint) error {
	void := former
	void.Ready = false
	void.Generation = nextGeneration(former.Generation)
	if err := d.tables.endpoints.Put(slot, void); err != nil {
		return err
	}
	return d.tables.endpoints.Forget(slot, former)
}

// vacate frees a slot with all that belongs to it. The device's number goes last:
// what a crash leaves before is found by it.
func (d *Datapath) vacate(slot uint16, former endpoint.Endpoint) error {
	if err := d.dismiss(slot, former); err != nil {
		return err
	}
	// Its flows need no walk through the tables: they are void with the generation.
	_, err := d.replacePorts(slot, nil)
	if err := errors.Join(err, d.syncLinks(slot, nil)); err != nil {
		return err
	}
	if former.Index != 0 {
		d.state.leaving[former.Index] = true
	}
	free := endpoint.Endpoint{Generation: nextGeneration(former.Generation)}
	if err := d.tables.endpoints.Put(slot, free); err != nil {
		return err
	}
	d.state.endpointSlots.release(slot)
	return nil
}

// guard attaches the programs to the endpoint's device and tells the bridge what
// is behind it.
func (d *Datapath) guard(e datapath.Endpoint) error {
	if err := configureBridgePort(e); err != nil {
		return err
	}
	for _, p := range []loader.Program{loader.FromContainer, loader.ToContainer} {
		if err := d.loader.Attach(e.HostIndex, p); err != nil {
			return err
		}
	}
	return nil
}

// checkConflict refuses an endpoint whose MAC or addresses another one has.
func (d *Datapath) checkConflict(e datapath.Endpoint, want endpoint.Endpoint) error {
	for id, other := range d.state.endpoints {
		v := other.value
		switch {
		case id == e.ID:
		case v.Index == want.Index:
			return fmt.Errorf("endpoint %s: device %s is endpoint %s's", e.ID, e.HostIf, id)
		case v.Network == want.Network && v.MAC == want.MAC:
			return fmt.Errorf("endpoint %s: mac address %s is endpoint %s's", e.ID, want.MAC, id)
		case want.IPv4.IsValid() && v.IPv4 == want.IPv4, want.IPv6.IsValid() && v.IPv6 == want.IPv6:
			return fmt.Errorf("endpoint %s: address %s %s is endpoint %s's", e.ID, want.IPv4, want.IPv6, id)
		}
	}
	return nil
}

// stale reports whether references to a slot may be taken over.
func (d *Datapath) stale(slot uint16) bool { return !d.state.claimed(slot) }

func (d *Datapath) syncLinks(slot uint16, want map[icc.Hole]bool) error {
	for h := range want {
		if have, ok := d.state.links[h]; ok && have == slot {
			continue
		}
		if err := d.tables.links.Put(h, slot); err != nil {
			return err
		}
		d.state.links[h] = slot
	}
	for h, owner := range d.state.links {
		if owner != slot || want[h] {
			continue
		}
		if err := d.tables.links.Delete(h); err != nil {
			return err
		}
		delete(d.state.links, h)
	}
	return nil
}

func holes(e datapath.Endpoint) map[icc.Hole]bool {
	all := make(map[icc.Hole]bool)
	for _, l := range e.Links {
		for _, p := range l.Ports {
			if e.IPv4.IsValid() && l.IPv4.IsValid() {
				all[icc.Hole{From: e.IPv4, To: l.IPv4, Port: p.Num, Proto: p.Proto}] = true
			}
			if e.IPv6.IsValid() && l.IPv6.IsValid() {
				all[icc.Hole{From: e.IPv6, To: l.IPv6, Port: p.Num, Proto: p.Proto}] = true
			}
		}
	}
	return all
}

// nextGeneration skips 0, which zeroed memory has.
func nextGeneration(g uint16) uint16 {
	if g++; g == 0 {
		g = 1
	}
	return g
}
