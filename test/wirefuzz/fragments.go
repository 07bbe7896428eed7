// SPDX-License-Identifier: Apache-2.0

package wirefuzz

import (
	"encoding/binary"
	"slices"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// fragments are pieces of a datagram: as they should be, in another order, incomplete,
// twice, or overlapping each other with other ports in them.
func (g *Generator) fragments() [][]byte {
	h := g.header()
	h.options, h.extensions = nil, nil
	payload := gopacket.Payload(g.mark.fill(markSize * (4 + g.rand.IntN(40))))
	whole := g.transportBytes(h, transport{layers.IPProtocolUDP, []gopacket.SerializableLayer{g.udp(), payload}})
	proto := layers.IPProtocolUDP
	if g.seldom(4) {
		proto = layers.IPProtocolTCP
		whole = g.transportBytes(h, transport{proto, []gopacket.SerializableLayer{g.tcp(), payload}})
	}
	id := uint32(g.rand.IntN(64)) // few, so that datagrams get mixed up
	size := markSize * (1 + g.rand.IntN(16))
	var pieces [][]byte
	for off := 0; off < len(whole); off += size {
		at := off
		if off > 0 && g.seldom(6) {
			at -= 8 * g.rand.IntN(min(off/8, 5)+1)
		}
		pieces = append(pieces, g.fragment(h, proto, id, whole[off:min(off+size, len(whole))], at, off+size < len(whole)))
	}
	if g.seldom(3) {
		g.rand.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
	}
	if g.seldom(4) {
		pieces = append(pieces, pick(g, pieces))
	}
	if n := g.rand.IntN(len(pieces)); g.seldom(4) && len(pieces) > 1 {
		pieces = slices.Delete(pieces, n, n+1)
	}
	return pieces
}

// transportBytes is a transport with its checksum, without the header that it was made for.
func (g *Generator) transportBytes(h header, t transport) []byte {
	whole := g.serialize(h.layers(t)...)
	if h.v6 {
		return whole[40:]
	}
	return whole[20:]
}

// fragment is one piece at an offset in bytes, a multiple of eight.
func (g *Generator) fragment(h header, proto layers.IPProtocol, id uint32, part []byte, off int, more bool) []byte {
	if h.v6 {
		head := make([]byte, 8, 8+len(part))
		head[0] = byte(proto)
		word := uint16(off)
		if more {
			word |= 1
		}
		binary.BigEndian.PutUint16(head[2:], word)
		binary.BigEndian.PutUint32(head[4:], id)
		ip, _ := h.network(layers.IPProtocolIPv6Fragment)
		return g.serialize(g.ethernet(h.etherType()), ip, gopacket.Payload(append(head, part...)))
	}
	ip, _ := h.network(proto)
	v4 := ip.(*layers.IPv4)
	v4.Id, v4.FragOffset = uint16(id), uint16(off/8)
	if more {
		v4.Flags = layers.IPv4MoreFragments
	}
	return g.serialize(g.ethernet(h.etherType()), v4, gopacket.Payload(part))
}
