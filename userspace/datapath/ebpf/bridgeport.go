// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	rtnl "github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/datapath"
)

// configureBridgePort tells the bridge which MAC is behind the endpoint's device,
// instead of letting it learn. Most packets never pass the bridge, so what it had
// learned would age out, and it would flood what is left to it.
func configureBridgePort(e datapath.Endpoint) error {
	err := tellPort(e.HostIndex)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("device %s: not a port of a bridge", e.HostIf)
	}
	if err != nil {
		return fmt.Errorf("bridge port %s: learning and unicast flooding off: %w", e.HostIf, err)
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

// tellPort turns learning and unicast flooding of a port off, in one message: for each the
// bridge looks at all its ports.
func tellPort(index int) error {
	req := rtnl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	msg := rtnl.NewIfInfomsg(unix.AF_BRIDGE)
	msg.Index = int32(index)
	req.AddData(msg)
	port := rtnl.NewRtAttr(unix.IFLA_PROTINFO|unix.NLA_F_NESTED, nil)
	port.AddRtAttr(rtnl.IFLA_BRPORT_LEARNING, []byte{0})
	port.AddRtAttr(rtnl.IFLA_BRPORT_UNICAST_FLOOD, []byte{0})
	req.AddData(port)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}
