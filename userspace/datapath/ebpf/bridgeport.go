// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/loader"
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

// forgetGoneDevices removes what pins leave of devices that no longer exist.
func (d *Datapath) forgetGoneDevices() error {
	var errs []error
	for index := range d.state.leaving {
		exists, err := deviceExists(index)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if exists {
			continue
		}
		for _, p := range []loader.Program{loader.FromContainer, loader.ToContainer} {
			errs = append(errs, d.loader.Detach(index, p))
		}
		delete(d.state.leaving, index)
	}
	return errors.Join(errs...)
}

func deviceExists(index int) (bool, error) {
	_, err := netlink.LinkByIndex(index)
	var gone netlink.LinkNotFoundError
	if errors.As(err, &gone) || errors.Is(err, unix.ENODEV) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("device %d: %w", index, err)
	}
	return true, nil
}
