// SPDX-License-Identifier: Apache-2.0

package pktgen

import (
	"encoding/binary"
	"net/netip"
)

const (
	ethernetLen, ip4Len, ip6Len = 14, 20, 40
	udpLen, tcpLen, payloadLen  = 8, 20, 20

	etherTypeIP4, etherTypeIP6 = 0x0800, 0x86dd
	protoTCP, protoUDP         = 6, 17
	hopLimit                   = 64
	flagSYN                    = 0x02
	window                     = 65535
)

// template is a frame in which everything is zero that varies from flow to flow,
// and checksums.
type template struct {
	frame      []byte
	ipSum      uint32 // of the IPv4 header
	payloadSum uint32 // of the transport header, what it carries, and the pseudo header
}

func newTemplate(c *Config) template {
	l4, proto := transport(c)
	ip := networkHeader(&c.Flows, proto, len(l4))
	t := template{ipSum: sum(ip), payloadSum: sum(l4)}
	if c.Flows.Src.Addr().Is6() {
		// The words of the addresses that don't vary.
		t.payloadSum += sum(ip[8:])
	}
	t.payloadSum += sum([]byte{0, proto}) + sum(binary.BigEndian.AppendUint16(nil, uint16(len(l4))))
	t.frame = append(append([]byte{}, c.DstMAC...), c.SrcMAC...)
	t.frame = binary.BigEndian.AppendUint16(t.frame, etherType(c.Flows.Src.Addr()))
	t.frame = append(append(t.frame, ip...), l4...)
	return t
}

func etherType(addr netip.Addr) uint16 {
	if addr.Is4() {
		return etherTypeIP4
	}
	return etherTypeIP6
}

func transport(c *Config) (header []byte, proto byte) {
	if c.Protocol == SYN {
		tcp := make([]byte, tcpLen)
		tcp[12], tcp[13] = tcpLen/4<<4, flagSYN
		binary.BigEndian.PutUint16(tcp[14:], window)
		return tcp, protoTCP
	}
	udp := make([]byte, udpLen+payloadLen)
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	binary.NativeEndian.PutUint64(udp[udpLen:], c.Mark)
	return udp, protoUDP
}

func networkHeader(f *Flows, proto byte, payload int) []byte {
	if f.Src.Addr().Is4() {
		ip := make([]byte, ip4Len)
		ip[0], ip[8], ip[9] = 4<<4|ip4Len/4, hopLimit, proto
		binary.BigEndian.PutUint16(ip[2:], uint16(ip4Len+payload))
		ip[6] = 0x40 // don't fragment: the identification may be the same in all
		return ip
	}
	ip := make([]byte, ip6Len)
	ip[0], ip[6], ip[7] = 6<<4, proto, hopLimit
	binary.BigEndian.PutUint16(ip[4:], uint16(payload))
	src, dst := f.Src.Addr().As16(), f.Dst.Addr().As16()
	copy(ip[8:20], src[:12])
	copy(ip[24:36], dst[:12])
	return ip
}

// lastWord is where an address is counted upwards.
func lastWord(addr netip.Addr) uint32 {
	raw := addr.As16()
	return binary.BigEndian.Uint32(raw[12:])
}

// sum adds 16-bit words as they lie in memory (RFC 1071), unfolded. A template has
// too few of them to overflow.
func sum(b []byte) (total uint32) {
	for ; len(b) >= 2; b = b[2:] {
		total += uint32(binary.NativeEndian.Uint16(b))
	}
	return total
}
