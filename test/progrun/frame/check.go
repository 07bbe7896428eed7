// SPDX-License-Identifier: Apache-2.0

package frame

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// ErrChecksum is in Check's errors about checksums.
var ErrChecksum = errors.New("wrong checksum")

const etherLen = 14

// Packet is what Parse finds in a frame, as far as tests look into it.
type Packet struct {
	Src, Dst netip.Addr
	Proto    uint8
	// Offset is where the transport header begins in the frame.
	Offset   int
	Fragment bool
	// Later fragments have no transport header.
	Later bool
}

// Parse reads the headers of an IP frame. It is deliberately another parser than
// gopacket's lenient one: what it doesn't understand is an error.
func Parse(b []byte) (Packet, error) {
	if len(b) < etherLen+20 {
		return Packet{}, errors.New("frame is too short for IP")
	}
	switch binary.BigEndian.Uint16(b[12:]) {
	case 0x0800:
		return parse4(b)
	case 0x86dd:
		return parse6(b)
	}
	return Packet{}, errors.New("frame isn't IP")
}

func parse4(b []byte) (Packet, error) {
	ip := b[etherLen:]
	header := int(ip[0]&15) * 4
	if ip[0]>>4 != 4 || header < 20 || len(ip) < header {
		return Packet{}, errors.New("malformed IPv4 header")
	}
	frag := binary.BigEndian.Uint16(ip[6:])
	return Packet{
		Src: netip.AddrFrom4([4]byte(ip[12:16])), Dst: netip.AddrFrom4([4]byte(ip[16:20])), Proto: ip[9],
		Offset: etherLen + header, Fragment: frag&0x3fff != 0, Later: frag&0x1fff != 0,
	}, nil
}

func parse6(b []byte) (Packet, error) {
	if len(b) < etherLen+40 || b[etherLen]>>4 != 6 {
		return Packet{}, errors.New("malformed IPv6 header")
	}
	ip := b[etherLen:]
	p := Packet{
		Src: netip.AddrFrom16([16]byte(ip[8:24])), Dst: netip.AddrFrom16([16]byte(ip[24:40])), Proto: ip[6],
		Offset: etherLen + 40,
	}
	for {
		size := 8
		switch p.Proto {
		case 0, 43, 60:
		case 44:
		default:
			return p, nil
		}
		if len(b) < p.Offset+8 {
			return Packet{}, errors.New("truncated extension header")
		}
		head := b[p.Offset:]
		if p.Proto == 44 {
			frag := binary.BigEndian.Uint16(head[2:])
			p.Fragment = p.Fragment || frag&^6 != 0
			p.Later = p.Later || frag&0xfff8 != 0
		} else {
			size = (int(head[1]) + 1) * 8
		}
		p.Proto = head[0]
		p.Offset += size
		if p.Later {
			return p, nil
		}
	}
}

// Check verifies every checksum of an IP frame that can be: the IPv4 header's,
// and the transport's unless the frame is a fragment or UDP without one.
func Check(b []byte) error {
	p, err := Parse(b)
	if err != nil {
		return err
	}
	if p.Src.Is4() && sum(0, b[etherLen:p.Offset]) != 0xffff {
		return fmt.Errorf("IPv4 header: %w", ErrChecksum)
	}
	end := p.end(b)
	if p.Fragment || end < p.Offset {
		return nil
	}
	return checkTransport(p, b[p.Offset:end])
}

func checkTransport(p Packet, l4 []byte) error {
	start := uint32(0)
	switch {
	case p.Proto == 1 && p.Src.Is4() && len(l4) >= 8:
	case p.Proto == 58 && !p.Src.Is4() && len(l4) >= 8, p.Proto == 6 && len(l4) >= 20:
		start = pseudo(p, len(l4))
	case p.Proto == 17 && len(l4) >= 8:
		if l4[6] == 0 && l4[7] == 0 {
			return nil
		}
		start = pseudo(p, len(l4))
	default:
		return nil
	}
	if got := sum(start, l4); got != 0xffff {
		return fmt.Errorf("protocol %d %s -> %s: %w: sum is %#x", p.Proto, p.Src, p.Dst, ErrChecksum, got)
	}
	return nil
}

func pseudo(p Packet, length int) uint32 {
	src, dst := p.Src.AsSlice(), p.Dst.AsSlice()
	return uint32(sum(0, src)) + uint32(sum(0, dst)) + uint32(length) + uint32(p.Proto)
}

// sum is the one's complement sum of RFC 1071, not inverted.
func sum(start uint32, b []byte) uint16 {
	total := uint64(start)
	for ; len(b) > 1; b = b[2:] {
		total += uint64(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		total += uint64(b[0]) << 8
	}
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	return uint16(total)
}

// Text renders a frame for people who have to find a difference.
func Text(b []byte) string {
	return gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default).String()
}

// Ends returns addresses and ports of an unfragmented TCP or UDP frame.
func Ends(b []byte) (src, dst netip.AddrPort, err error) {
	p, err := Parse(b)
	if err != nil {
		return src, dst, err
	}
	if len(b) < p.Offset+4 {
		return src, dst, errors.New("no room for ports")
	}
	src = netip.AddrPortFrom(p.Src, binary.BigEndian.Uint16(b[p.Offset:]))
	dst = netip.AddrPortFrom(p.Dst, binary.BigEndian.Uint16(b[p.Offset+2:]))
	return src, dst, nil
}
