// SPDX-License-Identifier: Apache-2.0

package link

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Bridge is what the bridge device of a network should be like.
type Bridge struct {
	Name string
	// NetworkID is the owner in the alias.
	NetworkID string
	// MAC stays the same whatever is enslaved. Required.
	MAC model.MAC
	MTU int
	// IPv4 and IPv6 are the gateway's addresses with the subnets' prefix
	// lengths. The zero Prefix leaves the address off (isolated gateway mode,
	// inhibit_ipv4); without IPv6, the family is disabled on the device.
	IPv4, IPv6 netip.Prefix
}

// Has reports whether the gateway's addresses are among those of a device.
func (b Bridge) Has(addrs []netip.Prefix) bool {
	for _, p := range []netip.Prefix{b.IPv4, b.IPv6} {
		if p.IsValid() && !slices.Contains(addrs, p) {
			return false
		}
	}
	return true
}

// EnsureBridge makes the bridge device of a network, up even while nothing is
// enslaved, or brings the one that is there in line. A bridge that Fairway did
// not make is adopted as Docker adopts one for com.docker.network.bridge.name:
// it is set up and given the addresses that it lacks, nothing else is changed,
// and DeleteBridge leaves it. Device.Owner is empty then.
func (h *Host) EnsureBridge(b Bridge) (Device, error) {
	l, err := find(h.nl, b.Name)
	if errors.Is(err, ErrNotFound) {
		l, err = h.createBridge(b)
	}
	if err != nil {
		return Device{}, err
	}
	if l.Type() != "bridge" {
		return Device{}, fmt.Errorf("device %s: exists and is a %s, not a bridge: %w", b.Name, l.Type(), ErrForeign)
	}
	if unmarkedBridge(l, b) {
		if err := h.nl.LinkSetAlias(l, AliasPrefix+b.NetworkID); err != nil {
			return Device{}, fmt.Errorf("bridge %s: set alias: %w", b.Name, err)
		}
		if l, err = find(h.nl, b.Name); err != nil {
			return Device{}, err
		}
	}
	switch device(l).Owner {
	case b.NetworkID:
		err = h.alignBridge(l, b)
	case "":
		err = h.adoptBridge(l, b)
	default:
		err = fmt.Errorf("bridge %s: belongs to network %s of another daemon, or of a state that is lost: fairway uninstall removes what is left of that", b.Name, device(l).Owner)
	}
	if err != nil {
		return Device{}, err
	}
	return h.Find(b.Name)
}

// unmarkedBridge reports whether an earlier daemon was killed before it could
// mark the bridge as Fairway's: the kernel takes no alias with a new device.
func unmarkedBridge(l netlink.Link, b Bridge) bool {
	d := device(l)
	return d.Owner == "" && d.MAC == b.MAC && !d.Up
}

// DeleteBridge deletes the network's bridge. One that is gone is not an error,
// and neither is one that was adopted, which stays as it is.
func (h *Host) DeleteBridge(name, networkID string) error {
	err := h.Delete(name, networkID)
	if errors.Is(err, ErrForeign) {
		return nil
	}
	return err
}

func (h *Host) createBridge(b Bridge) (netlink.Link, error) {
	no := false
	attrs := netlink.NewLinkAttrs()
	attrs.Name = b.Name
	attrs.HardwareAddr = b.MAC.HardwareAddr()
	attrs.MTU = b.MTU
	// STP and VLAN filtering are off by default; without STP ports forward at
	// once whatever the forward delay is. Without snooping, multicast reaches
	// every member also where nobody queries, as on a plain switch.
	err := h.nl.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &no})
	if err != nil {
		return nil, fmt.Errorf("bridge %s: create: %w", b.Name, err)
	}
	l, err := find(h.nl, b.Name)
	if err != nil {
		return nil, err
	}
	if err := h.nl.LinkSetAlias(l, AliasPrefix+b.NetworkID); err != nil {
		return nil, errors.Join(fmt.Errorf("bridge %s: set alias: %w", b.Name, err), h.nl.LinkDel(l))
	}
	return find(h.nl, b.Name)
}

