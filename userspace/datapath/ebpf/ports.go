// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// EnsurePorts implements datapath.Datapath. It touches what differs only, so its
// cost doesn't depend on what else is published.
func (d *Datapath) EnsurePorts(_ context.Context, endpointID string, ports []datapath.Port) error {
	return d.edit(func() error { return d.ensurePorts(endpointID, ports) })
}

func (d *Datapath) ensurePorts(endpointID string, ports []datapath.Port) error {
	st, ok := d.state.endpoints[endpointID]
	if !ok {
		if len(ports) == 0 {
			return nil
		}
		return fmt.Errorf("published ports: endpoint %s isn't known to the datapath", endpointID)
	}
	want := make(map[publish.Key]publish.Entry, len(ports))
	for _, p := range append(slices.Clone(ports), d.directPorts(st, ports)...) {
		k, e := portEntry(p, st)
		if id, taken := d.portOwner(k); taken && id != endpointID {
			return fmt.Errorf("published port %s: endpoint %s has it", k, id)
		}
		want[k] = e
	}
	st.portsSaid = true
	return d.syncPorts(st.slot, want)
}

// directPorts are those that devices which st's network trusts reach by the
// endpoint's own address, beside the translated ones.
func (d *Datapath) directPorts(st *endpointState, ports []datapath.Port) (direct []datapath.Port) {
	if n := d.state.networks[st.network]; n == nil || len(n.trusted) == 0 {
		return nil
	}
	for _, p := range ports {
		if !p.HostOnly {
			p.Routed = true
			direct = append(direct, p)
		}
	}
	return direct
}

// portOwner returns the endpoint that a port was published for by this process.
// What an earlier process published is taken over by whoever wants it.
func (d *Datapath) portOwner(k publish.Key) (id string, taken bool) {
	e, ok := d.state.ports[k]
	if !ok {
		return "", false
	}
	id = d.state.endpointID(e.Endpoint)
	return id, id != "" && d.state.endpoints[id].portsSaid
}

// syncPorts makes the publications of a slot those in want, and notes whose flows
// that concerns.
func (d *Datapath) syncPorts(slot uint16, want map[publish.Key]publish.Entry) error {
	former, err := d.replacePorts(slot, want)
	d.noteMoved(former, want)
	return err
}

// replacePorts returns the entries that were others before. Entries go in before
// their bits and out before them too: at no time is an entry without its bit
// after it was reachable.
func (d *Datapath) replacePorts(slot uint16, want map[publish.Key]publish.Entry) (map[publish.Key]publish.Entry, error) {
	former := make(map[publish.Key]publish.Entry)
	for k := range d.state.portsOf[slot] {
		if e := d.state.ports[k]; want[k] != e {
			former[k] = e
		}
	}
	for k, e := range want {
		have, there := d.state.ports[k]
		if there && have == e {
			continue
		}
		if there {
			former[k] = have
		}
		if err := d.putPort(k, e); err != nil {
			return former, err
		}
	}
	for k := range former {
		if _, stays := want[k]; stays {
			continue
		}
		if err := d.deletePort(k); err != nil {
			return former, err
		}
	}
	return former, nil
}

func (d *Datapath) putPort(k publish.Key, e publish.Entry) error {
	if err := d.tables.ports.Put(k, e); err != nil {
		return err
	}
	if d.state.record(k, e) && d.state.bits[bit(k)] == 1 {
		return d.tables.ports.SetBit(k.Proto, k.Port, true)
	}
	return nil
}

func (d *Datapath) deletePort(k publish.Key) error {
	if err := d.tables.ports.Delete(k); err != nil {
		return err
	}
	if d.state.erase(k) && d.state.bits[bit(k)] == 0 {
		return d.tables.ports.SetBit(k.Proto, k.Port, false)
	}
	return nil
}

// regenerate gives the publications of a slot its owner's new generation.
func (d *Datapath) regenerate(slot, generation uint16) error {
	for k := range d.state.portsOf[slot] {
		e := d.state.ports[k]
		e.Generation = generation
		if err := d.putPort(k, e); err != nil {
			return err
		}
	}
	return nil
}

// record notes an entry, and reports whether its bit has gained a user.
func (s *state) record(k publish.Key, e publish.Entry) bool {
	lost := s.erase(k)
	s.ports[k] = e
	if s.portsOf[e.Endpoint] == nil {
		s.portsOf[e.Endpoint] = make(map[publish.Key]bool)
	}
	s.portsOf[e.Endpoint][k] = true
	if e.Routed {
		return false
	}
	s.bits[bit(k)]++
	return !lost
}

// erase forgets an entry, and reports whether its bit has lost a user.
func (s *state) erase(k publish.Key) bool {
	e, there := s.ports[k]
	if !there {
		return false
	}
	delete(s.ports, k)
	delete(s.portsOf[e.Endpoint], k)
	if len(s.portsOf[e.Endpoint]) == 0 {
		delete(s.portsOf, e.Endpoint)
	}
	if e.Routed {
		return false
	}
	s.bits[bit(k)]--
	return true
}

func bit(k publish.Key) model.Port { return model.Port{Num: k.Port, Proto: k.Proto} }

func portEntry(p datapath.Port, st *endpointState) (publish.Key, publish.Entry) {
	e := publish.Entry{
		Target:     netip.AddrPortFrom(p.Target, p.Port.Num),
		Endpoint:   st.slot,
		Generation: st.value.Generation,
		HostOnly:   p.HostOnly,
		Routed:     p.Routed,
	}
	if p.Routed {
		return publish.Key{Addr: p.Target, Port: p.Port.Num, Proto: p.Port.Proto}, e
	}
	return publish.Key{Addr: p.HostIP, Port: p.HostPort, Proto: p.Port.Proto}, e
}
