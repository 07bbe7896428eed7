// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/maps/service"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/maglev"
	"github.com/fairway-project/fairway/userspace/model"
)

// pool is what stands in a slot of the services' tables.
type pool struct {
	slot     uint16
	settings service.Settings
	// backends are by their index less one; those without a state are nobody's.
	backends []service.Backend
	// ring is what the table's was made of; known is false if another process made it.
	ring  []ringMember
	known bool
	// there is false as long as the slot has no table of backends.
	there bool
	// adopted is true until what an earlier process left has been compared with what is wanted.
	adopted bool
	// led are the fronts whose flows the pool may have had since it was filled last.
	led []publish.Key
	// due are backends whose flows are to be ended, and nobody has been told so yet. leaving are
	// those that nobody wants and stay in the table, as down, until their flows have been ended:
	// the next process would know of them by nothing else.
	due, leaving map[netip.AddrPort]bool
	// fresh are free indices, less one, that nobody is to have before freed is over: programs
	// may be looking at a ring that names them.
	fresh map[int]bool
	freed service.Pending
}

// ringMember is an active backend. Its index tells which: as long as a ring names it, it is
// nobody else's.
type ringMember struct{ index, weight uint16 }

// adoptPool reads what stands in a slot.
func adoptPool(t *service.Table, slot uint16) (*pool, error) {
	p := &pool{slot: slot, adopted: true}
	// Nothing that an earlier owner of the slot had is to be met.
	t.Pending(slot).Wait()
	var err error
	p.settings, p.backends, p.there, err = t.Pool(slot)
	return p, err
}

// fill makes the pool what is wanted, and notes the backends whose flows are to be ended.
// At each moment the ring that is there names backends by the index that they have, and somebody
// serves if somebody did and is to: a backend that gets no more flows does until another ring is
// there, and keeps its index for so long if it isn't wanted any more.
func (p *pool) fill(t *service.Table, s service.Settings, want []datapath.Backend, found func(datapath.Backend) service.Backend) error {
	next, members, err := p.arrange(want, found)
	if err != nil {
		return err
	}
	p.noteDue(want)
	meanwhile := slices.Clone(next)
	for i, b := range p.backends {
		if b.State == service.Active && next[i].State != service.Active {
			meanwhile[i] = b
		}
	}
	if err := p.put(t, s, meanwhile); err != nil {
		return err
	}
	p.adopted = false
	if err := p.putRing(t, members, next); err != nil {
		return errors.Join(err, p.put(t, s, next))
	}
	stays := targetsOf(want)
	for i := range next {
		if _, stays := stays[next[i].Target]; !stays && !p.leaving[next[i].Target] {
			p.free(next, i)
		}
	}
	if len(p.fresh) > 0 {
		p.freed = t.Pending(p.slot)
	}
	return p.put(t, s, next)
}

// shut has the pool serve nobody any more. Programs that began before may be about to open a flow.
func (p *pool) shut(t *service.Table) error {
	next := slices.Clone(p.backends)
	for i := range next {
		if next[i].State != service.None {
			next[i].State = service.Down
		}
	}
	if p.there {
		if err := p.put(t, p.settings, next); err != nil {
			return err
		}
	}
	p.ring, p.known = nil, false
	return t.DeleteRing(p.slot)
}

// free takes a backend's index away.
func (p *pool) free(backends []service.Backend, i int) {
	if backends[i].State != service.None {
		backends[i] = service.Backend{}
		note(&p.fresh, i)
	}
}

// note adds to a set that most pools have nothing in.
func note[K comparable](set *map[K]bool, k K) {
	if *set == nil {
		*set = make(map[K]bool)
	}
	(*set)[k] = true
}

// takeDue returns the backends whose flows are to be ended, for the one who does it.
func (p *pool) takeDue() map[netip.AddrPort]bool {
	due := p.due
	p.due = nil
	return due
}

// forget removes backends that are left in the table for their flows, which have ended.
func (p *pool) forget(t *service.Table, ended map[netip.AddrPort]bool) error {
	next := slices.Clone(p.backends)
	for i, b := range next {
		if p.leaving[b.Target] && ended[b.Target] {
			p.free(next, i)
		}
	}
	if err := p.put(t, p.settings, next); err != nil {
		return err
	}
	maps.DeleteFunc(p.leaving, func(target netip.AddrPort, _ bool) bool { return ended[target] })
	return nil
}

