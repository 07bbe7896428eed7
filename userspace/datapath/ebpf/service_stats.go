// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/fairway-project/fairway/maps/service"
	"github.com/fairway-project/fairway/userspace/datapath"
)

// ServiceStats implements datapath.Serving. To read a pool takes some system calls, so it isn't
// under the lock that edits wait for.
func (d *Datapath) ServiceStats(ctx context.Context, ids ...string) ([]datapath.ServiceStats, error) {
	d.mu.Lock()
	of := d.services.slotsOf(ids)
	d.mu.Unlock()
	now, err := d.loader.Clock().Jiffies()
	errs := []error{err}
	counts := make(map[uint16]service.Counts)
	for _, slot := range slices.Concat(slices.Collect(maps.Values(of))...) {
		c, err := d.services.table.Counts(slot)
		if err = errors.Join(err, ctx.Err()); err != nil {
			errs = append(errs, err)
			break
		}
		counts[slot] = c
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.services.sum(of, counts, clock{now, d.loader.Clock().HZ()}), errors.Join(errs...)
}

// slotsOf returns the slots of some services' pools, or of all services', by ID.
func (s *services) slotsOf(ids []string) map[string][]uint16 {
	all := make(map[string][]uint16)
	if len(ids) == 0 {
		ids = slices.Collect(maps.Keys(s.byID))
	}
	for _, id := range ids {
		st := s.byID[id]
		if st == nil {
			continue
		}
		all[id] = []uint16{}
		for _, p := range st.pools {
			all[id] = append(all[id], p.slot)
		}
	}
	return all
}

// sum adds up what was counted in the slots of each service, if they are its own still: what
// was read may be another's that got them meanwhile. Services with a slot that wasn't read are
// left out.
func (s *services) sum(of map[string][]uint16, counts map[uint16]service.Counts, at clock) (all []datapath.ServiceStats) {
	for id, slots := range of {
		st := s.byID[id]
		if st == nil {
			continue
		}
		sum := st.past
		sum.ServiceID = id
		whole := true
		for _, slot := range slots {
			c, read := counts[slot]
			if whole = whole && read && s.bySlot[slot] == id; !whole {
				break
			}
			addCounts(&sum, c, at)
		}
		if whole {
			all = append(all, sum)
		}
	}
	return all
}

// clock is a time in jiffies, and how many a second has.
type clock struct{ now, hz uint32 }

// addCounts adds what was counted of a pool.
func addCounts(sum *datapath.ServiceStats, c service.Counts, at clock) {
	sum.Flows += c.Past
	sum.Refused += c.Refused
	sum.Strangers += c.Strangers
	sum.PassedOver += c.PassedOver
	for _, b := range c.Backends {
		sum.Flows += b.Flows
		sum.Backends = append(sum.Backends, datapath.BackendStats{Target: b.Target, Flows: b.Flows, PassedOver: b.PassedOver(at.now, at.hz)})
	}
}

// freeCounted is free for a pool of a service that stays. Another pool of the service inherits what
// was counted, which the next process would know by nothing else; it is counted in none of both
// for a moment, and remembered where there is no other pool.
func (s *services) freeCounted(st *serviceState, slot uint16) error {
	c, err := s.table.Counts(slot)
	if err == nil {
		err = s.free(slot)
	}
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(st.pools, func(p *pool) bool { return p.slot != slot && p.there }); i >= 0 {
		if err := s.table.Inherit(st.pools[i].slot, c); err == nil {
			return nil
		}
	}
	addCounts(&st.past, c, clock{})
	st.past.Backends = nil
	return nil
}
