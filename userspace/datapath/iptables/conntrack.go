// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Attributes of linux/netfilter/nfnetlink_conntrack.h that are read here.
const (
	ctaTupleOrig  = 1
	ctaTupleReply = 2
	ctaStatus     = 3
	ctaProtoInfo  = 4
	ctaTimeout    = 7
	ctaID         = 12
	ctaZone       = 18

	ctaTupleIP, ctaTupleProto                  = 1, 2
	ctaIPv4Src, ctaIPv4Dst                     = 1, 2
	ctaIPv6Src, ctaIPv6Dst                     = 3, 4
	ctaProtoNum, ctaSrcPort, ctaDstPort        = 1, 2, 3
	ctaICMPID, ctaICMPv6ID                     = 4, 7
	ctaProtoInfoTCP, ctaTCPState               = 1, 1
	statusSeenReply, statusAssured             = 1 << 1, 1 << 2
	attrTypeMask                        uint16 = 0x3fff
)

// tuple is one direction of a connection. Ports are the echo identifier for ICMP.
type tuple struct {
	proto    uint8
	src, dst netip.AddrPort
}

// connection is one entry of the kernel's table.
type connection struct {
	orig, reply tuple
	status      uint32
	tcpState    uint8
	timeout     time.Duration
	// identity holds the attributes that name the entry when it is deleted.
	identity []byte
}

// connections lists the entries in the namespace of the thread, of both families: the kernel
// walks through one table for the whole machine, whatever it is asked for.
// It is written out because the library's list lacks the status and ICMP.
func connections() ([]connection, error) {
	const attempts = 20
	var err error
	for range attempts {
		var msgs [][]byte
		msgs, err = ctRequest(unix.AF_UNSPEC, nl.IPCTNL_MSG_CT_GET, unix.NLM_F_DUMP, nil)
		if err == nil {
			return parseConnections(msgs)
		}
		if !errors.Is(err, netlink.ErrDumpInterrupted) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return nil, fmt.Errorf("list connections: %w", err)
}

// family is that of the connection's addresses.
func (c *connection) family() Family {
	if c.orig.src.Addr().Is4() {
		return IPv4
	}
	return IPv6
}

// remove deletes one entry; one that has gone already is not an error.
func (c *connection) remove() error {
	family := uint8(unix.AF_INET)
	if c.family() == IPv6 {
		family = unix.AF_INET6
	}
	_, err := ctRequest(family, nl.IPCTNL_MSG_CT_DELETE, unix.NLM_F_ACK, c.identity)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("delete connection %s to %s: %w", c.orig.src, c.orig.dst, err)
	}
	return nil
}

// ctRequest sends one message of the conntrack subsystem.
func ctRequest(family uint8, operation, flags int, attrs []byte) ([][]byte, error) {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|operation, flags)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: family, Version: nl.NFNETLINK_V0})
	req.AddRawData(attrs)
	return req.Execute(unix.NETLINK_NETFILTER, 0)
}

func parseConnections(msgs [][]byte) ([]connection, error) {
	out := make([]connection, 0, len(msgs))
	for _, m := range msgs {
		if len(m) < nl.SizeofNfgenmsg {
			return nil, fmt.Errorf("conntrack message of %d bytes", len(m))
		}
		c, err := parseConnection(m[nl.SizeofNfgenmsg:])
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func parseConnection(b []byte) (connection, error) {
	var c connection
	err := eachAttr(b, func(kind uint16, whole, value []byte) {
		switch kind {
		case ctaTupleOrig:
			c.orig = parseTuple(value)
			c.identity = append(c.identity, whole...)
		case ctaID, ctaZone:
			c.identity = append(c.identity, whole...)
		case ctaTupleReply:
			c.reply = parseTuple(value)
		case ctaStatus:
			c.status = be32(value)
		case ctaTimeout:
			c.timeout = time.Duration(be32(value)) * time.Second
		case ctaProtoInfo:
			_ = eachAttr(find(value, ctaProtoInfoTCP), func(kind uint16, _, value []byte) {
				if kind == ctaTCPState && len(value) == 1 {
					c.tcpState = value[0]
				}
			})
		}
	})
	return c, err
}

func parseTuple(b []byte) tuple {
	var t tuple
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
			t.proto = value[0]
		case len(value) != 2:
		case kind == ctaSrcPort:
			sport = binary.BigEndian.Uint16(value)
		case kind == ctaDstPort:
			dport = binary.BigEndian.Uint16(value)
		case kind == ctaICMPID || kind == ctaICMPv6ID:
			sport, dport = binary.BigEndian.Uint16(value), binary.BigEndian.Uint16(value)
		}
	})
	t.src, t.dst = netip.AddrPortFrom(src, sport), netip.AddrPortFrom(dst, dport)
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
