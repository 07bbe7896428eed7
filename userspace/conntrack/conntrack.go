// SPDX-License-Identifier: Apache-2.0

// Package conntrack reads and removes connections that netfilter tracks. The netlink library's
// own lists lack the status, ICMP's identifiers and what names an entry.
package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Attributes of linux/netfilter/nfnetlink_conntrack.h.
const (
	ctaTupleOrig  = 1
	ctaTupleReply = 2
	ctaStatus     = 3
	ctaProtoInfo  = 4
	ctaTimeout    = 7
	ctaID         = 12
	ctaZone       = 18
	ctaFilter     = 25

	ctaTupleIP, ctaTupleProto                      = 1, 2
	ctaIPv4Src, ctaIPv4Dst                         = 1, 2
	ctaIPv6Src, ctaIPv6Dst                         = 3, 4
	ctaProtoNum, ctaSrcPort, ctaDstPort            = 1, 2, 3
	ctaICMPID, ctaICMPv6ID                         = 4, 7
	ctaProtoInfoTCP, ctaTCPState                   = 1, 1
	statusSeenReply, statusAssured                 = 1 << 1, 1 << 2
	ctaFilterOrigFlags, ctaFilterReplyFlags        = 1, 2
	ctaFilterIPSrc                                 = 1 << 0
	attrTypeMask                            uint16 = 0x3fff
)

// TCPEstablished is the first state after the handshake (linux/netfilter/nf_conntrack_tcp.h).
const TCPEstablished = 3

// Tuple is one direction of a connection. Ports are the echo identifier for ICMP.
type Tuple struct {
	Proto    uint8
	Src, Dst netip.AddrPort
}

// Connection is one entry of the kernel's table.
type Connection struct {
	Orig, Reply Tuple
	TCPState    uint8
	Timeout     time.Duration
	status      uint32
	// identity holds the attributes that name the entry when it is removed.
	identity []byte
}

// Is6 tells the family of the connection's addresses.
func (c *Connection) Is6() bool { return c.Orig.Src.Addr().Is6() }

// SeenReply reports whether there were packets in both directions.
func (c *Connection) SeenReply() bool { return c.status&statusSeenReply != 0 }

// Assured reports whether the kernel keeps the entry when its table is full.
func (c *Connection) Assured() bool { return c.status&statusAssured != 0 }

// Led reports whether the destination was translated.
func (c *Connection) Led() bool { return c.Orig.Dst != c.Reply.Src }

// Touches reports whether addr is an end of the connection, before or after translation.
func (c *Connection) Touches(addr netip.Addr) bool {
	return c.Orig.Src.Addr() == addr || c.Orig.Dst.Addr() == addr ||
		c.Reply.Src.Addr() == addr || c.Reply.Dst.Addr() == addr
}

// Table is that of one network namespace.
type Table struct {
	socket *nl.SocketHandle
}

// Open opens the table of the thread's network namespace.
func Open() (*Table, error) {
	s, err := nl.Subscribe(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("conntrack: %w", err)
	}
	if err := errors.Join(s.SetSendTimeout(&nl.SocketTimeoutTv), s.SetReceiveTimeout(&nl.SocketTimeoutTv)); err != nil {
		s.Close()
		return nil, fmt.Errorf("conntrack: %w", err)
	}
	return &Table{&nl.SocketHandle{Socket: s}}, nil
}

// Close does nothing on nil.
func (t *Table) Close() {
	if t != nil {
		t.socket.Close()
	}
}

// List returns the entries that match, of both families: the kernel walks through one table for
// the whole machine, whatever it is asked for. What doesn't match takes no memory.
func (t *Table) List(match func(*Connection) bool) ([]Connection, error) {
	return t.listSome(unix.AF_UNSPEC, nil, match)
}

