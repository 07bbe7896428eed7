// SPDX-License-Identifier: Apache-2.0

package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/fairway-project/fairway/userspace/model"
	"golang.org/x/sys/unix"
)

// Announce tells the interface's network who has its addresses, once: a
// gratuitous ARP request for IPv4 (RFC 5227 section 3), an unsolicited neighbour
// advertisement with the override flag for IPv6 (RFC 4861 section 7.2.6). An
// address that is used again so replaces its former owner in the caches of its
// peers. The interface has to be up on both ends.
func (s *Sandbox) Announce(i Interface) error {
	d, err := s.Find(i.Name)
	if err != nil {
		return err
	}
	return s.ns.Do(func() error {
		var errs []error
		if i.IPv4.IsValid() {
			errs = append(errs, announceARP(d, i.IPv4.Addr()))
		}
		if i.IPv6.IsValid() {
			errs = append(errs, announceNA(d, i.IPv6.Addr()))
		}
		return errors.Join(errs...)
	})
}

func announceARP(d Device, ip netip.Addr) error {
	proto := htons(unix.ETH_P_ARP)
	s, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("announce %s: packet socket: %w", ip, err)
	}
	// The kernel waits for an RCU grace period, some 20 ms, before it lets go of a
	// packet socket; nobody else has to.
	defer func() { go unix.Close(s) }()
	to := &unix.SockaddrLinklayer{Protocol: proto, Ifindex: d.Index, Halen: 6, Addr: [8]byte{255, 255, 255, 255, 255, 255}}
	if err := unix.Sendto(s, gratuitousARP(d.MAC, ip), 0, to); err != nil {
		return fmt.Errorf("announce %s on %s: %w", ip, d.Name, err)
	}
	return nil
}

// gratuitousARP returns an ARP request (RFC 826) from and for ip.
func gratuitousARP(mac model.MAC, ip netip.Addr) []byte {
	p := binary.BigEndian.AppendUint16(nil, unix.ARPHRD_ETHER)
	p = binary.BigEndian.AppendUint16(p, unix.ETH_P_IP)
	p = append(p, 6, 4)
	p = binary.BigEndian.AppendUint16(p, 1)
	p = append(p, mac[:]...)
	p = append(p, ip.AsSlice()...)
	p = append(p, make([]byte, 6)...)
	return append(p, ip.AsSlice()...)
}

func announceNA(d Device, ip netip.Addr) error {
	s, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	if err != nil {
		return fmt.Errorf("announce %s: raw socket: %w", ip, err)
	}
	defer unix.Close(s)
	// RFC 4861 has receivers drop anything with another hop limit.
	if err := unix.SetsockoptInt(s, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255); err != nil {
		return fmt.Errorf("announce %s: hop limit: %w", ip, err)
	}
	if err := unix.Bind(s, &unix.SockaddrInet6{Addr: ip.As16()}); err != nil {
		return fmt.Errorf("announce %s: bind: %w", ip, err)
	}
	to := &unix.SockaddrInet6{Addr: netip.IPv6LinkLocalAllNodes().As16(), ZoneId: uint32(d.Index)}
	if err := unix.Sendto(s, unsolicitedNA(d.MAC, ip), 0, to); err != nil {
		return fmt.Errorf("announce %s on %s: %w", ip, d.Name, err)
	}
	return nil
}

// unsolicitedNA returns a neighbour advertisement; the kernel fills the checksum in.
func unsolicitedNA(mac model.MAC, ip netip.Addr) []byte {
	const neighbourAdvertisement, override, targetLinkLayerAddress = 136, 0x20, 2
	p := []byte{neighbourAdvertisement, 0, 0, 0, override, 0, 0, 0}
	p = append(p, ip.AsSlice()...)
	p = append(p, targetLinkLayerAddress, 1)
	return append(p, mac[:]...)
}

func htons(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}
