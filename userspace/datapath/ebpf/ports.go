// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"maps"
	"net/netip"

	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/userspace/model"
)

// ports are the publications, and the bitmap that the socket programs ask first.
type ports struct {
	table   *publish.Table
	entries map[publish.Key]publish.Entry
	// of are the keys in entries by whose they are; bits how many of them share a bit of
	// the bitmap.
	of   holdings
	bits map[model.Port]int
	// moved are the UDP ports whose flows are still to be compared with what is
	// published now.
	moved map[model.Port]bool
	// closed are those that were taken away and not given to anybody: their flows are
	// ended in the background, so that a container's thousand ports, which Docker
	// closes one by one, cost a few walks and not a thousand.
	closed map[model.Port]bool
}

// adoptPorts repairs what a crash may have left: bits of the port bitmap that don't
// follow from the entries.
func adoptPorts(t *publish.Table) (*ports, error) {
	all, err := t.All()
	if err != nil {
		return nil, err
	}
	p := &ports{
		table:   t,
		entries: make(map[publish.Key]publish.Entry, len(all)),
		of:      make(holdings),
		bits:    make(map[model.Port]int),
		moved:   make(map[model.Port]bool),
		closed:  make(map[model.Port]bool),
	}
	for k, e := range all {
		p.record(k, e)
	}
	var set []model.Port
	err = t.Bits(func(proto model.Proto, port uint16) {
		set = append(set, model.Port{Num: port, Proto: proto})
	})
	if err != nil {
		return nil, err
	}
	for _, b := range set {
		if p.bits[b] == 0 {
			if err := t.SetBit(b.Proto, b.Num, false); err != nil {
				return nil, err
			}
		}
	}
	for b := range p.bits {
		if err := t.SetBit(b.Proto, b.Num, true); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// sync makes the publications of a holder those in want, and notes whose flows that
// concerns.
func (p *ports) sync(of holder, want map[publish.Key]publish.Entry) error {
	changed := maps.Clone(want)
	maps.DeleteFunc(changed, func(k publish.Key, e publish.Entry) bool {
		have, there := p.entries[k]
		return there && have == e
	})
	former, err := p.replace(of, want)
	p.noteMoved(former, want, changed)
	return err
}

// replace returns the entries that were others before. Entries go in before their bits
// and out before them too: at no time is an entry without its bit after it was
// reachable.
func (p *ports) replace(of holder, want map[publish.Key]publish.Entry) (map[publish.Key]publish.Entry, error) {
	former := make(map[publish.Key]publish.Entry)
	for k := range p.of.keys(of) {
		if e := p.entries[k]; want[k] != e {
			former[k] = e
		}
	}
	for k, e := range want {
		have, there := p.entries[k]
		if there && have == e {
			continue
		}
		if there {
			former[k] = have
		}
		if err := p.put(k, e); err != nil {
			return former, err
		}
	}
	for k := range former {
		if _, stays := want[k]; stays {
			continue
		}
		if err := p.delete(k); err != nil {
			return former, err
		}
	}
	return former, nil
}

// prune removes those of endpoints' slots of which unwanted says so.
func (p *ports) prune(unwanted func(slot uint16) bool) error {
	var errs []error
	for of := range p.of {
		if !of.service && unwanted(of.slot) {
			errs = append(errs, p.sync(of, nil))
		}
	}
	return errors.Join(errs...)
}

func (p *ports) put(k publish.Key, e publish.Entry) error {
	if err := p.table.Put(k, e); err != nil {
		return err
	}
	if p.record(k, e) && p.bits[bit(k)] == 1 {
		return p.table.SetBit(k.Proto, k.Port, true)
	}
	return nil
}

func (p *ports) delete(k publish.Key) error {
	if err := p.table.Delete(k); err != nil {
		return err
	}
	if p.erase(k) && p.bits[bit(k)] == 0 {
		return p.table.SetBit(k.Proto, k.Port, false)
	}
	return nil
}

// regenerate gives the publications of an endpoint's slot its owner's new generation.
func (p *ports) regenerate(slot, generation uint16) error {
	for k := range p.of.keys(endpointHolder(slot)) {
		e := p.entries[k]
		e.Generation = generation
		if err := p.put(k, e); err != nil {
			return err
		}
	}
	return nil
}

// record notes an entry, and reports whether its bit has gained a user.
func (p *ports) record(k publish.Key, e publish.Entry) bool {
	lost := p.erase(k)
	p.entries[k] = e
	p.of.add(holderOf(e), k)
	if e.Routed {
		return false
	}
	p.bits[bit(k)]++
	return !lost
}

// erase forgets an entry, and reports whether its bit has lost a user.
func (p *ports) erase(k publish.Key) bool {
	e, there := p.entries[k]
	if !there {
		return false
	}
	delete(p.entries, k)
	p.of.remove(holderOf(e), k)
	if e.Routed {
		return false
	}
	p.bits[bit(k)]--
	return true
}

// noteMoved notes the ports whose UDP flows may have gone by the former entries, or by
// a less specific one than those of want that changed. TCP connections go on, as with Docker. Only
// changes that can concern a flow cost a walk through the flow table.
func (p *ports) noteMoved(former, want, changed map[publish.Key]publish.Entry) {
	for k, e := range former {
		if k.Proto != model.UDP || e.Routed || e.HostOnly {
			continue
		}
		if _, stays := want[k]; stays {
			p.moved[bit(k)] = true
		} else {
			p.closed[bit(k)] = true
		}
	}
	for k, e := range changed {
		if k.Proto == model.UDP && !e.Routed && !e.HostOnly && p.bits[bit(k)] > 1 && !k.Addr.IsUnspecified() {
			p.moved[bit(k)] = true
		}
	}
}

// takeMoved returns the ports whose flows are to be ended where they went elsewhere, for
// the one who does it; takeClosed the same of those that lead nowhere any more.
func (p *ports) takeMoved() map[model.Port]bool {
	moved := p.moved
	p.moved = make(map[model.Port]bool)
	return moved
}

func (p *ports) takeClosed() map[model.Port]bool {
	closed := p.closed
	p.closed = make(map[model.Port]bool)
	return closed
}

// again notes ports that were taken in vain.
func (p *ports) again(moved map[model.Port]bool) { maps.Copy(p.moved, moved) }

// leadsTo returns where the publications in force send a flow, the zero Entry
// if nowhere.
func (p *ports) leadsTo(origin *flow.Half) publish.Entry {
	k := publish.Key{Addr: origin.Dst.Addr(), Port: origin.Dst.Port(), Proto: model.UDP, Network: uint16(origin.Zone)}
	if e := p.entries[k]; e.Service {
		return e
	}
	k.Network = 0
	e, ok := p.entries[k]
	if !ok && k.Addr.Is4() {
		k.Addr = netip.IPv4Unspecified()
		e = p.entries[k]
	} else if !ok {
		k.Addr = netip.IPv6Unspecified()
		e = p.entries[k]
	}
	return e
}

func bit(k publish.Key) model.Port { return model.Port{Num: k.Port, Proto: k.Proto} }
