// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"fmt"

	"github.com/safchain/ethtool"
)

// vlanFeatures take tags out of frames: those of IEEE 802.1Q and of 802.1ad.
var vlanFeatures = []string{"rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"}

var (
	errHidesVLANs = errors.New("its driver takes VLAN tags out of frames")
	errBond       = errors.New("a bond has its ports run the program")
)

// readyForXDP makes the driver leave VLAN tags in the frames. XDP isn't told of
// tags that the device took out, and would take a frame of any VLAN for an
// untagged one. A veth takes none out: it carries what its other end, on this
// machine, keeps beside the frame.
//
// A bond is refused: its ports would run the program, which doesn't know them.
func readyForXDP(device string) error {
	tool, err := ethtool.NewEthtool()
	if err != nil {
		return fmt.Errorf("ethtool: %w", err)
	}
	defer tool.Close()
	driver, err := tool.DriverName(device)
	if err != nil {
		return fmt.Errorf("device %s: driver: %w", device, err)
	}
	switch driver {
	case "veth":
		return nil
	case "bonding":
		return errBond
	}
	return showVLANs(tool, device)
}

// features is what showVLANs needs of an ethtool.
type features interface {
	Features(device string) (map[string]bool, error)
	Change(device string, features map[string]bool) error
}

// showVLANs looks again after the change: the kernel reports success where a
// driver keeps a feature.
func showVLANs(tool features, device string) error {
	have, err := tool.Features(device)
	if err != nil {
		return fmt.Errorf("device %s: features: %w", device, err)
	}
	off := make(map[string]bool)
	for _, f := range vlanFeatures {
		if have[f] {
			off[f] = false
		}
	}
	if len(off) == 0 {
		return nil
	}
	if err := tool.Change(device, off); err != nil {
		return fmt.Errorf("device %s: vlan features off: %w", device, err)
	}
	if have, err = tool.Features(device); err != nil {
		return fmt.Errorf("device %s: features: %w", device, err)
	}
	for _, f := range vlanFeatures {
		if have[f] {
			return fmt.Errorf("device %s: %s: %w", device, f, errHidesVLANs)
		}
	}
	return nil
}
