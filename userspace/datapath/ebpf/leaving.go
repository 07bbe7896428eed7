// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/loader"
)

// forgetGoneDevices removes what pins leave of devices that no longer exist. With tcx
// one that is only in another namespace stays guarded there.
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
			errs = append(errs, d.loader.Forget(index, p))
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

// sweepPins lets the loader drop the pins of devices that went away since their
// endpoint did. It runs on any thread: the loader asks the links, which know
// without a network namespace.
func (d *Datapath) sweepPins() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.state.leaving) == 0 {
		return nil
	}
	_, err := d.loader.Attachments()
	return err
}
