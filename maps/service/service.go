// SPDX-License-Identifier: Apache-2.0

// Package service is the tables of services: pools of backends, and the rings by which a
// client's flow finds one of them. Publications (package publish) lead to a pool by its slot.
//
// Each pool has two tables of its own, which lie in a slot of the tables here. A ring is put in
// whole, in place of the former one. A backend has its index for as long as a ring may name it.
//
// Be aware: programs count in entries that are written here. What they count in the same
// moment is lost.
package service

import (
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/wire"
)

// Bounds of slots, of which 0 is never used, and of a pool's backends.
const (
	MaxSlots    = int(object.DatapathLimitMAX_SERVICES)
	MaxBackends = int(object.DatapathLimitMAX_BACKENDS)
)

// State says what a backend gets.
type State = object.DatapathBackendState

// States of backends; None has an index that nobody has.
const (
	None     = object.DatapathBackendStateBACKEND_NONE
	Active   = object.DatapathBackendStateBACKEND_ACTIVE
	Draining = object.DatapathBackendStateBACKEND_DRAINING
	Down     = object.DatapathBackendStateBACKEND_DOWN
)

// Backend is one that new flows are led to.
type Backend struct {
	Target netip.AddrPort
	// Endpoint is a slot in package endpoint, Generation that of its owner.
	Endpoint   uint16
	Generation uint16
	// Outside is an address that is no endpoint's.
	Outside bool
	State   State
}

// Counts are what programs count of a pool.
type Counts struct {
	// Refused are flows for which there was no backend, Strangers those that came from
	// elsewhere than its sources.
	Refused, Strangers uint64
	// Past are flows that were led to backends which are gone, Backends those of each other one.
	Past uint64
	// PassedOver is how often backends began to be passed over.
	PassedOver uint64
	Backends   []BackendCount
}

// BackendCount is what programs count of a backend.
type BackendCount struct {
	Target netip.AddrPort
	// Flows are those that were led to it.
	Flows   uint64
	refuses bool
	// until is in jiffies.
	until uint32
}

// PassedOver reports whether new flows of all clients, or of some, pass it over now, in jiffies, of
// which hz make a second.
func (b BackendCount) PassedOver(now, hz uint32) bool {
	return b.refuses && b.until-now-1 < uint32(object.DatapathLimitPASSIVE_LONGEST)*hz
}

// Settings are of a pool as a whole.
type Settings struct {
	// Random draws a backend for each flow.
	Random bool
	// ByClient leads all of a client's flows to the same backend, and remembers for so many
	// jiffies which that is; 0 for not.
	ByClient uint32
	// Sources says that only those of PutSource may use the pool.
	Sources bool
	// Network is the slot of the network that the endpoints of all active backends are on; 0 if
	// they are on several, or outside, or there are none.
	Network uint16
	// Passive has new flows pass over backends that refuse clients.
	Passive bool
}

// Table is the tables of all pools.
type Table struct {
	rings, pools, affinities, sources *ebpf.Map
	// slots has a bit for each slot that may hold something.
	slots *ebpf.Map
	swaps *swaps
}

// New returns the table in these maps, which stay the caller's.
func New(m *object.DatapathMaps) *Table {
	return &Table{rings: m.Rings, pools: m.Pools, affinities: m.Affinities, sources: m.ServiceSources, slots: m.PoolSlots, swaps: newSwaps()}
}

// Limit is the number of slots, less the one that isn't used.
func (t *Table) Limit() uint32 { return t.pools.MaxEntries() - 1 }

// Ring returns the places of a slot's ring, which hold indices of backends; nil if no
// backend is active, or the slot is free.
func (t *Table) Ring(slot uint16) ([]uint16, error) {
	ring, err := inner(t.rings, slot)
	if ring == nil || err != nil {
		return nil, err
	}
	defer ring.Close()
	words, err := readAll[object.DatapathRingWord](ring)
	if err != nil || len(words) == 0 {
		return nil, err
	}
	size := int(words[0].Place[0]) | int(words[0].Place[1])<<16
	places := make([]uint16, 0, size)
	for _, w := range words[1:] {
		places = append(places, w.Place[:min(len(w.Place), size-len(places))]...)
	}
	return places, nil
}

// PutRing replaces a slot's ring in one step. Programs that begin when it returns know no other
// one; those that began before may look at the former one (Pending).
func (t *Table) PutRing(slot uint16, places []uint16) error {
	const perWord = int(object.DatapathLimitRING_PLACES)
	words := make([]object.DatapathRingWord, 1, 1+(len(places)+perWord-1)/perWord)
	words[0].Place[0], words[0].Place[1] = uint16(len(places)), uint16(len(places)>>16)
	for i := 0; i < len(places); i += perWord {
		var w object.DatapathRingWord
		copy(w.Place[:], places[i:])
		words = append(words, w)
	}
	if err := t.mark(slot, true); err != nil {
		return err
	}
	if err := putInner(t.swaps, t.rings, slot, words); err != nil {
		return fmt.Errorf("ring of pool %d: %w", slot, err)
	}
	return nil
}

