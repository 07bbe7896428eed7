// SPDX-License-Identifier: Apache-2.0

package link

import (
	"errors"
	"fmt"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Veth is the pair of devices of an endpoint.
type Veth struct {
	// EndpointID is the owner in the host end's alias.
	EndpointID string
	// HostName is the host end's name, PeerName the one that the other end has
	// in the sandbox until Sandbox.Configure, which may be the final one; no
	// device there may have it.
	HostName, PeerName string
	// MAC is of the end in the sandbox.
	MAC model.MAC
	MTU int
	// Bridge is the name of the device that the host end is enslaved to.
	Bridge string
}

// CreateVeth makes the pair: the host end here, enslaved to the bridge, the
// other end in the sandbox, both down. A leftover of the same endpoint is
// replaced; another device of that name is an error that wraps ErrForeign.
func (h *Host) CreateVeth(v Veth, sb *Sandbox) (Device, error) {
	bridge, err := find(h.nl, v.Bridge)
	if err != nil {
		return Device{}, err
	}
	index := bridge.Attrs().Index
	err = h.addVeth(v, index, sb)
	if errors.Is(err, unix.EEXIST) {
		if err := h.clearLeftover(v, sb); err != nil {
			return Device{}, err
		}
		err = h.addVeth(v, index, sb)
	}
	if err != nil {
		return Device{}, fmt.Errorf("veth %s: create: %w", v.HostName, err)
	}
	d, err := h.finishVeth(v)
	if err != nil {
		return Device{}, errors.Join(err, h.removeVeth(v.HostName))
	}
	return d, nil
}

// DeleteVeth deletes the endpoint's pair by its host end. One that is gone is
// not an error.
func (h *Host) DeleteVeth(hostName, endpointID string) error {
	if l, err := find(h.nl, hostName); err == nil && unmarkedVeth(l) {
		return h.removeVeth(hostName)
	}
	return h.Delete(hostName, endpointID)
}

// unmarkedVeth reports whether a veth with the name of an endpoint is one that
// an earlier daemon was killed over before it could mark it: the kernel takes no
// alias with a new device, and only marked ones are set up.
func unmarkedVeth(l netlink.Link) bool {
	d := device(l)
	return d.Owner == "" && d.Kind == "veth" && !d.Up
}

func (h *Host) addVeth(v Veth, bridge int, sb *Sandbox) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = v.HostName
	attrs.MTU = v.MTU
	attrs.MasterIndex = bridge
	veth := netlink.NewVeth(attrs)
	veth.PeerName = v.PeerName
	veth.PeerHardwareAddr = v.MAC.HardwareAddr()
	veth.PeerMTU = uint32(v.MTU)
	// The inner end never shows up among the host's devices, where it could be
	// taken for an uplink.
	veth.PeerNamespace = netlink.NsFd(sb.ns.Fd())
	return h.nl.LinkAdd(veth)
}

func (h *Host) finishVeth(v Veth) (Device, error) {
	l, err := find(h.nl, v.HostName)
	if err != nil {
		return Device{}, err
	}
	if err := h.nl.LinkSetAlias(l, AliasPrefix+v.EndpointID); err != nil {
		return Device{}, fmt.Errorf("veth %s: set alias: %w", v.HostName, err)
	}
	settings := []sysctl{
		{"ipv4", v.HostName, "rp_filter", "2"},
		// A port of a bridge has no business with addresses: no link-local
		// address, no multicast reports of its own on the network.
		{"ipv6", v.HostName, "disable_ipv6", "1"},
	}
	if err := h.ns.Do(func() error { return h.conf.setAll(settings) }); err != nil {
		return Device{}, err
	}
	d := device(l)
	d.Owner = v.EndpointID
	return d, nil
}

// clearLeftover removes what an earlier attempt for the same endpoint left.
func (h *Host) clearLeftover(v Veth, sb *Sandbox) error {
	l, err := find(h.nl, v.HostName)
	if errors.Is(err, ErrNotFound) {
		// The name that is taken is the one in the sandbox.
		return fmt.Errorf("veth %s: %s exists in namespace %s: %w", v.HostName, v.PeerName, sb.ns.Path(), ErrForeign)
	}
	if err != nil {
		return err
	}
	if device(l).Owner != v.EndpointID && !unmarkedVeth(l) {
		return fmt.Errorf("device %s (alias %q): %w", v.HostName, l.Attrs().Alias, ErrForeign)
	}
	return h.removeVeth(v.HostName)
}

func (h *Host) removeVeth(name string) error {
	l, err := find(h.nl, name)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := h.nl.LinkDel(l); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("veth %s: delete: %w", name, err)
	}
	return nil
}
