// SPDX-License-Identifier: Apache-2.0

package link

import (
	"errors"
	"fmt"
	"math"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Addresses of services stand on the bridge of their network, alone and without a subnet,
// so that the kernel answers ARP, ND and echo for them. EnsureBridge leaves them alone.

// serviceAddress is such an address. Nothing that the host sends by itself is to have it as
// its source: a link's address isn't chosen for what goes further in IPv4, nor a deprecated
// one in IPv6.
func serviceAddress(a netip.Addr) *netlink.Addr {
	addr := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a, a.BitLen())), Flags: unix.IFA_F_NOPREFIXROUTE}
	if a.Is4() {
		addr.Scope = unix.RT_SCOPE_LINK
	} else {
		addr.Flags |= unix.IFA_F_NODAD
		addr.ValidLft = math.MaxUint32
	}
	return addr
}

// AddServiceAddress puts the address of a service on a bridge; one that is there already is
// no error.
func (h *Host) AddServiceAddress(bridge string, a netip.Addr) error {
	l, err := find(h.nl, bridge)
	if err != nil {
		return err
	}
	return h.addServiceAddress(l, a)
}

func (h *Host) addServiceAddress(l netlink.Link, a netip.Addr) error {
	if err := h.nl.AddrAdd(l, serviceAddress(a)); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("device %s: add address %s: %w", l.Attrs().Name, a, err)
	}
	return nil
}

// RemoveServiceAddress takes the address of a service off a bridge; one that is gone, or
// whose bridge is, is no error.
func (h *Host) RemoveServiceAddress(bridge string, a netip.Addr) error {
	l, err := find(h.nl, bridge)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return h.removeServiceAddress(l, a)
}

func (h *Host) removeServiceAddress(l netlink.Link, a netip.Addr) error {
	if err := h.nl.AddrDel(l, serviceAddress(a)); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("device %s: remove address %s: %w", l.Attrs().Name, a, err)
	}
	return nil
}

// SetServiceAddresses makes the services' addresses on a bridge be these. Those of a bridge
// that Fairway didn't make are added to only: others may have such ones there.
func (h *Host) SetServiceAddresses(bridge, networkID string, want []netip.Addr) error {
	l, err := find(h.nl, bridge)
	if err != nil {
		return err
	}
	addrs, err := h.addresses()
	if err != nil {
		return err
	}
	wanted := make(map[netip.Addr]bool, len(want))
	for _, a := range want {
		wanted[a] = true
	}
	own := device(l).Owner == networkID
	there := make(map[netip.Addr]bool)
	for _, a := range addrs[l.Attrs().Index] {
		if !a.IsSingleIP() {
			continue
		}
		there[a.Addr()] = true
		if own && !wanted[a.Addr()] {
			if err := h.removeServiceAddress(l, a.Addr()); err != nil {
				return err
			}
		}
	}
	for _, a := range want {
		if there[a] {
			continue
		}
		if err := h.addServiceAddress(l, a); err != nil {
			return err
		}
	}
	return nil
}
