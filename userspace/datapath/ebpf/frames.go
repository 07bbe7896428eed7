// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"fmt"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/netns"
)

// takesFrames makes the container's end of the veth accept what XDP sends to it,
// and reports whether it does. Without, such frames would be lost, so the XDP
// program leaves the endpoint's packets to the others.
func (d *Datapath) takesFrames(e datapath.Endpoint) bool {
	if !d.xdp.forwards() {
		return false
	}
	if err := enableNAPI(e); err != nil {
		d.log.Info("endpoint gets no frames from XDP", "endpoint", e.ID, "device", e.HostIf, "err", err)
		return false
	}
	return true
}

// enableNAPI turns on GRO at the inner end, which is what gives a veth NAPI
// (kernel commit d3256efd8e8b, Linux 5.13).
func enableNAPI(e datapath.Endpoint) error {
	outer, err := netlink.LinkByIndex(e.HostIndex)
	if err != nil {
		return fmt.Errorf("device %s: %w", e.HostIf, err)
	}
	veth, ok := outer.(*netlink.Veth)
	if !ok {
		return fmt.Errorf("device %s: is a %s, not a veth", e.HostIf, outer.Type())
	}
	inner := veth.Attrs().ParentIndex
	if veth.Attrs().NetNsID < 0 {
		return enableGRO(inner)
	}
	if e.Netns == "" {
		return fmt.Errorf("device %s: the other end's namespace isn't known", e.HostIf)
	}
	return netns.Do(e.Netns, func() error { return enableGRO(inner) })
}

// enableGRO works in the thread's namespace.
func enableGRO(index int) error {
	dev, err := netlink.LinkByIndex(index)
	if err != nil {
		return fmt.Errorf("device %d: %w", index, err)
	}
	tool, err := ethtool.NewEthtool()
	if err != nil {
		return fmt.Errorf("ethtool: %w", err)
	}
	defer tool.Close()
	if err := tool.Change(dev.Attrs().Name, map[string]bool{"rx-gro": true}); err != nil {
		return fmt.Errorf("device %s: rx-gro: %w", dev.Attrs().Name, err)
	}
	return nil
}
