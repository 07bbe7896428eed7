// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"fmt"
	"net"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/netns"
)

var (
	errInnerDown    = errors.New("its inner end is down")
	errTakesNothing = errors.New("the kernel sends it no frames")
)

// enableNAPI turns on GRO at the inner end, which is what gives a veth NAPI
// (kernel commit d3256efd8e8b, Linux 5.13).
func enableNAPI(e datapath.Endpoint) error {
	outer, err := netlink.LinkByIndex(e.HostIndex)
	if err != nil {
		return fmt.Errorf("device %s: %w", e.HostIf, err)
	}
	a := outer.Attrs()
	if outer.Type() != "veth" {
		return fmt.Errorf("device %s: is a %s, not a veth", e.HostIf, outer.Type())
	}
	inside := func(f func() error) error { return f() }
	if a.NetNsID >= 0 {
		path := e.Netns
		if path == "" {
			if path, err = namespaceOf(a.NetNsID); err != nil {
				return fmt.Errorf("device %s: %w", e.HostIf, err)
			}
		}
		inside = func(f func() error) error { return netns.Do(path, f) }
	}
	if err := inside(func() error { return enableGRO(a.ParentIndex) }); err != nil {
		return err
	}
	return openToFrames(e, func() error {
		return inside(func() error { return toggleGRO(a.ParentIndex) })
	})
}

// openToFrames makes sure that the kernel (6.3 and later) sends frames to the outer
// end. It finds out whether it may when that end is set up, or when GRO changes at
// an inner end that is up; of GRO turned on in between, it hears nothing.
func openToFrames(e datapath.Endpoint, toggle func() error) error {
	// After GRO: whoever sets it up from now on makes the kernel look.
	outer, err := netlink.LinkByIndex(e.HostIndex)
	if err != nil {
		return fmt.Errorf("device %s: %w", e.HostIf, err)
	}
	if outer.Attrs().Flags&net.FlagUp == 0 {
		return nil
	}
	takes, err := takesXDP(e.HostIndex)
	if takes || err != nil {
		return err
	}
	if err := toggle(); err != nil {
		return err
	}
	if takes, err = takesXDP(e.HostIndex); err == nil && !takes {
		err = fmt.Errorf("device %s: %w", e.HostIf, errTakesNothing)
	}
	return err
}

// enableGRO works in the thread's namespace.
func enableGRO(index int) error {
	dev, err := netlink.LinkByIndex(index)
	if err != nil {
		return fmt.Errorf("device %d: %w", index, err)
	}
	return setGRO(dev, true)
}

// toggleGRO makes the kernel look at GRO again, in the thread's namespace.
func toggleGRO(index int) error {
	dev, err := netlink.LinkByIndex(index)
	if err != nil {
		return fmt.Errorf("device %d: %w", index, err)
	}
	if dev.Attrs().Flags&net.FlagUp == 0 {
		return fmt.Errorf("device %s: %w", dev.Attrs().Name, errInnerDown)
	}
	return setGRO(dev, false, true)
}

func setGRO(dev netlink.Link, values ...bool) error {
	tool, err := ethtool.NewEthtool()
	if err != nil {
		return fmt.Errorf("ethtool: %w", err)
	}
	defer tool.Close()
	name := dev.Attrs().Name
	for _, on := range values {
		if err := tool.Change(name, map[string]bool{"rx-gro": on}); err != nil {
			return fmt.Errorf("device %s: rx-gro %t: %w", name, on, err)
		}
	}
	return nil
}
