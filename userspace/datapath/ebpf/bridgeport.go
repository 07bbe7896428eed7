// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/datapath"
)

// configureBridgePort tells the bridge which MAC is behind the endpoint's device,
// instead of letting it learn. Most packets never pass the bridge, so what it had
// learned would age out, and it would flood what is left to it.
func configureBridgePort(e datapath.Endpoint) error {
	device, err := netlink.LinkByIndex(e.HostIndex)
	if err != nil {
		return fmt.Errorf("device %s: %w", e.HostIf, err)
	}
	if device.Attrs().MasterIndex == 0 {
		return fmt.Errorf("device %s: not a port of a bridge", e.HostIf)
	}
	if err := netlink.LinkSetLearning(device, false); err != nil {
		return fmt.Errorf("bridge port %s: learning off: %w", e.HostIf, err)
	}
	if err := netlink.LinkSetFlood(device, false); err != nil {
		return fmt.Errorf("bridge port %s: unicast flooding off: %w", e.HostIf, err)
	}
	err = netlink.NeighSet(&netlink.Neigh{
		LinkIndex: e.HostIndex, Family: unix.AF_BRIDGE, Flags: netlink.NTF_MASTER,
		State: netlink.NUD_NOARP, HardwareAddr: e.MAC.HardwareAddr(),
	})
	if err != nil {
		return fmt.Errorf("bridge port %s: forwarding entry %s: %w", e.HostIf, e.MAC, err)
	}
	return nil
}
