// SPDX-License-Identifier: Apache-2.0

package frame

import "encoding/binary"

// Fix makes the checksums of an IP frame right that Check looks at, so that a
// changed frame is a valid other one. Frames that Parse refuses stay as they are.
func Fix(b []byte) {
	p, err := Parse(b)
	if err != nil {
		return
	}
	if p.Src.Is4() {
		put(b[etherLen:p.Offset], 10, 0)
	}
	at := map[uint8]int{1: 2, 58: 2, 6: 16, 17: 6}[p.Proto]
	end := p.end(b)
	if p.Fragment || at == 0 || end < p.Offset+at+2 || p.Proto == 1 != p.Src.Is4() && (p.Proto == 1 || p.Proto == 58) {
		return
	}
	start := pseudo(p, end-p.Offset)
	if p.Proto == 1 {
		start = 0
	}
	put(b[p.Offset:end], at, start)
}

// Renumber gives an IPv4 packet, or an IPv6 fragment without other extension headers, another
// identification. It is for floods: to make the frame anew takes a hundred times as long.
func Renumber(b []byte, id uint32) {
	if b[etherLen]>>4 == 6 {
		const fragment = etherLen + 40
		binary.BigEndian.PutUint32(b[fragment+4:], id)
		return
	}
	binary.BigEndian.PutUint16(b[etherLen+4:], uint16(id))
	put(b[etherLen:etherLen+4*int(b[etherLen]&15)], 10, 0)
}

// put computes the checksum of b that lies at a place in it.
func put(b []byte, at int, start uint32) {
	b[at], b[at+1] = 0, 0
	binary.BigEndian.PutUint16(b[at:], ^sum(start, b))
}

// end is where the datagram ends in the frame, which may be cut short.
func (p Packet) end(b []byte) int {
	if p.Src.Is4() {
		return min(len(b), etherLen+int(binary.BigEndian.Uint16(b[16:])))
	}
	return min(len(b), etherLen+40+int(binary.BigEndian.Uint16(b[18:])))
}
