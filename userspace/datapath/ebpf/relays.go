// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/maps/endpoint"
	"github.com/fairway-project/fairway/userspace/datapath"
)

// relays are endpoints without a container. Each stands for the host in a network, and answers
// for what the host passes on from outside to a service's backend outside: with its slot go such
// flows, it has a share of the flow table, and routes are looked up by its network's device.
type relays struct {
	endpoints *endpoints
	// byNetwork are those of networks, by ID.
	byNetwork map[string]*endpointState
	// fewer says that a service that had one needs it no more, and others may.
	fewer bool
}

func newRelays(es *endpoints) *relays {
	return &relays{endpoints: es, byNetwork: make(map[string]*endpointState)}
}

// ensure returns the network's relay, which it makes if there is none, or takes over from an
// earlier process.
func (r *relays) ensure(id string, n *networkState) (*endpointState, error) {
	want := endpoint.Endpoint{Index: n.bridge, Network: n.slot, Ready: true}
	st := r.byNetwork[id]
	if st == nil {
		var err error
		if st, err = r.place(want); err != nil {
			return nil, fmt.Errorf("network %s: %w", n.name, err)
		}
		r.byNetwork[id] = st
	}
	want.Generation = st.value.Generation
	if st.value == want {
		return st, nil
	}
	if err := r.endpoints.table.Put(st.slot, want); err != nil {
		return nil, fmt.Errorf("network %s: %w", n.name, err)
	}
	st.value = want
	return st, nil
}

func (r *relays) place(want endpoint.Endpoint) (*endpointState, error) {
	es := r.endpoints
	for slot, orphan := range es.orphans {
		if orphan.SameOwner(want) {
			delete(es.orphans, slot)
			return &endpointState{slot: slot, value: orphan}, nil
		}
	}
	slot, err := es.slots.next()
	if err != nil {
		return nil, err
	}
	freed, err := es.table.Get(slot)
	if err == nil {
		err = es.counters.Reset(slot)
	}
	if err != nil {
		es.slots.release(slot)
		return nil, err
	}
	freed.Generation = nextGeneration(freed.Generation)
	return &endpointState{slot: slot, value: freed}, nil
}

// follow has a network's relay know its device, which may be another one than it was.
func (r *relays) follow(id string, n *networkState) error {
	if r.byNetwork[id] == nil {
		return nil
	}
	_, err := r.ensure(id, n)
	return err
}

// keep frees the slots of relays that aren't needed any more. Their flows are void then.
func (r *relays) keep(needed func(networkID string) bool) error {
	var errs []error
	for id, st := range r.byNetwork {
		if needed(id) {
			continue
		}
		free := endpoint.Endpoint{Generation: nextGeneration(st.value.Generation)}
		if err := r.endpoints.table.Put(st.slot, free); err != nil {
			errs = append(errs, err)
			continue
		}
		r.endpoints.slots.release(st.slot)
		delete(r.byNetwork, id)
	}
	return errors.Join(errs...)
}

// dropRelays frees what networks have that are gone, or of which no service has backends outside.
func (d *Datapath) dropRelays() error {
	before := len(d.relays.byNetwork)
	if before == 0 {
		return nil
	}
	relayed := make(map[string]bool)
	for _, st := range d.services.byID {
		for _, id := range d.relayNetworks(st.said) {
			relayed[id] = true
		}
	}
	err := d.relays.keep(func(id string) bool { return relayed[id] && d.networks.byID[id] != nil })
	d.relays.fewer = err != nil
	if len(d.relays.byNetwork) == before {
		return err
	}
	d.collector.wake.Raise()
	return errors.Join(err, d.shares.divide(d.answering()))
}

// relaysOf returns by which relay clients outside get to a service's backends outside, for IPv6
// or not: that of the first network of the service's that leads there.
func (d *Datapath) relaysOf(s datapath.Service) (map[bool]*endpointState, error) {
	all := make(map[bool]*endpointState)
	before := len(d.relays.byNetwork)
	for _, is6 := range []bool{false, true} {
		id := d.relayNetwork(s, is6)
		if id == "" {
			continue
		}
		var err error
		if all[is6], err = d.relays.ensure(id, d.networks.byID[id]); err != nil {
			return nil, err
		}
	}
	if len(d.relays.byNetwork) == before {
		return all, nil
	}
	return all, d.shares.divide(d.answering())
}

// noteRelays is said of a service that was one thing and is another, or gone.
func (d *Datapath) noteRelays(was, is datapath.Service) {
	now := d.relayNetworks(is)
	for _, id := range d.relayNetworks(was) {
		d.relays.fewer = d.relays.fewer || !slices.Contains(now, id)
	}
}

// relayNetworks are the IDs of the networks that have a service's relays.
func (d *Datapath) relayNetworks(s datapath.Service) (ids []string) {
	for _, is6 := range []bool{false, true} {
		if id := d.relayNetwork(s, is6); id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

// relayNetwork is the ID of the network that has the relay for a service's backends outside of a
// family, "" for none.
func (d *Datapath) relayNetwork(s datapath.Service, is6 bool) string {
	of := func(b datapath.Backend) bool { return b.EndpointID == "" && b.Target.Addr().Is6() == is6 }
	if !slices.ContainsFunc(s.Pools, func(p datapath.Pool) bool { return slices.ContainsFunc(p.Backends, of) }) {
		return ""
	}
	for _, id := range s.Networks {
		n := d.networks.byID[id]
		if n != nil && n.bridge != 0 && slices.ContainsFunc(n.gateways, func(g netip.Addr) bool { return g.Is6() == is6 }) {
			return id
		}
	}
	return ""
}

// answering is how many endpoints share the flow tables.
func (d *Datapath) answering() int { return d.endpoints.count() + len(d.relays.byNetwork) }