// listSome has the kernel leave out what filter doesn't want, if it can.
func (t *Table) listSome(family uint8, filter []byte, match func(*Connection) bool) ([]Connection, error) {
	const attempts = 20
	var err error
	for range attempts {
		var found []Connection
		if found, err = t.list(family, filter, match); err == nil {
			return found, nil
		}
		if !errors.Is(err, netlink.ErrDumpInterrupted) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return nil, fmt.Errorf("list connections: %w", err)
}

func (t *Table) list(family uint8, filter []byte, match func(*Connection) bool) (found []Connection, err error) {
	var wrong error
	var c Connection
	req := t.request(family, nl.IPCTNL_MSG_CT_GET, unix.NLM_F_DUMP)
	req.AddRawData(filter)
	err = req.ExecuteIter(unix.NETLINK_NETFILTER, 0, func(msg []byte) bool {
		if wrong = c.parse(msg); wrong != nil {
			return false
		}
		if match(&c) {
			kept := c
			kept.identity = slices.Clone(c.identity)
			found = append(found, kept)
		}
		return true
	})
	return found, errors.Join(err, wrong)
}

// ListOf returns the connections that these addresses began or answer. For a few of IPv4 the
// kernel looks itself, which costs a quarter of copying all entries; one before Linux 5.8 doesn't know
// the filter and tells of all. For IPv6 kernels have had it the wrong way round, up to 6.18 at
// least, and told of all but what was asked for.
func (t *Table) ListOf(addrs []netip.Addr) ([]Connection, error) {
	const few = 4
	set := make(map[netip.Addr]bool, len(addrs))
	var v4 []netip.Addr
	for _, a := range addrs {
		if set[a] = true; a.Is4() {
			v4 = append(v4, a)
		}
	}
	match := func(c *Connection) bool { return set[c.Orig.Src.Addr()] || set[c.Reply.Src.Addr()] }
	if len(v4) > few {
		return t.List(match)
	}
	var all []Connection
	var errs []error
	look := func(family uint8, filter []byte) {
		found, err := t.listSome(family, filter, match)
		all, errs = append(all, found...), append(errs, err)
	}
	for _, a := range v4 {
		look(unix.AF_INET, from4(a, ctaTupleOrig, ctaFilterOrigFlags))
		look(unix.AF_INET, from4(a, ctaTupleReply, ctaFilterReplyFlags))
	}
	if len(v4) < len(addrs) {
		look(unix.AF_INET6, nil)
	}
	return all, errors.Join(errs...)
}

// from4 is the filter for entries whose tuple of a direction begins at an address.
func from4(a netip.Addr, tuple, flags int) []byte {
	direction := nl.NewRtAttr(tuple|unix.NLA_F_NESTED, nil)
	direction.AddRtAttr(ctaTupleIP|unix.NLA_F_NESTED, nil).AddRtAttr(ctaIPv4Src, a.AsSlice())
	filter := nl.NewRtAttr(ctaFilter|unix.NLA_F_NESTED, nil)
	filter.AddRtAttr(flags, nl.Uint32Attr(ctaFilterIPSrc))
	return append(direction.Serialize(), filter.Serialize()...)
}

func familyOf(a netip.Addr) uint8 {
	if a.Is6() {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// Remove removes an entry; one that has gone already is no error.
func (t *Table) Remove(c *Connection) error { return t.remove(c.Orig, c.identity) }

// RemoveTuple removes the entry, in the zone that is the default, whose original direction this
// is; one that isn't there is no error.
func (t *Table) RemoveTuple(orig Tuple) error { return t.remove(orig, orig.attribute().Serialize()) }

func (t *Table) remove(orig Tuple, name []byte) error {
	req := t.request(familyOf(orig.Src.Addr()), nl.IPCTNL_MSG_CT_DELETE, unix.NLM_F_ACK)
	req.AddRawData(name)
	if _, err := req.Execute(unix.NETLINK_NETFILTER, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove connection %s to %s: %w", orig.Src, orig.Dst, err)
	}
	return nil
}

// request is a message of the conntrack subsystem.
func (t *Table) request(family uint8, operation, flags int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|operation, flags)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_NETFILTER: t.socket}
	req.AddData(&nl.Nfgenmsg{NfgenFamily: family, Version: nl.NFNETLINK_V0})
	return req
}

// attribute names an entry of a protocol with ports.
func (t Tuple) attribute() *nl.RtAttr {
	src, dst := ctaIPv4Src, ctaIPv4Dst
	if t.Src.Addr().Is6() {
		src, dst = ctaIPv6Src, ctaIPv6Dst
	}
	tuple := nl.NewRtAttr(ctaTupleOrig|unix.NLA_F_NESTED, nil)
	ip := tuple.AddRtAttr(ctaTupleIP|unix.NLA_F_NESTED, nil)
	ip.AddRtAttr(src, t.Src.Addr().AsSlice())
	ip.AddRtAttr(dst, t.Dst.Addr().AsSlice())
	proto := tuple.AddRtAttr(ctaTupleProto|unix.NLA_F_NESTED, nil)
	proto.AddRtAttr(ctaProtoNum, []byte{t.Proto})
	proto.AddRtAttr(ctaSrcPort, binary.BigEndian.AppendUint16(nil, t.Src.Port()))
	proto.AddRtAttr(ctaDstPort, binary.BigEndian.AppendUint16(nil, t.Dst.Port()))
	return tuple
}

// parse overwrites c, and uses its memory again.
func (c *Connection) parse(msg []byte) error {
	*c = Connection{identity: c.identity[:0]}
	if len(msg) < nl.SizeofNfgenmsg {
		return fmt.Errorf("conntrack message of %d bytes", len(msg))
	}
	return eachAttr(msg[nl.SizeofNfgenmsg:], func(kind uint16, whole, value []byte) {
		switch kind {
		case ctaTupleOrig:
			c.Orig = parseTuple(value)
			c.identity = append(c.identity, whole...)
		case ctaID, ctaZone:
			c.identity = append(c.identity, whole...)
		case ctaTupleReply:
			c.Reply = parseTuple(value)
		case ctaStatus:
			c.status = be32(value)
		case ctaTimeout:
			c.Timeout = time.Duration(be32(value)) * time.Second
		case ctaProtoInfo:
			_ = eachAttr(find(value, ctaProtoInfoTCP), func(kind uint16, _, value []byte) {
				if kind == ctaTCPState && len(value) == 1 {
					c.TCPState = value[0]
				}
			})
		}
	})
}

func parseTuple(b []byte) Tuple {
	var t Tuple
	var src, dst netip.Addr
	var sport, dport uint16
	_ = eachAttr(find(b, ctaTupleIP), func(kind uint16, _, value []byte) {
		switch kind {
		case ctaIPv4Src, ctaIPv6Src:
			src, _ = netip.AddrFromSlice(value)
		case ctaIPv4Dst, ctaIPv6Dst:
			dst, _ = netip.AddrFromSlice(value)
		}
	})
	_ = eachAttr(find(b, ctaTupleProto), func(kind uint16, _, value []byte) {
		switch {
		case kind == ctaProtoNum && len(value) == 1:
			t.Proto = value[0]
		case len(value) != 2:
		case kind == ctaSrcPort:
			sport = binary.BigEndian.Uint16(value)
		case kind == ctaDstPort:
			dport = binary.BigEndian.Uint16(value)
		case kind == ctaICMPID || kind == ctaICMPv6ID:
			sport, dport = binary.BigEndian.Uint16(value), binary.BigEndian.Uint16(value)
		}
	})
	t.Src, t.Dst = netip.AddrPortFrom(src, sport), netip.AddrPortFrom(dst, dport)
	return t
}

// eachAttr walks netlink attributes; whole includes header and padding.
func eachAttr(b []byte, visit func(kind uint16, whole, value []byte)) error {
	for len(b) >= unix.SizeofNlAttr {
		size := int(nl.NativeEndian().Uint16(b))
		if size < unix.SizeofNlAttr || size > len(b) {
			return fmt.Errorf("netlink attribute of %d bytes in %d", size, len(b))
		}
		padded := min((size+3)&^3, len(b))
		visit(nl.NativeEndian().Uint16(b[2:])&attrTypeMask, b[:padded], b[unix.SizeofNlAttr:size])
		b = b[padded:]
	}
	return nil
}

// find returns the value of the first attribute of a kind, nil if there is none.
func find(b []byte, kind uint16) (found []byte) {
	_ = eachAttr(b, func(k uint16, _, value []byte) {
		if k == kind && found == nil {
			found = value
		}
	})
	return found
}

func be32(b []byte) uint32 {
	if len(b) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}