// DeleteRing leaves a slot without one, as PutRing does.
func (t *Table) DeleteRing(slot uint16) error {
	if err := t.swaps.remove(t.rings, slot); err != nil {
		return fmt.Errorf("ring of pool %d: %w", slot, err)
	}
	return nil
}

// Pool returns what stands in a slot: its backends by their index less one. ok is false if
// nothing does.
func (t *Table) Pool(slot uint16) (s Settings, backends []Backend, ok bool, err error) {
	all, err := t.readPool(slot)
	if err != nil || len(all) == 0 {
		return Settings{}, nil, false, err
	}
	for i := range all[1:] {
		backends = append(backends, fromValue(&all[1+i]))
	}
	return settingsOf(headOf(&all[0])), backends, true, nil
}

// Counts returns what was counted of a slot's pool; nothing of a free one.
func (t *Table) Counts(slot uint16) (c Counts, err error) {
	all, err := t.readPool(slot)
	if err != nil || len(all) == 0 {
		return c, err
	}
	head := headOf(&all[0])
	c.Refused, c.Strangers, c.Past, c.PassedOver = head.Refused, head.Strangers, head.Past, head.PassedOver
	for i := range all[1:] {
		if b := fromValue(&all[1+i]); b.State != None {
			c.Backends = append(c.Backends, BackendCount{b.Target, all[1+i].Flows, all[1+i].Notes.Period != 0, all[1+i].Until})
		}
	}
	return c, nil
}

// Inherit adds to what was counted of a slot's pool all that was counted of another one, as of
// backends that are gone.
func (t *Table) Inherit(slot uint16, c Counts) error {
	pool, err := inner(t.pools, slot)
	if err != nil {
		return err
	}
	if pool == nil {
		return fmt.Errorf("pool %d: %w", slot, ebpf.ErrKeyNotExist)
	}
	defer pool.Close()
	var v object.DatapathBackend
	if err := pool.Lookup(uint32(0), &v); err != nil {
		return fmt.Errorf("head of pool %d: %w", slot, err)
	}
	head := headOf(&v)
	head.Refused += c.Refused
	head.Strangers += c.Strangers
	head.Past += c.Past
	head.PassedOver += c.PassedOver
	for _, b := range c.Backends {
		head.Past += b.Flows
	}
	if err := pool.Put(uint32(0), &v); err != nil {
		return fmt.Errorf("head of pool %d: %w", slot, err)
	}
	return nil
}

// readPool returns the entries of a slot's table, none of a free one.
func (t *Table) readPool(slot uint16) ([]object.DatapathBackend, error) {
	pool, err := inner(t.pools, slot)
	if pool == nil || err != nil {
		return nil, err
	}
	defer pool.Close()
	return readAll[object.DatapathBackend](pool)
}

// PutPool writes a slot's backends and settings where they differ, and keeps what is counted:
// of backends that stay each one's, of others the sum. A table that is too small is replaced by
// a larger one.
func (t *Table) PutPool(slot uint16, s Settings, backends []Backend) error {
	if err := t.mark(slot, true); err != nil {
		return err
	}
	pool, err := inner(t.pools, slot)
	if err != nil {
		return err
	}
	var have []object.DatapathBackend
	if pool != nil {
		defer pool.Close()
		if have, err = readAll[object.DatapathBackend](pool); err != nil {
			return err
		}
	}
	want := make([]object.DatapathBackend, 1+len(backends))
	copy(want, have[:min(len(have), 1)])
	head := headOf(&want[0])
	passive := s.Passive && settingsOf(head).Passive
	head.Flags, head.Affinity = flagsOf(s), s.ByClient
	if err := t.remember(slot, s.ByClient != 0); err != nil {
		return err
	}
	for i, b := range backends {
		want[1+i] = toValue(b)
	}
	for i := 1; i < len(have); i++ {
		if i < len(want) && sameOwner(&have[i], &want[i]) {
			keepNotes(&want[i], &have[i], passive)
		} else {
			head.Past += have[i].Flows
		}
	}
	if len(have) < len(want) {
		// Room for others, that come one by one.
		want = append(want, make([]object.DatapathBackend, roomFor(len(want))-len(want))...)
		if err := putInner(t.swaps, t.pools, slot, want); err != nil {
			return fmt.Errorf("pool %d: %w", slot, err)
		}
		return nil
	}
	return writeChanged(pool, have, want)
}

// Clear takes what stands in a slot away. Nobody else is to have the slot before those programs
// are done that look at it still (Pending).
func (t *Table) Clear(slot uint16) error {
	for _, m := range []*ebpf.Map{t.rings, t.pools, t.affinities} {
		if err := t.swaps.remove(m, slot); err != nil {
			return fmt.Errorf("pool %d: %w", slot, err)
		}
	}
	return t.mark(slot, false)
}

