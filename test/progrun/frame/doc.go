// SPDX-License-Identifier: Apache-2.0

// Package frame builds Ethernet frames for tests, and checks them, with gopacket
// and nothing of the code under test.
//
//	in := frame.Between(macA, macB).IP(client, host).TCP(40000, 8080, "S")
//	out := in.MACs(macC, macD).To(container, 80).Hop()
//
// A Frame is a value: every method returns a changed copy, so what is expected
// is written as the difference to what was sent.
//
// Be aware:
//   - lengths and checksums are always right; break them in the bytes;
//   - one Frame is one whole datagram, see Fragments for cutting it.
package frame

import (
	"net/netip"

	"github.com/fairway-project/fairway/userspace/model"
)

// transport is what follows the IP header.
type transport int

const (
	tcp transport = iota
	udp
	sctp
	echoRequest
	echoReply
	icmp
	protocol
	arp
)

// Frame is an Ethernet frame in the making.
type Frame struct {
	dstMAC, srcMAC model.MAC
	src, dst       netip.Addr
	ttl, tos       uint8
	id             uint16
	dontFragment   bool
	noChecksum     bool
	options        []byte
	extensions     []byte
	transport      transport
	// srcPort is the identifier in both kinds of echo.
	srcPort, dstPort uint16
	flags            string
	seq, ack         uint32
	icmpType, code   uint8
	word             uint32
	proto            uint8
	arp              ARP
	payload          []byte
}

// Between returns a frame from one MAC to another: TTL 64, eight bytes of payload.
func Between(src, dst model.MAC) Frame {
	return Frame{srcMAC: src, dstMAC: dst, ttl: 64, id: 0x1234, payload: []byte("fairway!")}
}

// MACs sets the addresses of the Ethernet header.
func (f Frame) MACs(src, dst model.MAC) Frame {
	f.srcMAC, f.dstMAC = src, dst
	return f
}

// IP sets the addresses, and with them the family.
func (f Frame) IP(src, dst netip.Addr) Frame {
	f.src, f.dst = src, dst
	return f
}

// From replaces the source address and port.
func (f Frame) From(a netip.Addr, port uint16) Frame {
	f.src, f.srcPort = a, port
	return f
}

// To replaces the destination address and port.
func (f Frame) To(a netip.Addr, port uint16) Frame {
	f.dst, f.dstPort = a, port
	return f
}

// TTL sets the hop limit.
func (f Frame) TTL(n uint8) Frame {
	f.ttl = n
	return f
}

// Hop is what a router makes of the TTL.
func (f Frame) Hop() Frame {
	f.ttl--
	return f
}

// TOS sets the type of service or traffic class.
func (f Frame) TOS(n uint8) Frame {
	f.tos = n
	return f
}

// ID sets the IPv4 identification.
func (f Frame) ID(n uint16) Frame {
	f.id = n
	return f
}

// DontFragment sets DF.
func (f Frame) DontFragment() Frame {
	f.dontFragment = true
	return f
}

// Options sets IPv4 options: kind, length and data of each, padded by the caller.
func (f Frame) Options(b ...byte) Frame {
	f.options = b
	return f
}

// Extensions puts IPv6 extension headers of these kinds, eight bytes of padding
// each, before the transport header.
func (f Frame) Extensions(kinds ...byte) Frame {
	f.extensions = kinds
	return f
}

// Payload sets the length of the payload in bytes.
func (f Frame) Payload(n int) Frame {
	f.payload = make([]byte, n)
	for i := range f.payload {
		f.payload[i] = byte(i)
	}
	return f
}

// NoChecksum leaves out UDP's.
func (f Frame) NoChecksum() Frame {
	f.noChecksum = true
	return f
}

// IsIPv4 reports the family.
func (f Frame) IsIPv4() bool { return f.src.Is4() }

// Src returns the source address and port.
func (f Frame) Src() netip.AddrPort { return netip.AddrPortFrom(f.src, f.srcPort) }

// Dst returns the destination address and port.
func (f Frame) Dst() netip.AddrPort { return netip.AddrPortFrom(f.dst, f.dstPort) }

// Content sets the payload's bytes.
func (f Frame) Content(b ...byte) Frame {
	f.payload = b
	return f
}

// Datagram returns the frame without its Ethernet header, at most n bytes of it:
// what an ICMP error quotes.
func (f Frame) Datagram(n int) []byte {
	b := f.Bytes()[etherLen:]
	return b[:min(n, len(b))]
}

// Protocol returns the number in the IP header, after any extensions.
func (f Frame) Protocol() uint8 { return uint8(f.ipProto()) }
