// SPDX-License-Identifier: Apache-2.0

// Package share accesses what is counted of each endpoint's connections, and what each
// is sure of in the flow tables and of source ports; see bpf/share.h.
//
// Be aware:
//   - the programs count, this package corrects: what they didn't count, because older
//     programs opened it, is added beside their counts;
//   - all endpoints together have a slot of their own, All.
package share

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/object"
)

// All is the slot of what is counted for all endpoints.
const All = int(object.DatapathLimitALL_ENDPOINTS)

// Families tell the two flow tables apart.
const (
	IPv4 = 0
	IPv6 = 1
)

// Counts are connections that are open, by family.
type Counts [2]int32

// Share is what each endpoint is sure of.
type Share struct {
	// Sure is how many connections of a family; 0 keeps nothing for anybody.
	Sure [2]uint32
	// Common is how many connections may be in the table while endpoints that have
	// what they are sure of open others.
	Common [2]uint32
	// SurePorts is how many 65,536ths of the ports towards one destination.
	SurePorts uint32
	// Others is the number of endpoints less one.
	Others uint32
}

// Table is the maps together.
type Table struct {
	uses, corrections, shares *ebpf.Map
}

// New returns the table in these maps, which stay the caller's.
func New(m *object.DatapathMaps) *Table {
	return &Table{uses: m.FlowUses, corrections: m.FlowCorrections, shares: m.Shares}
}

// Put replaces what endpoints are sure of. seed is for a table that has none yet: the
// hash that finds counts of ports must stay what it is.
func (t *Table) Put(s Share, seed uint32) error {
	var v object.DatapathShare
	if err := t.shares.Lookup(uint32(0), &v); err != nil {
		return fmt.Errorf("shares: %w", err)
	}
	if v.Seed != 0 {
		seed = v.Seed
	}
	v = object.DatapathShare{Sure: s.Sure, Common: s.Common, SurePorts: s.SurePorts, Others: s.Others, Seed: seed}
	if err := t.shares.Put(uint32(0), &v); err != nil {
		return fmt.Errorf("shares: %w", err)
	}
	return nil
}

// Seed gives a table a seed that has none yet. Until Put nothing is kept for anybody.
func (t *Table) Seed(seed uint32) error {
	var v object.DatapathShare
	if err := t.shares.Lookup(uint32(0), &v); err != nil {
		return fmt.Errorf("shares: %w", err)
	}
	if v.Seed != 0 {
		return nil
	}
	v.Seed = seed
	if err := t.shares.Put(uint32(0), &v); err != nil {
		return fmt.Errorf("shares: %w", err)
	}
	return nil
}

// Open returns how many connections the endpoint in a slot has, or all have.
func (t *Table) Open(slot int) (Counts, error) {
	var use object.DatapathFlowUse
	var more object.DatapathFlowCorrection
	if err := errors.Join(t.uses.Lookup(uint32(slot), &use), t.corrections.Lookup(uint32(slot), &more)); err != nil {
		return Counts{}, fmt.Errorf("connections of slot %d: %w", slot, err)
	}
	return counts(&use, &more), nil
}

func counts(use *object.DatapathFlowUse, more *object.DatapathFlowCorrection) (c Counts) {
	for family := range c {
		c[family] = int32(use.Opened[family]-use.Ended[family]) + more.Open[family]
	}
	return c
}

// Snapshot is what stood in the maps at one time: of the first slots, and of All.
type Snapshot struct {
	uses        []object.DatapathFlowUse
	corrections []object.DatapathFlowCorrection
	// all is the place of All.
	all int
}

// Snapshot reads the first slots, All of them at most, and All.
func (t *Table) Snapshot(slots int) (*Snapshot, error) {
	s := &Snapshot{make([]object.DatapathFlowUse, slots+1), make([]object.DatapathFlowCorrection, slots+1), slots}
	keys := make([]uint32, slots)
	var first, second ebpf.MapBatchCursor
	for _, read := range []func() (int, error){
		func() (int, error) { return t.uses.BatchLookup(&first, keys, s.uses[:slots], nil) },
		func() (int, error) { return t.corrections.BatchLookup(&second, keys, s.corrections[:slots], nil) },
	} {
		if slots == 0 {
			break
		}
		if _, err := read(); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil, fmt.Errorf("connections of endpoints: %w", err)
		}
	}
	err := errors.Join(t.uses.Lookup(uint32(All), &s.uses[slots]), t.corrections.Lookup(uint32(All), &s.corrections[slots]))
	if err != nil {
		return nil, fmt.Errorf("connections of all endpoints: %w", err)
	}
	return s, nil
}

// Open returns how many connections the endpoint in a slot had; none of one that wasn't read.
func (s *Snapshot) Open(slot int) Counts {
	if slot == All {
		slot = s.all
	} else if slot >= s.all {
		return Counts{}
	}
	return counts(&s.uses[slot], &s.corrections[slot])
}

// slot is the one whose counts are at a place.
func (s *Snapshot) slot(place int) int {
	if place == s.all {
		return All
	}
	return place
}

// Correct compares what a walk through a family's table found, by slot, with what is
// counted, and corrects what the walk proves to be wrong of the slots that before has. That
// was read ahead of the walk: what came and went meanwhile may be in found or not. What
// Correct returns was read after it, for a walk that begins now.
func (t *Table) Correct(family int, found []uint32, before *Snapshot) (*Snapshot, error) {
	now, err := t.Snapshot(before.all)
	if err != nil {
		return nil, err
	}
	for place := range now.uses {
		slot := now.slot(place)
		use, was := &now.uses[place], &before.uses[place]
		meanwhile := int64(use.Opened[family]-was.Opened[family]) + int64(use.Ended[family]-was.Ended[family])
		have := counts(use, &now.corrections[place])[family]
		by := drift(int64(found[slot])-int64(have), meanwhile)
		if by == 0 {
			continue
		}
		now.corrections[place].Open[family] += by
		if err := t.corrections.Put(uint32(slot), &now.corrections[place]); err != nil {
			return nil, fmt.Errorf("connections of slot %d: %w", slot, err)
		}
	}
	return now, nil
}

// drift is by how much a difference goes beyond what changes explain.
func drift(difference, changes int64) int32 {
	switch {
	case difference > changes:
		return int32(difference - changes)
	case difference < -changes:
		return int32(difference + changes)
	}
	return 0
}
