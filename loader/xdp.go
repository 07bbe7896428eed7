// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/maps/object"
)

// UplinkXDP is the program that uplinks run before the kernel makes packets of
// frames, in either of its forms. It is attached by AttachXDP, not by Attach.
const UplinkXDP Program = object.DatapathProgUplinkXdp

// xdpPrefix begins the names of pinned XDP links.
const xdpPrefix = "xdp-"

// ErrForeignXDP is returned for devices that run an XDP program of others: there
// is room for one only.
var ErrForeignXDP = errors.New("another XDP program is attached")

// AttachXDP attaches UplinkXDP to the device with this ifindex, in the driver if
// native, else in the stack's generic hook. Doing it again changes nothing; from
// one way to the other it is detached in between.
func (l *Loader) AttachXDP(index int, native bool) error {
	path := l.xdpPath(index)
	if l.Switching() && exists(path) {
		return nil
	}
	if done, err := l.updateXDP(index, native); done || err != nil {
		return err
	}
	if err := unpin(path); err != nil {
		return err
	}
	lnk, err := link.AttachXDP(link.XDPOptions{Interface: index, Program: l.xdpProgram(native), Flags: xdpFlags(native)})
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("attach %s to device %d: %w", UplinkXDP, index, ErrForeignXDP)
	}
	if errors.Is(err, unix.EINVAL) && isGone(index) {
		err = unix.ENODEV
	}
	if err != nil {
		return explain(fmt.Errorf("attach %s to device %d: %w", UplinkXDP, index, err))
	}
	defer lnk.Close()
	if err := os.MkdirAll(l.linksDir(), 0o700); err != nil {
		return fmt.Errorf("directory of links: %w", err)
	}
	if err := lnk.Pin(path); err != nil {
		return fmt.Errorf("pin link %s: %w", path, err)
	}
	return nil
}

// DetachXDP removes UplinkXDP from the device with this ifindex. Neither has to be
// there.
func (l *Loader) DetachXDP(index int) error {
	if err := unpin(l.xdpPath(index)); err != nil {
		return fmt.Errorf("detach %s from device %d: %w", UplinkXDP, index, err)
	}
	return nil
}

// updateXDP makes a link that is there run this process's program. It reports
// false where a new link is needed.
func (l *Loader) updateXDP(index int, native bool) (done bool, err error) {
	pinned, err := link.LoadPinnedLink(l.xdpPath(index), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("pinned link %s: %w", l.xdpPath(index), err)
	}
	defer pinned.Close()
	info, err := pinned.Info()
	if err != nil {
		return false, fmt.Errorf("link info: %w", err)
	}
	x := info.XDP()
	if x == nil || int(x.Ifindex) != index {
		return false, nil
	}
	is, err := runsXDP(index)
	if err != nil || is != modeOf(native) {
		return false, err
	}
	err = updateHook(pinned, l.xdpProgram(native))
	if errors.Is(err, unix.ENOLINK) {
		return false, nil
	}
	return err == nil, err
}

// xdpAttachments lists the devices with a pinned link, and forgets those that are
// gone.
func (l *Loader) xdpAttachments() ([]Attachment, error) {
	all, err := names(l.linksDir())
	if err != nil {
		return nil, err
	}
	var found []Attachment
	for _, name := range all {
		index, ok := splitXDPName(name)
		if !ok {
			continue
		}
		mode, err := l.xdpMode(index)
		if err != nil {
			return nil, err
		}
		if mode == xdpNone {
			if err := unpin(l.xdpPath(index)); err != nil {
				return nil, err
			}
			continue
		}
		found = append(found, Attachment{Index: index, Program: UplinkXDP, How: string(mode)})
	}
	return found, nil
}

// xdpMode is how the pinned link's program runs on its device.
func (l *Loader) xdpMode(index int) (xdpMode, error) {
	pinned, err := link.LoadPinnedLink(l.xdpPath(index), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return xdpNone, nil
	}
	if err != nil {
		return xdpNone, fmt.Errorf("pinned link %s: %w", l.xdpPath(index), err)
	}
	defer pinned.Close()
	info, err := pinned.Info()
	if err != nil {
		return xdpNone, fmt.Errorf("link info: %w", err)
	}
	if x := info.XDP(); x == nil || int(x.Ifindex) != index {
		return xdpNone, nil
	}
	return runsXDP(index)
}

// xdpMode is how a device runs XDP programs, in the words of Attachment.How.
type xdpMode string

const (
	xdpNone    xdpMode = ""
	xdpNative  xdpMode = "xdp native"
	xdpGeneric xdpMode = "xdp generic"
)

func modeOf(native bool) xdpMode {
	if native {
		return xdpNative
	}
	return xdpGeneric
}

func (l *Loader) xdpProgram(native bool) *ebpf.Program {
	if native {
		return l.objects.UplinkXdp
	}
	return l.objects.UplinkXdpGeneric
}

func xdpFlags(native bool) link.XDPAttachFlags {
	if native {
		return link.XDPDriverMode
	}
	return link.XDPGenericMode
}

// runsXDP asks the device, since a link doesn't tell its mode.
func runsXDP(index int) (xdpMode, error) {
	dev, err := netlink.LinkByIndex(index)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return xdpNone, nil
	}
	if err != nil {
		return xdpNone, fmt.Errorf("device %d: %w", index, err)
	}
	x := dev.Attrs().Xdp
	if x == nil || !x.Attached {
		return xdpNone, nil
	}
	if x.AttachMode == nl.XDP_ATTACHED_SKB {
		return xdpGeneric, nil
	}
	return xdpNative, nil
}

func (l *Loader) xdpPath(index int) string {
	return filepath.Join(l.linksDir(), xdpPrefix+strconv.Itoa(index))
}

func splitXDPName(name string) (int, bool) {
	number, ok := strings.CutPrefix(name, xdpPrefix)
	index, err := strconv.Atoi(number)
	return index, ok && err == nil && index > 0
}

// isGone tells what XDP links don't: for them it is an invalid argument.
func isGone(index int) bool {
	_, err := netlink.LinkByIndex(index)
	return errors.As(err, new(netlink.LinkNotFoundError))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
