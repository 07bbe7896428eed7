// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/maps/service"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// services have pools of backends in slots, and publications that lead to them.
type services struct {
	table *service.Table
	ports *ports
	slots *slots
	// byID are those that this process has ensured, bySlot whose a slot is; orphans the
	// slots in use of which that isn't known (yet): an earlier process filled them.
	byID    map[string]*serviceState
	bySlot  map[uint16]string
	orphans map[uint16]bool
	// shut are pools of services that are gone, by slot: they and their fronts stay, and serve
	// nobody, until the flows by them have ended. A process that ends before that so leaves to the
	// next one what it has to look for.
	shut map[uint16]*pool
	// behind are those that are to be ensured again, since a backend of theirs came or went.
	behind map[string]bool
	// sources are the table's content.
	sources map[uint16]map[netip.Prefix]bool
	// ended are flows to backends that are down now, or of services that are gone.
	ended []endedFlows
}

type serviceState struct {
	said  datapath.Service
	pools []*pool
	// past is what was counted in slots that the service has given up while it had no other.
	past datapath.ServiceStats
}

// adoptServices finds the slots of an earlier process by what is published.
func adoptServices(t *service.Table, p *ports) (*services, error) {
	sources, err := t.Sources()
	s := &services{
		table: t, ports: p, sources: make(map[uint16]map[netip.Prefix]bool), slots: newSlots("pool of backends", service.MaxSlots),
		byID: make(map[string]*serviceState), bySlot: make(map[uint16]string), orphans: make(map[uint16]bool),
		shut: make(map[uint16]*pool), behind: make(map[string]bool),
	}
	for k := range sources {
		s.noteSource(k)
	}
	for of := range p.of {
		if of.service {
			s.slots.take(of.slot)
			s.orphans[of.slot] = true
		}
	}
	return s, err
}

// finder knows the endpoints of backends.
type finder interface {
	// backend is one as the programs know it.
	backend(b datapath.Backend) service.Backend
	// networkOf is the slot of the network on which the endpoints of all active ones are; 0 if
	// that isn't one.
	networkOf(all []datapath.Backend) uint16
}

// fronts are what leads to each pool of a service.
type fronts []map[publish.Key]publish.Entry

// ensure makes a service what is wanted. hz are jiffies in a second. What was refused is not what
// was said: the service may be half of each until one of both is ensured again.
func (s *services) ensure(want datapath.Service, at fronts, hz uint32, known finder) error {
	st := s.byID[want.ID]
	if st == nil {
		st = &serviceState{}
		s.byID[want.ID] = st
	}
	former := slices.Clone(st.pools)
	pools, err := s.place(want, at)
	if err == nil {
		err = s.move(want, at, pools, hz, known)
	}
	for _, p := range union(pools, former) {
		s.endDue(p)
		// Whatever came of it, nothing stays to which nothing leads.
		if !s.ports.of.any(poolHolder(p.slot)) {
			err = errors.Join(err, s.freeCounted(st, p.slot))
		}
	}
	if err != nil {
		return fmt.Errorf("service %s: %w", want.Name, err)
	}
	st.said = want
	return nil
}

// move fills the pools and has the fronts lead to them. At each moment every front leads to
// backends that it had or is to have: new pools are filled first, then their fronts leave those
// pools that stay, which are filled after that.
func (s *services) move(want datapath.Service, at fronts, pools []*pool, hz uint32, known finder) error {
	settings := service.Settings{Random: want.Random, ByClient: jiffiesOf(want.Affinity, hz), Sources: len(want.Sources) > 0}
	isNew := make([]bool, len(pools))
	for i, p := range pools {
		isNew[i] = p != nil && !s.ports.of.any(poolHolder(p.slot))
	}
	for _, first := range []bool{true, false} {
		for i, p := range pools {
			if p == nil || isNew[i] != first {
				continue
			}
			if err := s.ports.sync(poolHolder(p.slot), s.staying(p.slot, at[i])); err != nil {
				return err
			}
			settings.Network = known.networkOf(want.Pools[i].Backends)
			settings.Passive = want.Passive && haveChoice(want.Pools[i].Backends)
			if err := s.fill(p, settings, want.Sources, want.Pools[i].Backends, known.backend); err != nil {
				return err
			}
			if err := s.ports.sync(poolHolder(p.slot), entriesOf(at[i], p.slot)); err != nil {
				return err
			}
		}
	}
	for _, p := range s.byID[want.ID].pools {
		if slices.Contains(pools, p) {
			continue
		}
		if err := s.ports.sync(poolHolder(p.slot), nil); err != nil {
			return err
		}
	}
	return nil
}

