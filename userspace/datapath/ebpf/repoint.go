// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"maps"
	"net/netip"

	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/userspace/model"
)

// edit changes the state and the maps under the lock, and then ends the flows that
// this concerns. The walks through the flow tables, which may take long, are without
// the lock, so that no other edit waits for them. A flow is judged by what is in force
// at the moment that it is looked at: whatever other edits do meanwhile, a flow that
// is ended by mistake finds its way anew with its next packet, as all of these do.
func (d *Datapath) edit(change func() error) error {
	d.mu.Lock()
	err := change()
	ports, lost := d.state.takeConcerned()
	closed := len(d.state.closed) > 0
	d.mu.Unlock()
	if closed {
		d.collector.kick()
	}
	return errors.Join(err, d.repoint(ports), d.forgetSources(lost))
}

// takeConcerned returns what repoint and forgetSources are still to do, for the one
// who does it.
func (s *state) takeConcerned() (ports map[model.Port]bool, lost map[netip.Addr]bool) {
	maps.DeleteFunc(s.lost, func(a netip.Addr, _ bool) bool { return s.own[a] })
	ports, lost = s.moved, s.lost
	s.moved, s.lost = make(map[model.Port]bool), make(map[netip.Addr]bool)
	return ports, lost
}

// endClosed ends the flows of the ports that were closed since it was called last.
func (d *Datapath) endClosed() error {
	d.mu.Lock()
	ports := d.state.closed
	d.state.closed = make(map[model.Port]bool)
	d.mu.Unlock()
	return d.repoint(ports)
}

// noteMoved notes the ports whose UDP flows may have gone by the former entries, or by
// a less specific one than those of want. TCP connections go on, as with Docker. Only
// changes that can concern a flow cost a walk through the flow table.
func (d *Datapath) noteMoved(former, want map[publish.Key]publish.Entry) {
	for k, e := range former {
		if k.Proto != model.UDP || e.Routed || e.HostOnly {
			continue
		}
		if _, stays := want[k]; stays {
			d.state.moved[bit(k)] = true
		} else {
			d.state.closed[bit(k)] = true
		}
	}
	for k, e := range want {
		if k.Proto == model.UDP && !e.Routed && !e.HostOnly && d.state.bits[bit(k)] > 1 && !k.Addr.IsUnspecified() {
			d.state.moved[bit(k)] = true
		}
	}
}

// repoint removes the UDP flows to these ports that don't go where the publications
// send them now, so that their next packet finds its way anew. It must not be called
// under the lock, which comes after the collector's.
func (d *Datapath) repoint(ports map[model.Port]bool) error {
	if len(ports) == 0 {
		return nil
	}
	err := d.collector.purge(func(origin *flow.Half) bool {
		if origin.Proto != uint8(model.UDP) || !published(origin) || !ports[model.Port{Num: origin.Dst.Port(), Proto: model.UDP}] {
			return false
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.leadsTo(origin) != origin.NATDst
	})
	if err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		maps.Copy(d.state.moved, ports)
	}
	return err
}

// forgetSources ends the flows that were masqueraded with an address that isn't
// the host's any more, as netfilter's MASQUERADE does: no reply can come, and
// the next packet of the same socket finds the new address. Like repoint it is called
// without the lock.
func (d *Datapath) forgetSources(lost map[netip.Addr]bool) error {
	if len(lost) == 0 {
		return nil
	}
	err := d.collector.purge(func(origin *flow.Half) bool {
		a := origin.NATSrc.Addr()
		if origin.Kind() != object.DatapathFlowKindFLOW_MASQUERADE || !lost[a] {
			return false
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		return !d.state.own[a]
	})
	if err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		maps.Copy(d.state.lost, lost)
	}
	return err
}

// leadsTo returns where the publications in force send a flow, the zero AddrPort
// if nowhere.
func (d *Datapath) leadsTo(origin *flow.Half) netip.AddrPort {
	k := publish.Key{Addr: origin.Dst.Addr(), Port: origin.Dst.Port(), Proto: model.UDP}
	e, ok := d.state.ports[k]
	if !ok && k.Addr.Is4() {
		k.Addr = netip.IPv4Unspecified()
		e = d.state.ports[k]
	} else if !ok {
		k.Addr = netip.IPv6Unspecified()
		e = d.state.ports[k]
	}
	return e.Target
}

func published(h *flow.Half) bool {
	k := h.Kind()
	return k == object.DatapathFlowKindFLOW_PUBLISHED || k == object.DatapathFlowKindFLOW_HAIRPIN
}