func settingsOf(head *object.DatapathPool) Settings {
	return Settings{
		Random:   head.Flags&uint32(object.DatapathPoolFlagPOOL_RANDOM) != 0,
		ByClient: head.Affinity,
		Sources:  head.Flags&uint32(object.DatapathPoolFlagPOOL_SOURCES) != 0,
		Network:  uint16(head.Flags >> uint32(object.DatapathPoolFlagPOOL_NETWORK_SHIFT)),
		Passive:  head.Flags&uint32(object.DatapathPoolFlagPOOL_PASSIVE) != 0,
	}
}

func flagsOf(s Settings) (flags uint32) {
	flags = uint32(s.Network) << uint32(object.DatapathPoolFlagPOOL_NETWORK_SHIFT)
	if s.Random {
		flags |= uint32(object.DatapathPoolFlagPOOL_RANDOM)
	}
	if s.ByClient != 0 {
		flags |= uint32(object.DatapathPoolFlagPOOL_BY_CLIENT)
	}
	if s.Sources {
		flags |= uint32(object.DatapathPoolFlagPOOL_SOURCES)
	}
	if s.Passive {
		flags |= uint32(object.DatapathPoolFlagPOOL_PASSIVE)
	}
	return flags
}

// Room returns how many backends a table has room for that was made for so many.
func Room(backends int) int { return roomFor(1+backends) - 1 }

func roomFor(entries int) int { return 1 << bits.Len(uint(entries-1)) }

func writeChanged(pool *ebpf.Map, have, want []object.DatapathBackend) error {
	for i := range have {
		var w object.DatapathBackend
		if i < len(want) {
			w = want[i]
		}
		if have[i] == w {
			continue
		}
		if err := pool.Put(uint32(i), &w); err != nil {
			return fmt.Errorf("entry %d of %s: %w", i, pool, err)
		}
	}
	return nil
}

// sameOwner tells whether what was counted of one is the other's.
func sameOwner(a, b *object.DatapathBackend) bool {
	return a.At.Addr == b.At.Addr && a.At.Port == b.At.Port && a.State != uint32(None)
}

// keepNotes has an entry keep what programs noted of the same backend: what they counted, and
// how it answered if nothing else has changed and it was judged by that all the time.
func keepNotes(now, was *object.DatapathBackend, passive bool) {
	now.Flows = was.Flows
	if passive && now.At == was.At && now.State == was.State {
		now.Until, now.Notes = was.Until, was.Notes
	}
}

// headOf is what stands at index 0, in the place of a backend.
func headOf(b *object.DatapathBackend) *object.DatapathPool {
	return (*object.DatapathPool)(unsafe.Pointer(b))
}

func toValue(b Backend) object.DatapathBackend {
	if b.State == None {
		return object.DatapathBackend{}
	}
	var flags uint16
	if b.Outside {
		flags = uint16(object.DatapathPublishedFlagPUBLISHED_OUTSIDE)
	}
	return object.DatapathBackend{
		At: object.DatapathPublished{
			Addr: wire.Mapped(b.Target.Addr()), Port: wire.Port(b.Target.Port()), Endpoint: b.Endpoint, Generation: b.Generation,
			Flags: flags,
		},
		State: uint32(b.State),
	}
}

func fromValue(v *object.DatapathBackend) Backend {
	if v.State == uint32(None) {
		return Backend{}
	}
	return Backend{
		Target:   netip.AddrPortFrom(wire.Addr(v.At.Addr), wire.Port(v.At.Port)),
		Endpoint: v.At.Endpoint, Generation: v.At.Generation, State: State(v.State),
		Outside: v.At.Flags&uint16(object.DatapathPublishedFlagPUBLISHED_OUTSIDE) != 0,
	}
}

// inner returns the table in a slot, which the caller closes; nil if there is none.
func inner(outer *ebpf.Map, slot uint16) (*ebpf.Map, error) {
	var id ebpf.MapID
	err := outer.Lookup(uint32(slot), &id)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("slot %d of %s: %w", slot, outer, err)
	}
	m, err := ebpf.NewMapFromID(id)
	if err != nil {
		return nil, fmt.Errorf("slot %d of %s: %w", slot, outer, err)
	}
	return m, nil
}

// putInner puts a table with these entries into a slot.
func putInner[V any](swaps *swaps, outer *ebpf.Map, slot uint16, values []V) error {
	var v V
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Type: ebpf.Array, KeySize: 4, ValueSize: uint32(unsafe.Sizeof(v)), MaxEntries: uint32(len(values)), Flags: unix.BPF_F_INNER_MAP,
	})
	if err != nil {
		return err
	}
	defer m.Close()
	keys := make([]uint32, len(values))
	for i := range keys {
		keys[i] = uint32(i)
	}
	if _, err := m.BatchUpdate(keys, values, nil); err != nil {
		return err
	}
	return swaps.put(outer, slot, m)
}

func readAll[V any](m *ebpf.Map) ([]V, error) {
	keys, values := make([]uint32, m.MaxEntries()), make([]V, m.MaxEntries())
	n, err := m.BatchLookup(new(ebpf.MapBatchCursor), keys, values, nil)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil, fmt.Errorf("read %s: %w", m, err)
	}
	return values[:n], nil
}
