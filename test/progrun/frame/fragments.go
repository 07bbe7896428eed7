// SPDX-License-Identifier: Apache-2.0

package frame

import (
	"encoding/binary"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// Fragments cuts the frame's datagram into pieces with size bytes of payload
// each, a multiple of 8, as RFC 791 and RFC 8200 say.
func (f Frame) Fragments(size int) [][]byte {
	whole := f.Bytes()
	p, err := Parse(whole)
	must(err)
	body := whole[p.Offset:]
	var pieces [][]byte
	for off := 0; off < len(body); off += size {
		end := min(off+size, len(body))
		pieces = append(pieces, f.fragment(body[off:end], off, end < len(body)))
	}
	return pieces
}

func (f Frame) fragment(part []byte, off int, more bool) []byte {
	ip, _ := f.network()
	if v4, ok := ip.(*layers.IPv4); ok {
		v4.FragOffset = uint16(off / 8)
		if more {
			v4.Flags |= layers.IPv4MoreFragments
		}
		return serialize(f.ether(etherType(f)), v4, gopacket.Payload(part))
	}
	v6 := ip.(*layers.IPv6)
	header := make([]byte, 8)
	header[0] = byte(f.ipProto())
	word := uint16(off)
	if more {
		word |= 1
	}
	binary.BigEndian.PutUint16(header[2:], word)
	binary.BigEndian.PutUint32(header[4:], uint32(f.id))
	v6.NextHeader = layers.IPProtocolIPv6Fragment
	return serialize(f.ether(etherType(f)), v6, gopacket.Payload(append(header, part...)))
}
