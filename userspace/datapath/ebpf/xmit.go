// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The family netdev of generic netlink (linux/netdev.h).
const (
	netdevGet         = 1
	netdevIfindex     = 1
	netdevXDPFeatures = 3
	// netdevNDOXmit says that XDP programs may redirect frames to the device.
	netdevNDOXmit = 1 << 2
)

// takesXDP reports whether the kernel redirects frames of XDP programs to the
// device. Before 6.3 it can't be asked, and tries with any veth.
func takesXDP(index int) (bool, error) {
	family, err := netlink.GenlFamilyGet("netdev")
	if errors.Is(err, unix.ENOENT) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("netlink family netdev: %w", err)
	}
	req := nl.NewNetlinkRequest(int(family.ID), 0)
	// A struct genlmsghdr. nl.Genlmsg leaves its reserved half to chance, which the
	// family refuses.
	head := [nl.SizeofGenlmsg]byte{netdevGet, 1}
	req.AddRawData(append(head[:], nl.NewRtAttr(netdevIfindex, nl.Uint32Attr(uint32(index))).Serialize()...))
	msgs, err := req.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil {
		return false, fmt.Errorf("xdp features of device %d: %w", index, err)
	}
	for _, m := range msgs {
		attrs, err := nl.ParseRouteAttr(m[nl.SizeofGenlmsg:])
		if err != nil {
			return false, fmt.Errorf("xdp features of device %d: %w", index, err)
		}
		for _, a := range attrs {
			if a.Attr.Type == netdevXDPFeatures && len(a.Value) == 8 {
				return binary.NativeEndian.Uint64(a.Value)&netdevNDOXmit != 0, nil
			}
		}
	}
	return false, fmt.Errorf("xdp features of device %d: not told", index)
}
