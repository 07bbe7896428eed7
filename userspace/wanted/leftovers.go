// SPDX-License-Identifier: Apache-2.0

package wanted

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/fairway-project/fairway/userspace/link"
)

// leftoversSubject is what the removal of leftovers is called in troubles.
const leftoversSubject = "leftovers of an earlier daemon"

// SaidAll says that the owner has said all that it wants, but for what is pending, which
// follows soon or never. Leftovers go once nothing is pending, refused or being mended,
// and when Patience is over in any case.
func (o *Owner) SaidAll(ctx context.Context, pending bool) {
	o.state.mu.Lock()
	if o.saidAll.IsZero() {
		o.saidAll = time.Now()
	}
	o.pending = pending
	o.state.mu.Unlock()
	o.settle(ctx)
}

// settle removes leftovers if it is time.
func (o *Owner) settle(ctx context.Context) {
	s := o.state
	s.mu.Lock()
	ready := !o.pending && !o.refused && len(o.mends) == 0
	late := time.Since(o.saidAll) >= s.Patience
	if s.stopped || o.done || o.saidAll.IsZero() || !ready && !late {
		waits := !s.stopped && !o.done && !o.saidAll.IsZero()
		s.mu.Unlock()
		if waits {
			o.wake.Raise()
		}
		return
	}
	o.done = true
	s.mu.Unlock()
	err := s.prune(ctx)
	s.mu.Lock()
	o.report(leftoversSubject, err)
	if o.unpruned = err != nil; o.unpruned {
		o.done = false
		o.wake.Raise()
	}
	s.mu.Unlock()
	o.logCounted()
}

// prune removes what nobody wants of what an earlier process left, but for what may be
// wanted by owners that haven't said all.
func (s *State) prune(ctx context.Context) error {
	s.edits.Lock()
	defer s.edits.Unlock()
	s.mu.Lock()
	want := s.desired()
	own, foreign := s.waiting()
	s.mu.Unlock()
	if own || foreign {
		// What is about a device that is gone is nobody's.
		spared := make(map[int]bool)
		there, err := s.Devices.All()
		if err != nil {
			return err
		}
		for _, d := range there {
			made := d.Owner != ""
			spared[d.Index] = made && own || !made && foreign
		}
		want.Spare = func(index int) bool { return spared[index] }
	}
	err := s.Datapath.Prune(ctx, want)
	if !own {
		err = errors.Join(err, s.RemoveFormer())
	}
	return err
}

// waiting reports whether owners haven't said all yet whose devices Fairway makes, and
// others. It needs mu.
func (s *State) waiting() (own, foreign bool) {
	for _, o := range s.owners {
		own = own || !o.done && !o.Foreign
		foreign = foreign || !o.done && o.Foreign
	}
	return own, foreign
}

// RemoveFormer removes the devices of Fairway's that were there before and that nobody
// wants: those of a daemon whose state is lost.
func (s *State) RemoveFormer() error {
	if s.Others {
		return nil
	}
	s.mu.Lock()
	left := slices.Clone(s.former)
	s.former = nil
	left = slices.DeleteFunc(left, func(d link.Device) bool { return s.wants(d.Owner) })
	s.mu.Unlock()
	var errs []error
	for _, d := range left {
		if err := s.Devices.Delete(d.Name, d.Owner); err != nil {
			errs = append(errs, err)
			s.mu.Lock()
			s.former = append(s.former, d)
			s.mu.Unlock()
		}
	}
	return errors.Join(errs...)
}

// wants reports whether id is a network's or an endpoint's that somebody wants. It needs
// mu.
func (s *State) wants(id string) bool {
	return slices.ContainsFunc(s.owners, func(o *Owner) bool {
		_, network := o.want.networks[id]
		_, endpoint := o.want.endpoints[id]
		return network || endpoint
	})
}
