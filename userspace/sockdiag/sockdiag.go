// SPDX-License-Identifier: Apache-2.0

// Package sockdiag lists the TCP and UDP sockets of a network namespace that are connected, with
// what programs keep with them, and ends them: sock_diag(7).
//
// Everything here works in the calling thread's namespace. Package netlink lists sockets, too,
// but neither with what programs keep nor ends others than those of TCP over IPv4.
package sockdiag

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/model"
)

// ErrUnsupported is returned where the kernel ends no sockets for others (CONFIG_INET_DIAG_DESTROY).
var ErrUnsupported = errors.New("the kernel ends no sockets for others")

// Socket is one that is connected.
type Socket struct {
	Proto  model.Proto
	Remote netip.AddrPort
	// Cookie is the number by which programs know it (SO_COOKIE, bpf_get_socket_cookie).
	Cookie uint64
	// Kept is what the programs' map has for it, nil if that is nothing.
	Kept []byte

	family uint8
	// id is struct inet_diag_sockid as the kernel said it, with its cookie.
	id [sockIDSize]byte
}

const (
	sockIDSize = 48
	// requestSize is that of struct inet_diag_req_v2, messageSize that of inet_diag_msg.
	requestSize = 8 + sockIDSize
	messageSize = 4 + sockIDSize + 20

	// linux/inet_diag.h and linux/sock_diag.h
	requestStorages = 2 // INET_DIAG_REQ_SK_BPF_STORAGES
	requestMap      = 1 // SK_DIAG_BPF_STORAGE_REQ_MAP_FD
	storages        = 20
	storage         = 1
	storageValue    = 3

	// States of sockets (net/tcp_states.h): all but those that have no peer, or no socket any more.
	synSent, synReceived, timeWait, closed, listens, newSynReceived = 2, 3, 6, 7, 10, 12
	connected                                                       = 0x1fff &^ (1<<synReceived | 1<<timeWait | 1<<closed | 1<<listens | 1<<newSynReceived)
)

// TCP returns the sockets with which programs keep something in a map of the type SK_STORAGE.
// Of other protocols' sockets the kernel doesn't tell it. What could be listed comes with an error.
func TCP(kept *ebpf.Map) ([]Socket, error) { return connectedBy(model.TCP, kept) }

// UDP returns all sockets that are connected, as TCP does.
func UDP() ([]Socket, error) { return connectedBy(model.UDP, nil) }

func connectedBy(proto model.Proto, kept *ebpf.Map) ([]Socket, error) {
	var all []Socket
	var errs []error
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		some, err := list(family, proto, kept)
		if err != nil {
			errs = append(errs, fmt.Errorf("list %s sockets: %w", proto, err))
		}
		all = append(all, some...)
	}
	return all, errors.Join(errs...)
}

// list leaves out, as they come, the sockets that nothing is kept with in the map, where there is
// one: a namespace may have many.
func list(family uint8, proto model.Proto, kept *ebpf.Map) ([]Socket, error) {
	req := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
	req.AddRawData(request(family, proto, connected, [sockIDSize]byte{}))
	if kept != nil {
		attr := nl.NewRtAttr(requestStorages|unix.NLA_F_NESTED, nil)
		attr.AddRtAttr(requestMap, nl.Uint32Attr(uint32(kept.FD())))
		req.AddRawData(attr.Serialize())
	}
	var all []Socket
	var bad error
	err := req.ExecuteIter(unix.NETLINK_INET_DIAG, nl.SOCK_DIAG_BY_FAMILY, func(msg []byte) bool {
		s, err := parse(proto, msg)
		if err == nil && (kept == nil || s.Kept != nil) {
			all = append(all, s)
		}
		bad = err
		return err == nil
	})
	// A socket that came or went meanwhile isn't missed: it says so of any.
	if errors.Is(err, netlink.ErrDumpInterrupted) {
		err = nil
	}
	return all, errors.Join(err, bad)
}

func request(family uint8, proto model.Proto, states uint32, id [sockIDSize]byte) []byte {
	b := make([]byte, 0, requestSize)
	b = append(b, family, uint8(proto), 0, 0)
	b = binary.NativeEndian.AppendUint32(b, states)
	return append(b, id[:]...)
}

func parse(proto model.Proto, msg []byte) (Socket, error) {
	if len(msg) < messageSize {
		return Socket{}, fmt.Errorf("message about a socket has %d bytes, want %d", len(msg), messageSize)
	}
	s := Socket{Proto: proto, family: msg[0]}
	copy(s.id[:], msg[4:])
	// Ports of source and destination, then both addresses, device and cookie.
	port, addr := binary.BigEndian.Uint16(s.id[2:]), s.id[20:36]
	if s.family == unix.AF_INET {
		addr = addr[:4]
	}
	remote, _ := netip.AddrFromSlice(addr)
	s.Remote = netip.AddrPortFrom(remote.Unmap(), port)
	s.Cookie = uint64(binary.NativeEndian.Uint32(s.id[40:])) | uint64(binary.NativeEndian.Uint32(s.id[44:]))<<32
	var err error
	s.Kept, err = valueIn(msg[messageSize:])
	return s, err
}

// valueIn finds what the map has for the socket among the attributes of a message.
func valueIn(attrs []byte) ([]byte, error) {
	for _, want := range []uint16{storages, storage, storageValue} {
		all, err := nl.ParseRouteAttr(attrs)
		if err != nil {
			return nil, fmt.Errorf("message about a socket: %w", err)
		}
		attrs = nil
		for _, a := range all {
			if a.Attr.Type&nl.NLA_TYPE_MASK == want {
				attrs = a.Value
			}
		}
		if attrs == nil {
			return nil, nil
		}
	}
	return attrs, nil
}

// End closes the socket: its process is told that the connection was aborted, the peer of a TCP
// connection gets a reset. One that is gone is not an error.
func (s Socket) End() error {
	req := nl.NewNetlinkRequest(nl.SOCK_DESTROY, unix.NLM_F_ACK)
	req.AddRawData(request(s.family, s.Proto, 0, s.id))
	_, err := req.Execute(unix.NETLINK_INET_DIAG, 0)
	switch {
	case err == nil, errors.Is(err, unix.ENOENT), errors.Is(err, unix.ESTALE):
		return nil
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("%s socket to %s: %w", s.Proto, s.Remote, ErrUnsupported)
	}
	return fmt.Errorf("end %s socket to %s: %w", s.Proto, s.Remote, err)
}
