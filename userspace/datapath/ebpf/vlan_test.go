// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"testing"
)

// nic is a network card: which VLAN features are on, and which of them stay so.
type nic struct{ on, fixed map[string]bool }

func (n nic) Features(string) (map[string]bool, error) { return n.on, nil }

// Change reports success in any case, as ETHTOOL_SFEATURES does.
func (n nic) Change(_ string, features map[string]bool) error {
	for f, on := range features {
		if !n.fixed[f] {
			n.on[f] = on
		}
	}
	return nil
}

// No device may hide VLAN tags from XDP, of either kind.
func TestShowVLANs(t *testing.T) {
	both := func() map[string]bool {
		return map[string]bool{"rx-vlan-hw-parse": true, "rx-vlan-stag-hw-parse": true, "rx-gro": true}
	}
	n := nic{on: both()}
	if err := showVLANs(n, "eth0"); err != nil || n.on["rx-vlan-hw-parse"] || n.on["rx-vlan-stag-hw-parse"] || !n.on["rx-gro"] {
		t.Errorf("features %v, %v", n.on, err)
	}
	if err := showVLANs(n, "eth0"); err != nil {
		t.Error(err)
	}
	for _, f := range vlanFeatures {
		if err := showVLANs(nic{on: both(), fixed: map[string]bool{f: true}}, "eth0"); !errors.Is(err, errHidesVLANs) {
			t.Errorf("%s can't be turned off: %v", f, err)
		}
	}
}
