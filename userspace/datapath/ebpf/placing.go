// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"cmp"
	"maps"
	"slices"

	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/maps/service"
	"github.com/fairway-project/fairway/userspace/datapath"
)

// candidate is a slot in which one of a service's pools may be, and how many of the pool's
// fronts lead there.
type candidate struct {
	pool   int
	slot   uint16
	fronts int
}

// place returns the pool that each of the fronts' pools is: the one that most of its fronts lead
// to, by an earlier process's word too, else a new one. Nobody asks for pools without fronts,
// which are nil.
func (s *services) place(want datapath.Service, at fronts) ([]*pool, error) {
	slots, err := s.choose(want, at)
	if err != nil {
		return nil, err
	}
	pools := make([]*pool, len(at))
	for i, keys := range at {
		if len(keys) == 0 {
			continue
		}
		slot, isNew := slots[i], slots[i] == 0
		if isNew {
			if slot, err = s.slots.next(); err != nil {
				return pools, err
			}
		}
		if pools[i], err = s.claim(want.ID, slot); err != nil {
			if isNew {
				s.slots.release(slot)
			}
			return pools, err
		}
		pools[i].led = slices.Collect(maps.Keys(s.frontsOf(slot, keys)))
	}
	return pools, nil
}

// choose returns in which slot each pool stays, 0 for those that get a new one: others' fronts
// would lead to its backends until they have moved.
func (s *services) choose(want datapath.Service, at fronts) ([]uint16, error) {
	wanted := make(map[publish.Key]int)
	for i, keys := range at {
		for k := range keys {
			wanted[k] = i
		}
	}
	all, err := s.candidates(want, at, wanted)
	if err != nil {
		return nil, err
	}
	slots := make([]uint16, len(at))
	for _, c := range all {
		if slots[c.pool] == 0 && !slices.Contains(slots, c.slot) {
			slots[c.pool] = c.slot
		}
	}
	for i := range slots {
		if slots[i] == 0 {
			continue
		}
		for k := range s.ports.of.keys(poolHolder(slots[i])) {
			if to, is := wanted[k]; is && to != i {
				slots[to] = 0
			}
		}
	}
	return slots, nil
}

// candidates are in the order in which they are to be chosen.
func (s *services) candidates(want datapath.Service, at fronts, wanted map[publish.Key]int) ([]candidate, error) {
	var all []candidate
	suits := make(map[uint16]*pool)
	for i, keys := range at {
		counts := make(map[uint16]int)
		for k := range keys {
			if e := s.ports.entries[k]; e.Service {
				counts[e.Endpoint]++
			}
		}
		for slot, n := range counts {
			if !s.mayClaim(want.ID, slot, wanted) {
				continue
			}
			if suits[slot] == nil {
				p, err := s.peek(want.ID, slot)
				if err != nil {
					return nil, err
				}
				suits[slot] = p
			}
			if suits[slot].sameFamily(want.Pools[i].Backends) {
				all = append(all, candidate{i, slot, n})
			}
		}
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.fronts, a.fronts), cmp.Compare(a.pool, b.pool), cmp.Compare(a.slot, b.slot))
	})
	return all, nil
}

// mayClaim tells whether a slot is the service's: an earlier process's is if nothing else leads
// there than what the service has now. Otherwise it may be another's that has given it a front.
func (s *services) mayClaim(id string, slot uint16, wanted map[publish.Key]int) bool {
	if !s.orphans[slot] {
		return s.bySlot[slot] == id
	}
	for k := range s.ports.of.keys(poolHolder(slot)) {
		if _, is := wanted[k]; !is {
			return false
		}
	}
	return true
}

// sameFamily tells whether backends may take the place of what is there, which fronts lead to
// meanwhile.
func (p *pool) sameFamily(next []datapath.Backend) bool {
	i := slices.IndexFunc(p.backends, func(b service.Backend) bool { return b.State != service.None })
	return i < 0 || len(next) == 0 || p.backends[i].Target.Addr().Is4() == next[0].Target.Addr().Is4()
}
