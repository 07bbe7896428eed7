// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink"
	rtnl "github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/nl"
)

// netdevChange is NETDEV_CMD_DEV_CHANGE_NTF of linux/netdev.h.
const netdevChange = 4

// frameNews is the kernel's report of devices that take frames of XDP programs no more, or
// again. The outer end of a veth is reported, in its own network namespace, in the moment in
// which the inner end's GRO is turned off or on (veth_set_features in the kernel). All
// methods do nothing on nil.
type frameNews struct {
	ns     *netns.NS
	events *rtnl.NetlinkSocket
}

// openFrameNews listens in the calling thread's network namespace. It returns nil where XDP
// forwards nothing, and on kernels before 6.3, which report nothing.
func openFrameNews(x XDP) (*frameNews, error) {
	if !x.forwards() {
		return nil, nil
	}
	group, err := netdevGroup()
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	events, err := rtnl.Subscribe(unix.NETLINK_GENERIC)
	if err != nil {
		return nil, fmt.Errorf("netlink family netdev: %w", err)
	}
	// The numbers of groups of generic netlink don't fit into an address.
	err = unix.SetsockoptInt(events.GetFd(), unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(group))
	if err != nil {
		events.Close()
		return nil, fmt.Errorf("netlink family netdev, group %d: %w", group, err)
	}
	ns, err := netns.Current()
	if err != nil {
		events.Close()
		return nil, err
	}
	return &frameNews{ns: ns, events: events}, nil
}

// netdevGroup is the number of the group that hears of changed devices.
func netdevGroup() (uint32, error) {
	family, err := netlink.GenlFamilyGet("netdev")
	if err != nil {
		return 0, fmt.Errorf("netlink family netdev: %w", err)
	}
	for _, g := range family.Groups {
		if g.Name == "mgmt" {
			return g.ID, nil
		}
	}
	return 0, fmt.Errorf("netlink family netdev: %w: group mgmt", unix.ENOENT)
}

// watch calls changed with the index of each device that is reported, and with 0 when
// reports were lost, from a goroutine of its own, until ctx ends. The channel is closed when
// that is over.
func (n *frameNews) watch(ctx context.Context, changed func(index int) error, fail func(error)) <-chan struct{} {
	over := make(chan struct{})
	if n == nil {
		close(over)
		return over
	}
	tell := func(index int) {
		if err := n.ns.Do(func() error { return changed(index) }); err != nil {
			fail(err)
		}
	}
	go func() {
		defer close(over)
		err := nl.Drain(ctx, n.events, func() { tell(0) }, func(messages []syscall.NetlinkMessage) {
			for _, m := range messages {
				if index := changedDevice(m.Data); index != 0 {
					tell(index)
				}
			}
		})
		if ctx.Err() == nil {
			fail(err)
		}
	}()
	return over
}

// changedDevice reads the device of a report; 0 if it is about something else.
func changedDevice(message []byte) int {
	if len(message) < rtnl.SizeofGenlmsg || message[0] != netdevChange {
		return 0
	}
	attrs, err := rtnl.ParseRouteAttr(message[rtnl.SizeofGenlmsg:])
	if err != nil {
		return 0
	}
	for _, a := range attrs {
		if a.Attr.Type == netdevIfindex && len(a.Value) == 4 {
			return int(binary.NativeEndian.Uint32(a.Value))
		}
	}
	return 0
}

func (n *frameNews) close() error {
	if n == nil {
		return nil
	}
	n.events.Close()
	return n.ns.Close()
}
