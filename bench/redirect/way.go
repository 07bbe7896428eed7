// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// addresses are somebody's of both families.
type addresses struct{ ip4, ip6 netip.Addr }

// newWay leads out of a device of the host, and from one address to another.
func newWay(device int, dst, src net.HardwareAddr, from, to addresses) redirectWay {
	w := redirectWay{
		Device: uint32(device), Dst: macWords(dst), Src: macWords(src),
		Sum4: addressSum(from.ip4, to.ip4), Sum6: addressSum(from.ip6, to.ip6),
	}
	// The TTL is the first byte of its word, and becomes one less.
	w.Header = fold(w.Sum4 + uint32(^binary.NativeEndian.Uint16([]byte{1, 0})))
	w.Ip4 = binary.NativeEndian.Uint32(to.ip4.AsSlice())
	for i := range w.Ip6 {
		w.Ip6[i] = binary.NativeEndian.Uint32(to.ip6.AsSlice()[4*i:])
	}
	return w
}

func macWords(mac net.HardwareAddr) (words [3]uint16) {
	for i := range words {
		words[i] = binary.NativeEndian.Uint16(mac[2*i:])
	}
	return words
}

// addressSum is what the change of an address adds to a checksum that covers it
// (RFC 1624), with words as they lie in memory.
func addressSum(from, to netip.Addr) (sum uint32) {
	old, now := from.AsSlice(), to.AsSlice()
	for i := 0; i < len(now); i += 2 {
		sum += uint32(binary.NativeEndian.Uint16(now[i:])) + uint32(^binary.NativeEndian.Uint16(old[i:]))
	}
	return fold(sum)
}

// fold adds the carries to the 16 bits that they came from.
func fold(sum uint32) uint32 {
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return sum
}