// fill fills a pool. Whoever may use it still or from now on is known at each moment.
func (s *services) fill(p *pool, settings service.Settings, sources []netip.Prefix, backends []datapath.Backend, found func(datapath.Backend) service.Backend) error {
	if err := s.addSources(p.slot, sources); err != nil {
		return err
	}
	if err := p.fill(s.table, settings, backends, found); err != nil {
		return err
	}
	return s.keepSources(p.slot, sources)
}

// staying are the entries that lead to a slot and are to do so.
func (s *services) staying(slot uint16, want map[publish.Key]publish.Entry) map[publish.Key]publish.Entry {
	all := make(map[publish.Key]publish.Entry)
	for k := range s.ports.of.keys(poolHolder(slot)) {
		if _, stays := want[k]; stays {
			all[k] = s.ports.entries[k]
		}
	}
	return all
}

// endDue notes the flows of a pool that are to be ended.
func (s *services) endDue(p *pool) {
	if len(p.due) > 0 {
		s.ended = append(s.ended, endedFlows{fronts: setOf(p.led), targets: p.takeDue(), pool: p})
	}
}

// claim gives a service a slot, with what stands there.
func (s *services) claim(id string, slot uint16) (*pool, error) {
	p, err := s.peek(id, slot)
	if err != nil || s.bySlot[slot] == id {
		return p, err
	}
	delete(s.orphans, slot)
	s.bySlot[slot] = id
	s.byID[id].pools = append(s.byID[id].pools, p)
	return p, nil
}

// peek returns what stands in a slot that is the service's or may become so.
func (s *services) peek(id string, slot uint16) (*pool, error) {
	if s.bySlot[slot] == id {
		for _, p := range s.byID[id].pools {
			if p.slot == slot {
				return p, nil
			}
		}
	}
	return adoptPool(s.table, slot)
}

// free takes a slot's publications away, and then what they led to. The pool is nobody's then.
func (s *services) free(slot uint16) error {
	err := s.ports.sync(poolHolder(slot), nil)
	if err == nil {
		err = s.table.Clear(slot)
	}
	if err == nil {
		err = s.keepSources(slot, nil)
	}
	if err != nil {
		return err
	}
	if st := s.byID[s.bySlot[slot]]; st != nil {
		st.pools = slices.DeleteFunc(st.pools, func(p *pool) bool { return p.slot == slot })
	}
	delete(s.bySlot, slot)
	delete(s.orphans, slot)
	delete(s.shut, slot)
	s.slots.release(slot)
	return nil
}

// delete has a service serve nobody any more, and notes its flows to be ended; haveEnded removes
// what is left of it.
func (s *services) delete(id string) error {
	st := s.byID[id]
	if st == nil {
		return nil
	}
	for _, p := range slices.Clone(st.pools) {
		if err := s.close(p); err != nil {
			return fmt.Errorf("service %s: %w", st.said.Name, err)
		}
		st.pools = slices.DeleteFunc(st.pools, func(o *pool) bool { return o == p })
	}
	delete(s.byID, id)
	return nil
}

// close shuts a pool, and notes its flows to be ended.
func (s *services) close(p *pool) error {
	if err := p.shut(s.table); err != nil {
		return err
	}
	delete(s.bySlot, p.slot)
	delete(s.orphans, p.slot)
	s.shut[p.slot] = p
	s.ended = append(s.ended, endedFlows{fronts: s.frontsOf(p.slot, nil), targets: p.targets(), pool: p})
	return nil
}

// prune removes services that aren't wanted, and, unless some owner hasn't said all, what an
// earlier process left that nobody ensured.
func (s *services) prune(wanted func(id string) bool, all bool) error {
	var errs []error
	for id := range s.byID {
		if !wanted(id) {
			errs = append(errs, s.delete(id))
		}
	}
	if !all {
		return errors.Join(errs...)
	}
	for slot := range s.orphans {
		errs = append(errs, s.closeOrphan(slot))
	}
	used, err := s.table.Used()
	errs = append(errs, err)
	for _, slot := range used {
		if !s.slots.used[slot] {
			errs = append(errs, s.table.Clear(slot))
		}
	}
	for slot := range s.sources {
		if !s.slots.used[slot] {
			errs = append(errs, s.keepSources(slot, nil))
		}
	}
	return errors.Join(errs...)
}

// closeOrphan is close for a slot whose service didn't come back.
func (s *services) closeOrphan(slot uint16) error {
	p, err := adoptPool(s.table, slot)
	if err != nil {
		return err
	}
	return s.close(p)
}

// with returns what was said of the services that have the endpoint among their backends.
func (s *services) with(endpointID string) (all []datapath.Service) {
	has := func(p datapath.Pool) bool {
		return slices.ContainsFunc(p.Backends, func(b datapath.Backend) bool { return b.EndpointID == endpointID })
	}
	for _, st := range s.byID {
		if slices.ContainsFunc(st.said.Pools, has) {
			all = append(all, st.said)
		}
	}
	return all
}

