// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/userspace/model"
)

// XDP says whether uplinks run a program before the kernel makes packets of frames.
type XDP string

// What to do with XDP.
const (
	// XDPOff attaches nothing; so does the empty string.
	XDPOff XDP = "off"
	// XDPAuto attaches where the driver runs the program itself.
	XDPAuto XDP = "auto"
	// XDPNative is XDPAuto that refuses uplinks whose driver doesn't.
	XDPNative XDP = "native"
	// XDPGeneric has the stack run it. It guards, and forwards nothing: it isn't told
	// whether a checksum is complete.
	XDPGeneric XDP = "generic"
)

// enabled reports whether any uplink may get the program.
func (x XDP) enabled() bool { return x != XDPOff && x != "" }

// forwards reports whether containers may get frames from the program.
func (x XDP) forwards() bool { return x == XDPAuto || x == XDPNative }

// ensureXDP gives the uplink the XDP program, or takes it away.
//
// A program of others stays: there is room for one, and theirs was there first.
func (u *uplinks) ensureXDP(device model.Uplink, before map[string]string) error {
	if !u.xdp.enabled() {
		return u.dropXDP(device.Index)
	}
	err := u.attachXDP(device)
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	if errors.Is(err, loader.ErrForeignXDP) || err != nil && u.xdp == XDPAuto {
		if _, told := before[device.Name]; !told {
			u.log.Info("uplink runs no XDP program", "device", device.Name, "err", err)
		}
		u.withoutXDP[device.Name] = reasonOf(err)
		return u.dropXDP(device.Index)
	}
	if err != nil {
		return fmt.Errorf("uplink %s: xdp %s: %w", device.Name, u.xdp, err)
	}
	fits, err := u.table.PutXDP(device.Index, device.MAC)
	if !fits && err == nil {
		u.withoutXDP[device.Name] = "its number falls together with that of a container's device"
	}
	return err
}

func (u *uplinks) attachXDP(device model.Uplink) error {
	if u.xdp.forwards() {
		if err := readyForXDP(device.Name); err != nil {
			return err
		}
	}
	return u.programs.attachXDP(device.Index, u.xdp.forwards())
}

// dropXDP detaches first: the program does nothing without its uplink's entry, but
// costs.
func (u *uplinks) dropXDP(index int) error {
	return errors.Join(u.programs.detachXDP(index), u.table.DeleteXDP(index))
}

func reasonOf(err error) string {
	switch {
	case errors.Is(err, loader.ErrForeignXDP):
		return "it runs another XDP program"
	case errors.Is(err, unix.EOPNOTSUPP):
		return "its driver has no XDP"
	case errors.Is(err, errHidesVLANs):
		return errHidesVLANs.Error()
	case errors.Is(err, errBond):
		return errBond.Error()
	}
	return err.Error()
}