// arrange gives each wanted backend its index: the one it has, else one that nobody has. Those
// that aren't wanted any more are down.
func (p *pool) arrange(want []datapath.Backend, found func(datapath.Backend) service.Backend) (next []service.Backend, members []ringMember, err error) {
	next = append(make([]service.Backend, 0, max(len(p.backends), len(want))), p.backends...)
	members = make([]ringMember, 0, len(want))
	stays := targetsOf(want)
	at := make(map[netip.AddrPort]int, len(next))
	if p.freed.Over() {
		p.fresh, p.freed = nil, nil
	}
	free := p.unused(next)
	for i := range next {
		if next[i].State == service.None {
			continue
		}
		at[next[i].Target] = i
		if _, stays := stays[next[i].Target]; !stays {
			next[i].State = service.Down
		}
	}
	for _, b := range want {
		i, known := at[b.Target]
		if !known && len(free) == 0 && len(p.fresh) > 0 && len(next) == service.Room(len(next)) {
			p.freed.Wait()
			p.fresh, p.freed = nil, nil
			free = p.unused(next)
		}
		switch {
		case known:
		case len(free) > 0:
			i, free = free[0], free[1:]
		case len(next) >= service.MaxBackends-1:
			return nil, nil, fmt.Errorf("no room for another backend: %d exist, which is the limit", len(next))
		default:
			i, next = len(next), append(next, service.Backend{})
		}
		at[b.Target] = i
		next[i] = found(b)
		if next[i].State == service.Active {
			members = append(members, ringMember{uint16(i + 1), uint16(b.Weight)})
		}
	}
	return next, members, nil
}

// unused are the indices, less one, that somebody may have at once.
func (p *pool) unused(backends []service.Backend) (free []int) {
	for i := range backends {
		if backends[i].State == service.None && !p.fresh[i] {
			free = append(free, i)
		}
	}
	return free
}

// targetsOf are the states that backends are to have. A pool may have a thousand.
func targetsOf(want []datapath.Backend) map[netip.AddrPort]model.BackendState {
	all := make(map[netip.AddrPort]model.BackendState, len(want))
	for _, b := range want {
		all[b.Target] = b.State
	}
	return all
}

// noteDue notes the backends that are said to be down, and weren't. Flows to those that aren't
// wanted any more go on, and what has lost its endpoint has none. An earlier process may have
// ended before it could tell this of a backend, or end the flows: of what it left, whatever isn't
// wanted or was down already has none from now on.
func (p *pool) noteDue(want []datapath.Backend) {
	now := targetsOf(want)
	for _, b := range p.backends {
		if b.State == service.None {
			continue
		}
		state, wanted := now[b.Target]
		wasUp := b.State != service.Down
		if wasUp && wanted && state == model.BackendDown || p.adopted && !(wasUp && wanted) {
			note(&p.due, b.Target)
		}
		if p.adopted && !wanted {
			note(&p.leaving, b.Target)
		}
	}
	for target := range now {
		delete(p.leaving, target)
	}
}

func (p *pool) put(t *service.Table, s service.Settings, next []service.Backend) error {
	if p.there && s == p.settings && slices.Equal(next, p.backends) {
		return nil
	}
	if err := t.PutPool(p.slot, s, next); err != nil {
		return err
	}
	p.settings, p.backends, p.there = s, next, true
	return nil
}

func (p *pool) putRing(t *service.Table, members []ringMember, backends []service.Backend) error {
	if p.known && slices.Equal(members, p.ring) {
		return nil
	}
	places := ringOf(members, backends)
	if !p.known {
		have, err := t.Ring(p.slot)
		if err != nil {
			return err
		}
		if have != nil && slices.Equal(have, places) {
			p.ring, p.known = members, true
			return nil
		}
	}
	p.known = false
	if err := t.PutRing(p.slot, places); err != nil {
		return err
	}
	p.ring, p.known = members, true
	return nil
}

// ringOf is made of targets and weights alone, so that another daemon, or one on another host,
// makes the same for the same clients.
func ringOf(members []ringMember, backends []service.Backend) []uint16 {
	all := make([]maglev.Backend, len(members))
	for i, m := range members {
		all[i] = maglev.Backend{Name: backends[m.index-1].Target.String(), Weight: int(m.weight)}
	}
	places := maglev.Table(all, maglev.Size(len(members)))
	for i, member := range places {
		places[i] = members[member].index
	}
	return places
}

// targets are all of its backends.
func (p *pool) targets() map[netip.AddrPort]bool {
	all := make(map[netip.AddrPort]bool, len(p.backends))
	for _, b := range p.backends {
		if b.State != service.None {
			all[b.Target] = true
		}
	}
	return all
}

func (p *pool) leadsTo(origin *flow.Half) bool {
	return slices.ContainsFunc(p.backends, func(b service.Backend) bool {
		return b.Target == origin.NATDst && b.Endpoint == origin.Endpoint && b.State != service.None && b.State != service.Down
	})
}

// serves reports whether a backend gets flows, or keeps those that it has.
func (p *pool) serves(target netip.AddrPort) bool {
	return slices.ContainsFunc(p.backends, func(b service.Backend) bool {
		return b.Target == target && (b.State == service.Active || b.State == service.Draining)
	})
}
