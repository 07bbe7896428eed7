// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/userspace/datapath"
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
func (d *Datapath) ensureXDP(u datapath.Uplink, before map[string]string) error {
	if !d.xdp.enabled() {
		return d.dropXDP(u.Index)
	}
	err := d.attachXDP(u)
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	if errors.Is(err, loader.ErrForeignXDP) || err != nil && d.xdp == XDPAuto {
		if _, told := before[u.Name]; !told {
			d.log.Info("uplink runs no XDP program", "device", u.Name, "err", err)
		}
		d.state.withoutXDP[u.Name] = reasonOf(err)
		return d.dropXDP(u.Index)
	}
	if err != nil {
		return fmt.Errorf("uplink %s: xdp %s: %w", u.Name, d.xdp, err)
	}
	fits, err := d.tables.host.PutXDP(u.Index, u.MAC)
	if !fits && err == nil {
		d.state.withoutXDP[u.Name] = "its number falls together with that of a container's device"
	}
	return err
}

func (d *Datapath) attachXDP(u datapath.Uplink) error {
	if d.xdp.forwards() {
		if err := readyForXDP(u.Name); err != nil {
			return err
		}
	}
	return d.loader.AttachXDP(u.Index, d.xdp.forwards())
}

// dropXDP detaches first: the program does nothing without its uplink's entry, but
// costs.
func (d *Datapath) dropXDP(index int) error {
	return errors.Join(d.loader.DetachXDP(index), d.tables.host.DeleteXDP(index))
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
