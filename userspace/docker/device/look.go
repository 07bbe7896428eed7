// SPDX-License-Identifier: Apache-2.0

// Package device looks at the bridges and veths that a Docker Engine made in the
// daemon's network namespace. It changes nothing.
//
// Docker's API doesn't say which veth belongs to which endpoint. The kernel lets
// us look at the other end in whatever namespace that is, without opening the
// namespace (IFLA_TARGET_NETNSID, Linux 4.16), and its MAC address is the
// endpoint's.
//
// Be aware: everything works in the namespace of the calling thread, which has to
// be the same for all calls.
package device

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"

	"github.com/vishvananda/netlink"
	rtnl "github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/nl"
)

// Bridge is a bridge device, Docker's or not.
type Bridge struct {
	Index int
	MAC   model.MAC
	// Addresses with their prefix lengths.
	Addresses []netip.Prefix
}

// Veth is the host's end of a container's veth, as far as its name says.
type Veth struct {
	Name   string
	Index  int
	Bridge int
	// peer and namespace are where the other end is; namespace is negative while
	// that is in the host's own.
	peer, namespace int
}

// Devices are those that there are at one time.
type Devices struct {
	// Bridges by name.
	Bridges map[string]Bridge
	// Veths are ports of some bridge, by index.
	Veths map[int]Veth
}

// HasBridge reports whether there was a bridge with this index.
func (d Devices) HasBridge(index int) bool {
	for _, b := range d.Bridges {
		if b.Index == index {
			return true
		}
	}
	return false
}

// dockerVeth is how Docker calls a host-side device: "veth" and seven hexadecimal
// digits. What an operator added to a bridge by hand isn't ours to guard.
var dockerVeth = regexp.MustCompile(`^veth[0-9a-f]{7}$`)

// Look lists the devices.
func Look() (Devices, error) {
	d := Devices{Bridges: make(map[string]Bridge), Veths: make(map[int]Veth)}
	links, err := nl.LinkList(nil)
	if err != nil {
		return d, err
	}
	addrs, err := nl.AddrList(nil, nil, netlink.FAMILY_ALL)
	if err != nil {
		return d, err
	}
	for _, l := range links {
		a := l.Attrs()
		switch l.Type() {
		case "bridge":
			b := bridgeOf(l)
			b.Addresses = addressesOf(addrs, a.Index)
			d.Bridges[a.Name] = b
		case "veth":
			if v, is := vethOf(l); is {
				d.Veths[a.Index] = v
			}
		}
	}
	return d, nil
}

// At looks at one device: it is false for one that is gone, or isn't a host-side one
// of Docker's that is a port of a bridge.
func At(index int) (v Veth, is bool, err error) {
	l, err := netlink.LinkByIndex(index)
	if _, gone := errors.AsType[netlink.LinkNotFoundError](err); gone || errors.Is(err, unix.ENODEV) {
		return v, false, nil
	}
	if err != nil {
		return v, false, fmt.Errorf("device %d: %w", index, err)
	}
	v, is = vethOf(l)
	return v, is, nil
}

// bridgeOf returns a bridge without its addresses.
func bridgeOf(l netlink.Link) Bridge {
	b := Bridge{Index: l.Attrs().Index}
	copy(b.MAC[:], l.Attrs().HardwareAddr)
	return b
}

// vethOf returns the device as a host-side one of Docker's that is a port of a bridge.
func vethOf(l netlink.Link) (v Veth, is bool) {
	a := l.Attrs()
	if l.Type() != "veth" || a.MasterIndex == 0 || !dockerVeth.MatchString(a.Name) {
		return v, false
	}
	return Veth{Name: a.Name, Index: a.Index, Bridge: a.MasterIndex, peer: a.ParentIndex, namespace: a.NetNsID}, true
}

func addressesOf(all []netlink.Addr, index int) []netip.Prefix {
	var out []netip.Prefix
	for _, a := range all {
		if a.LinkIndex != index || a.IPNet == nil {
			continue
		}
		ip, ok := netip.AddrFromSlice(a.IP)
		if !ok {
			continue
		}
		ones, _ := a.Mask.Size()
		out = append(out, netip.PrefixFrom(ip.Unmap(), ones))
	}
	return out
}

// errElsewhere is a veth whose other end hasn't gone to its container.
var errElsewhere = errors.New("its other end is not in a container")

// PeerMAC returns the MAC address of the device's other end in its container.
// That end may go away or to its container at any time, so that an error is
// nothing unusual.
func (v Veth) PeerMAC() (model.MAC, error) {
	var mac model.MAC
	if v.namespace < 0 {
		return mac, fmt.Errorf("device %s: %w", v.Name, errElsewhere)
	}
	req := rtnl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_ACK)
	msg := rtnl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(v.peer)
	req.AddData(msg)
	req.AddData(rtnl.NewRtAttr(unix.IFLA_TARGET_NETNSID, rtnl.Uint32Attr(uint32(v.namespace))))
	answers, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil {
		return mac, fmt.Errorf("device %s: other end: %w", v.Name, err)
	}
	if len(answers) == 0 {
		return mac, fmt.Errorf("device %s: no answer about the other end", v.Name)
	}
	l, err := netlink.LinkDeserialize(nil, answers[0])
	if err != nil {
		return mac, fmt.Errorf("device %s: other end: %w", v.Name, err)
	}
	copy(mac[:], l.Attrs().HardwareAddr)
	return mac, nil
}
