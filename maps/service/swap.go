// SPDX-License-Identifier: Apache-2.0

package service

import (
	"errors"
	"runtime"
	"slices"
	"sync"

	"github.com/cilium/ebpf"
)

// maxSwaps bounds the threads that the kernel holds.
const maxSwaps = 32

// swaps are changes of slots that are in force, and that the kernel hasn't returned from: it
// first waits for all programs that may look at the former table still, some milliseconds. Many
// of them wait together as long as one does.
type swaps struct {
	room chan struct{}
	// inline has no other thread make them.
	inline bool

	mu    sync.Mutex
	under []*swap
}

type swap struct {
	slot uint16
	over chan struct{}
}

func newSwaps() *swaps { return &swaps{room: make(chan struct{}, maxSwaps)} }

// Pending are swaps that were under way at one moment: each channel is closed when no program
// looks any more at what one took away.
type Pending []<-chan struct{}

// Over reports whether all are over.
func (p Pending) Over() bool {
	for _, over := range p {
		select {
		case <-over:
		default:
			return false
		}
	}
	return true
}

// Wait returns when all are over.
func (p Pending) Wait() {
	for _, over := range p {
		<-over
	}
}

// SwapInline has the calling thread make each change, and wait until nothing is pending: for
// whoever watches what the thread does.
func (t *Table) SwapInline() { t.swaps.inline = true }

// Pending returns the swaps of a slot that are under way: programs that began before may look
// at what stood there.
func (t *Table) Pending(slot uint16) Pending {
	return t.swaps.pending(func(s *swap) bool { return s.slot == slot })
}

// AllPending returns those of all slots.
func (t *Table) AllPending() Pending {
	return t.swaps.pending(func(*swap) bool { return true })
}

func (s *swaps) pending(concerns func(*swap) bool) (p Pending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.under {
		if concerns(one) {
			p = append(p, one.over)
		}
	}
	return p
}

// put puts a table into a slot. Programs that begin when it returns find it there. The table
// may be closed.
func (s *swaps) put(outer *ebpf.Map, slot uint16, table *ebpf.Map) error {
	info, err := table.Info()
	if err != nil {
		return err
	}
	want, _ := info.ID()
	table, err = table.Clone()
	if err != nil {
		return err
	}
	return s.do(slot, func() error {
		defer table.Close()
		return outer.Put(uint32(slot), table)
	}, func() bool {
		var id ebpf.MapID
		return outer.Lookup(uint32(slot), &id) == nil && id == want
	})
}

// remove empties a slot. Programs that begin when it returns find nothing there. An empty one
// is no error.
func (s *swaps) remove(outer *ebpf.Map, slot uint16) error {
	gone := func() bool {
		var id ebpf.MapID
		return errors.Is(outer.Lookup(uint32(slot), &id), ebpf.ErrKeyNotExist)
	}
	if gone() {
		return nil
	}
	return s.do(slot, func() error { return outer.Delete(uint32(slot)) }, gone)
}

// do has change done by another thread, and returns when it is in force or has failed.
func (s *swaps) do(slot uint16, change func() error, inForce func() bool) error {
	if s.inline {
		return change()
	}
	s.room <- struct{}{}
	this := &swap{slot, make(chan struct{})}
	s.mu.Lock()
	s.under = append(s.under, this)
	s.mu.Unlock()
	var err error
	go func() {
		err = change()
		s.mu.Lock()
		s.under = slices.DeleteFunc(s.under, func(o *swap) bool { return o == this })
		s.mu.Unlock()
		close(this.over)
		<-s.room
	}()
	for {
		select {
		case <-this.over:
			return err
		default:
		}
		if inForce() {
			return nil
		}
		// It takes the kernel microseconds, which no timer measures.
		runtime.Gosched()
	}
}