// addresses are the services' own: of which network each is, by its slot. Those of services of
// an earlier process work until they are ensured or pruned.
func (s *services) addresses() map[netip.Addr]uint16 {
	all := make(map[netip.Addr]uint16)
	for of := range s.ports.of {
		if !of.service {
			continue
		}
		for k := range s.ports.of.keys(of) {
			if k.Network != 0 {
				all[k.Addr] = k.Network
			}
		}
	}
	return all
}

// leadsTo reports whether a flow through the slot's pool may go on: it leads to a backend that
// isn't down.
func (s *services) leadsTo(slot uint16, origin *flow.Half) bool {
	if s.shut[slot] != nil {
		return false
	}
	st := s.byID[s.bySlot[slot]]
	if st == nil {
		return true // an earlier process's: nothing is known of it
	}
	for _, p := range st.pools {
		if p.slot == slot {
			return p.leadsTo(origin)
		}
	}
	return false
}

func setOf(keys []publish.Key) map[publish.Key]bool {
	all := make(map[publish.Key]bool, len(keys))
	for _, k := range keys {
		all[k] = true
	}
	return all
}

// frontsOf are the keys that lead to a slot, and those that will.
func (s *services) frontsOf(slot uint16, more map[publish.Key]publish.Entry) map[publish.Key]bool {
	all := make(map[publish.Key]bool)
	for k := range s.ports.of.keys(poolHolder(slot)) {
		all[k] = true
	}
	for k := range more {
		all[k] = true
	}
	return all
}

// takeEnded returns the flows to be ended, for the one who does it.
func (s *services) takeEnded() []endedFlows {
	ended := s.ended
	s.ended = nil
	return ended
}

// haveEnded is said of flows that were noted, once they have. It reports whether services are
// gone with that.
func (s *services) haveEnded(ended []endedFlows) (gone bool, err error) {
	var errs []error
	for _, e := range ended {
		p, st := e.pool, s.byID[s.bySlot[e.pool.slot]]
		switch {
		case s.shut[p.slot] == p:
			gone, err = true, s.free(p.slot)
		case st != nil && slices.Contains(st.pools, p):
			err = p.forget(s.table, e.targets)
		default:
			err = nil
		}
		if err != nil {
			s.ended = append(s.ended, e)
			errs = append(errs, err)
		}
	}
	return gone, errors.Join(errs...)
}

func entriesOf(at map[publish.Key]publish.Entry, slot uint16) map[publish.Key]publish.Entry {
	all := make(map[publish.Key]publish.Entry, len(at))
	for k, e := range at {
		e.Service, e.Endpoint = true, slot
		all[k] = e
	}
	return all
}

func (s *services) addSources(slot uint16, want []netip.Prefix) error {
	for _, prefix := range want {
		k := service.Source{Slot: slot, Prefix: prefix.Masked()}
		if s.sources[slot][k.Prefix] {
			continue
		}
		if err := s.table.PutSource(k); err != nil {
			return err
		}
		s.noteSource(k)
	}
	return nil
}

func (s *services) noteSource(k service.Source) {
	if s.sources[k.Slot] == nil {
		s.sources[k.Slot] = make(map[netip.Prefix]bool)
	}
	s.sources[k.Slot][k.Prefix] = true
}

// keepSources takes those away that aren't wanted.
func (s *services) keepSources(slot uint16, want []netip.Prefix) error {
	for prefix := range s.sources[slot] {
		if slices.ContainsFunc(want, func(p netip.Prefix) bool { return p.Masked() == prefix }) {
			continue
		}
		if err := s.table.DeleteSource(service.Source{Slot: slot, Prefix: prefix}); err != nil {
			return err
		}
		delete(s.sources[slot], prefix)
	}
	if len(s.sources[slot]) == 0 {
		delete(s.sources, slot)
	}
	return nil
}

// jiffiesOf is d, which jiffies that come round can hold, at least one if it isn't nothing.
func jiffiesOf(d time.Duration, hz uint32) uint32 {
	if d <= 0 {
		return 0
	}
	const most = 1 << 30
	return uint32(max(1, min(d.Seconds()*float64(hz), most)))
}

// haveChoice reports whether one of the backends can do what another one fails to.
func haveChoice(backends []datapath.Backend) bool {
	active := 0
	for _, b := range backends {
		if b.State == model.BackendActive {
			active++
		}
	}
	return active > 1
}

// union is all of both, without nil.
func union(a, b []*pool) (all []*pool) {
	for _, p := range slices.Concat(a, b) {
		if p != nil && !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}
