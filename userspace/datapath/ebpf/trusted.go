// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"slices"

	"github.com/fairway-project/fairway/maps/network"
)

// syncTrusted makes the map of trusted devices what the networks'
// trusted_host_interfaces say, as far as there are such devices: they may come
// later, or come back with another index.
func (d *Datapath) syncTrusted() error {
	s := &d.state
	want := make(map[network.Trust]bool)
	for _, st := range s.networks {
		for _, name := range st.trusted {
			if index, ok := s.entrance(name); ok {
				want[network.Trust{Slot: st.slot, Index: index}] = true
			}
		}
	}
	var errs []error
	for k := range s.trusts {
		// While networks of an earlier process wait to be ensured, what it knew stays.
		if want[k] || len(s.orphanNetworks) > 0 {
			continue
		}
		if err := d.tables.networks.DeleteTrust(k); err != nil {
			errs = append(errs, err)
			continue
		}
		delete(s.trusts, k)
	}
	for k := range want {
		if s.trusts[k] {
			continue
		}
		if err := d.tables.networks.PutTrust(k); err != nil {
			errs = append(errs, err)
			continue
		}
		s.trusts[k] = true
	}
	return errors.Join(errs...)
}

// entrance returns the device through which packets for a network may come: an
// uplink, or the bridge of another network.
func (s *state) entrance(name string) (index int, ok bool) {
	if index, ok = s.uplinkNames[name]; ok {
		return index, true
	}
	for _, st := range s.networks {
		if st.bridgeName == name && st.bridge != 0 {
			return st.bridge, true
		}
	}
	return 0, false
}

// untrusted returns the names that a network trusts in vain: no device of that
// name is there, or none that the programs can serve.
func (s *state) untrusted(st *networkState) []string {
	return slices.DeleteFunc(slices.Clone(st.trusted), func(name string) bool {
		_, ok := s.entrance(name)
		return ok
	})
}
