// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	rtnl "github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Address is one of a device, with the length of its subnet's prefix.
type Address struct {
	netip.Prefix
	// Scope is RT_SCOPE_..., Flags are IFA_F_....
	Scope uint8
	Flags uint32
}

// Addresses lists the addresses of all devices of the calling thread's network namespace, by the
// devices' indexes, each device's in the kernel's order. AddrList makes a kilobyte of garbage of
// each address, and a host with many services has ten thousand.
func Addresses() (map[int][]Address, error) {
	return consistent("addresses", func() (map[int][]Address, error) {
		all := make(map[int][]Address)
		err := dumpAddresses(func(m []byte) error {
			index, a, err := parseAddress(m)
			if err == nil && a.IsValid() {
				all[index] = append(all[index], a)
			}
			return err
		})
		return all, err
	})
}

// answerPatience bounds how long the kernel may take for a part of a dump.
const answerPatience = 60 // seconds

// dumpAddresses hands each message to f, which doesn't keep it.
func dumpAddresses(f func(message []byte) error) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("netlink socket: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: answerPatience}); err != nil {
		return fmt.Errorf("netlink socket: %w", err)
	}
	req := rtnl.NewNetlinkRequest(unix.RTM_GETADDR, unix.NLM_F_DUMP)
	req.AddData(rtnl.NewIfAddrmsg(netlink.FAMILY_ALL))
	kernel := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	if err := unix.Sendto(fd, req.Serialize(), 0, kernel); err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	buffer, interrupted := make([]byte, rtnl.RECEIVE_BUFFER_SIZE), false
	for {
		n, err := unix.Read(fd, buffer)
		if err != nil {
			return fmt.Errorf("answer: %w", err)
		}
		done, broken, err := messages(buffer[:n], f)
		interrupted = interrupted || broken
		switch {
		case err != nil:
			return err
		case done && interrupted:
			return netlink.ErrDumpInterrupted
		case done:
			return nil
		}
	}
}

// messages hands what is in a part of a dump to f, and reports whether it is the last one, and
// whether the list changed meanwhile.
func messages(part []byte, f func(message []byte) error) (done, interrupted bool, err error) {
	for len(part) >= unix.NLMSG_HDRLEN {
		size, kind := int(binary.NativeEndian.Uint32(part)), binary.NativeEndian.Uint16(part[4:])
		if size < unix.NLMSG_HDRLEN || size > len(part) {
			return false, false, fmt.Errorf("message of %d bytes, of %d", size, len(part))
		}
		m := part[unix.NLMSG_HDRLEN:size]
		interrupted = interrupted || binary.NativeEndian.Uint16(part[6:])&unix.NLM_F_DUMP_INTR != 0
		switch kind {
		case unix.NLMSG_DONE, unix.NLMSG_ERROR:
			if len(m) >= 4 && binary.NativeEndian.Uint32(m) != 0 {
				return true, interrupted, unix.Errno(-int32(binary.NativeEndian.Uint32(m)))
			}
			return true, interrupted, nil
		case unix.RTM_NEWADDR:
			if err := f(m); err != nil {
				return false, interrupted, err
			}
		}
		part = part[min(aligned(size), len(part)):]
	}
	return false, interrupted, nil
}

// aligned is where what follows begins.
func aligned(size int) int { return (size + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }

// parseAddress reads a struct ifaddrmsg with its attributes. The prefix is invalid for a message
// without an address.
func parseAddress(m []byte) (index int, a Address, err error) {
	if len(m) < unix.SizeofIfAddrmsg {
		return 0, a, fmt.Errorf("message of %d bytes", len(m))
	}
	bits, index := int(m[1]), int(binary.NativeEndian.Uint32(m[4:]))
	a.Flags, a.Scope = uint32(m[2]), m[3]
	var local, addr netip.Addr
	for attrs := m[unix.SizeofIfAddrmsg:]; len(attrs) >= unix.SizeofRtAttr; {
		size := int(binary.NativeEndian.Uint16(attrs))
		if size < unix.SizeofRtAttr || size > len(attrs) {
			return 0, a, fmt.Errorf("attribute of %d bytes, of %d", size, len(attrs))
		}
		value := attrs[unix.SizeofRtAttr:size]
		switch binary.NativeEndian.Uint16(attrs[2:]) {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(value)
		case unix.IFA_ADDRESS:
			addr, _ = netip.AddrFromSlice(value)
		case unix.IFA_FLAGS:
			// All of them: the message itself has room for eight.
			if len(value) == 4 {
				a.Flags = binary.NativeEndian.Uint32(value)
			}
		}
		attrs = attrs[min(aligned(size), len(attrs)):]
	}
	switch {
	case !local.IsValid() || local == addr:
		local = addr
	default:
		// addr is that of who is at the other end.
		bits = local.BitLen()
	}
	if local.IsValid() {
		a.Prefix = netip.PrefixFrom(local, bits)
	}
	return index, a, nil
}
