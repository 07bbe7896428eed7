// SPDX-License-Identifier: Apache-2.0

package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
	"golang.org/x/sys/unix"
)

// Announce tells the interface's network who has its addresses, once: a
// gratuitous ARP request for IPv4 (RFC 5227 section 3), an unsolicited neighbour
// advertisement with the override flag for IPv6 (RFC 4861 section 7.2.6). An
// address that is used again so replaces its former owner in the caches of its
// peers. The interface has to be up on both ends.
//
// A bridge gives that to each of its ports, and whoever sends it does all the work: some
// 6 µs for each. So it is send that does, which may be called when the Sandbox is closed.
func (s *Sandbox) Announce(i Interface) (send func() error, err error) {
	d, err := s.Find(i.Name)
	if err != nil {
		return nil, err
	}
	return announce(s.ns, d, i.IPv4.Addr(), i.IPv6.Addr())
}

// AnnounceServiceAddress tells the network of a bridge that the address of a service is there, as
// a Sandbox does its own. Who asked for it in vain a moment ago so needn't wait until it gives up,
// nor who remembers a former owner until that one doesn't answer.
func (h *Host) AnnounceServiceAddress(bridge string, a netip.Addr) (send func() error, err error) {
	l, err := find(h.nl, bridge)
	if err != nil {
		return nil, err
	}
	return announce(h.ns, device(l), a)
}

func announce(ns *netns.NS, d Device, addrs ...netip.Addr) (send func() error, err error) {
	var sends []func() error
	err = ns.Do(func() error {
		for _, a := range addrs {
			if !a.IsValid() {
				continue
			}
			open := announceNA
			if a.Is4() {
				open = announceARP
			}
			send, err := open(d, a)
			if err != nil {
				send = func() error { return err }
			}
			sends = append(sends, send)
		}
		return nil
	})
	return func() error {
		var errs []error
		for _, send := range sends {
			errs = append(errs, send())
		}
		return errors.Join(errs...)
	}, err
}

func announceARP(d Device, ip netip.Addr) (send func() error, err error) {
	proto := htons(unix.ETH_P_ARP)
	s, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("announce %s: packet socket: %w", ip, err)
	}
	return func() error {
		// The kernel waits for an RCU grace period, some 20 ms, before it lets go of a
		// packet socket; nobody else has to.
		defer func() { go unix.Close(s) }()
		to := &unix.SockaddrLinklayer{Protocol: proto, Ifindex: d.Index, Halen: 6, Addr: [8]byte{255, 255, 255, 255, 255, 255}}
		return sent(d, ip, unix.Sendto(s, gratuitousARP(d.MAC, ip), 0, to))
	}, nil
}

// sent says of an announcement what became of it. Nothing is to be said of an interface
// that is gone, or is down again.
func sent(d Device, ip netip.Addr, err error) error {
	if err == nil || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENETDOWN) {
		return nil
	}
	return fmt.Errorf("announce %s on %s: %w", ip, d.Name, err)
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

func announceNA(d Device, ip netip.Addr) (send func() error, err error) {
	s, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	if err != nil {
		return nil, fmt.Errorf("announce %s: raw socket: %w", ip, err)
	}
	// RFC 4861 has receivers drop anything with another hop limit.
	if err := unix.SetsockoptInt(s, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255); err != nil {
		return nil, errors.Join(fmt.Errorf("announce %s: hop limit: %w", ip, err), unix.Close(s))
	}
	if err := unix.Bind(s, &unix.SockaddrInet6{Addr: ip.As16()}); err != nil {
		return nil, errors.Join(fmt.Errorf("announce %s: bind: %w", ip, err), unix.Close(s))
	}
	return func() error {
		defer unix.Close(s)
		to := &unix.SockaddrInet6{Addr: netip.IPv6LinkLocalAllNodes().As16(), ZoneId: uint32(d.Index)}
		return sent(d, ip, unix.Sendto(s, unsolicitedNA(d.MAC, ip), 0, to))
	}, nil
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
