// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"

	"github.com/fairway-project/fairway/maps/icc"
	"github.com/fairway-project/fairway/userspace/datapath"
)

// links are the holes in icc=false, each with the slot of the endpoint that asked for it.
type links struct {
	table *icc.Table
	holes map[icc.Hole]uint16
}

func adoptLinks(t *icc.Table) (*links, error) {
	holes, err := t.All()
	return &links{table: t, holes: holes}, err
}

// sync makes the holes of a slot those in want.
func (l *links) sync(slot uint16, want map[icc.Hole]bool) error {
	for h := range want {
		if have, ok := l.holes[h]; ok && have == slot {
			continue
		}
		if err := l.table.Put(h, slot); err != nil {
			return err
		}
		l.holes[h] = slot
	}
	for h, owner := range l.holes {
		if owner != slot || want[h] {
			continue
		}
		if err := l.table.Delete(h); err != nil {
			return err
		}
		delete(l.holes, h)
	}
	return nil
}

// prune removes the holes of slots that nobody has.
func (l *links) prune(claimed func(slot uint16) bool) error {
	var errs []error
	for _, slot := range l.holes {
		if !claimed(slot) {
			errs = append(errs, l.sync(slot, nil))
		}
	}
	return errors.Join(errs...)
}

// holes are what the endpoint's links open in its network, which is in slot network.
func holes(e datapath.Endpoint, network uint16) map[icc.Hole]bool {
	all := make(map[icc.Hole]bool)
	for _, l := range e.Links {
		for _, p := range l.Ports {
			if e.IPv4.IsValid() && l.IPv4.IsValid() {
				all[icc.Hole{Network: network, From: e.IPv4, To: l.IPv4, Port: p.Num, Proto: p.Proto}] = true
			}
			if e.IPv6.IsValid() && l.IPv6.IsValid() {
				all[icc.Hole{Network: network, From: e.IPv6, To: l.IPv6, Port: p.Num, Proto: p.Proto}] = true
			}
		}
	}
	return all
}
