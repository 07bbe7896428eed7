// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"fmt"

	"github.com/safchain/ethtool"
)

const rxVLAN = "rx-vlan-hw-parse"

// showVLANs makes the driver leave VLAN tags in the frames. XDP isn't told of tags
// that the device took out, and would take a frame of any VLAN for an untagged
// one. A veth takes none out: it carries what its other end, on this machine,
// keeps beside the frame.
func showVLANs(device string) error {
	tool, err := ethtool.NewEthtool()
	if err != nil {
		return fmt.Errorf("ethtool: %w", err)
	}
	defer tool.Close()
	driver, err := tool.DriverName(device)
	if err != nil {
		return fmt.Errorf("device %s: driver: %w", device, err)
	}
	if driver == "veth" {
		return nil
	}
	features, err := tool.Features(device)
	if err != nil {
		return fmt.Errorf("device %s: features: %w", device, err)
	}
	if !features[rxVLAN] {
		return nil
	}
	if err := tool.Change(device, map[string]bool{rxVLAN: false}); err != nil {
		return fmt.Errorf("device %s: %s off: %w", device, rxVLAN, err)
	}
	return nil
}