func (h *Host) alignBridge(l netlink.Link, b Bridge) error {
	if err := h.alignHardware(l, b); err != nil {
		return err
	}
	if err := h.setBridgeSysctls(b); err != nil {
		return err
	}
	if err := h.removeOtherAddresses(l, b); err != nil {
		return err
	}
	if err := h.addAddresses(l, b); err != nil {
		return err
	}
	if err := h.nl.LinkSetUp(l); err != nil {
		return fmt.Errorf("bridge %s: set up: %w", b.Name, err)
	}
	return nil
}

func (h *Host) adoptBridge(l netlink.Link, b Bridge) error {
	if err := h.addAddresses(l, b); err != nil {
		return err
	}
	if err := h.nl.LinkSetUp(l); err != nil {
		return fmt.Errorf("bridge %s: set up: %w", b.Name, err)
	}
	return nil
}

func (h *Host) alignHardware(l netlink.Link, b Bridge) error {
	if device(l).MAC != b.MAC {
		if err := h.nl.LinkSetHardwareAddr(l, b.MAC.HardwareAddr()); err != nil {
			return fmt.Errorf("bridge %s: set mac address %s: %w", b.Name, b.MAC, err)
		}
	}
	if b.MTU != 0 && l.Attrs().MTU != b.MTU {
		if err := h.nl.LinkSetMTU(l, b.MTU); err != nil {
			return fmt.Errorf("bridge %s: set mtu %d: %w", b.Name, b.MTU, err)
		}
	}
	return nil
}

func (h *Host) setBridgeSysctls(b Bridge) error {
	settings := []sysctl{
		// Loose: the larger of this and conf.all counts, so 0 could not undo a
		// strict check of the distribution's, which drops what the programs
		// leave to the stack half-way.
		{"ipv4", b.Name, "rp_filter", "2"},
		{"ipv6", b.Name, "accept_ra", "0"},
		// An empty bridge has no carrier: duplicate address detection would
		// never end and the gateway never answer.
		{"ipv6", b.Name, "accept_dad", "0"},
		{"ipv6", b.Name, "disable_ipv6", boolean(!b.IPv6.IsValid())},
	}
	return h.ns.Do(func() error { return h.conf.setAll(settings) })
}

func (h *Host) removeOtherAddresses(l netlink.Link, b Bridge) error {
	addrs, err := h.addresses()
	if err != nil {
		return err
	}
	for _, a := range addrs[l.Attrs().Index] {
		p := a.Prefix
		// Those without a subnet are services' (SetServiceAddresses).
		if p == b.IPv4 || p == b.IPv6 || p.IsSingleIP() || p.Addr().IsLinkLocalUnicast() && p.Addr().Is6() {
			continue
		}
		if err := h.nl.AddrDel(l, &netlink.Addr{IPNet: ipNet(p)}); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("bridge %s: remove address %s: %w", b.Name, p, err)
		}
	}
	return nil
}

func (h *Host) addAddresses(l netlink.Link, b Bridge) error {
	for _, p := range []netip.Prefix{b.IPv4, b.IPv6} {
		if err := addAddress(h.nl, l, p); err != nil {
			return err
		}
	}
	return nil
}

// addAddress adds p, without duplicate address detection, unless it is there or
// invalid.
func addAddress(h *netlink.Handle, l netlink.Link, p netip.Prefix) error {
	if !p.IsValid() {
		return nil
	}
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	if err := h.AddrAdd(l, a); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("device %s: add address %s: %w", l.Attrs().Name, p, err)
	}
	return nil
}

func boolean(b bool) string {
	if b {
		return strconv.Itoa(1)
	}
	return strconv.Itoa(0)
}
