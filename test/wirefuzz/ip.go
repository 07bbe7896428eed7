// SPDX-License-Identifier: Apache-2.0

package wirefuzz

import (
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

const looseSourceRoute = 131

// header is an IP header with what stands between it and the transport.
type header struct {
	v6       bool
	src, dst netip.Addr
	ttl      uint8
	// options are IPv4's, a multiple of four bytes.
	options []byte
	// extensions are numbers of IPv6's headers of eight bytes each.
	extensions []layers.IPProtocol
}

func (g *Generator) header() header {
	h := header{v6: g.seldom(2), ttl: 64}
	h.src = pick(g, family(g.world.Own, h.v6))
	if g.seldom(8) {
		h.src = pick(g, g.sources(h.v6))
	}
	h.dst = pick(g, family(g.world.Targets, h.v6))
	if g.seldom(8) {
		h.ttl = pick(g, []uint8{0, 1, 2, 255})
	}
	if !h.v6 && g.seldom(16) {
		h.options = pick(g, [][]byte{{1, 1, 1, 0}, {148, 4, 0, 0}, {131, 7, 4, 10, 0, 0, 1, 0}, {7, 7, 4, 0, 0, 0, 0, 0}})
		// Its checksum is that of the route's end, which nobody here goes to.
		g.mark.Valid = g.mark.Valid && h.options[0] != looseSourceRoute
	}
	if h.v6 && g.seldom(8) {
		for range 1 + g.rand.IntN(8) {
			h.extensions = append(h.extensions, pick(g, []layers.IPProtocol{
				layers.IPProtocolIPv6HopByHop, layers.IPProtocolIPv6Routing, layers.IPProtocolIPv6Destination, layers.IPProtocolIPv6Fragment,
			}))
		}
	}
	return h
}

// sources are the addresses of a family that the sender may claim, its own among them.
func (g *Generator) sources(v6 bool) []netip.Addr {
	return append(family(g.world.Own, v6), family(g.world.Sources, v6)...)
}

func family(from []netip.Addr, v6 bool) (of []netip.Addr) {
	for _, a := range from {
		if a.Is4() != v6 {
			of = append(of, a)
		}
	}
	return of
}

func (h header) etherType() layers.EthernetType {
	if h.v6 {
		return layers.EthernetTypeIPv6
	}
	return layers.EthernetTypeIPv4
}

// layers puts the header in front of a transport.
func (h header) layers(t transport) []gopacket.SerializableLayer {
	ip, network := h.network(t.proto)
	if c, ok := t.layers[0].(interface {
		SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
	}); ok {
		if err := c.SetNetworkLayerForChecksum(network); err != nil {
			panic(err) // only of a network layer that isn't IP
		}
	}
	ls := []gopacket.SerializableLayer{ip}
	if len(h.extensions) > 0 {
		ls = append(ls, gopacket.Payload(h.extensionBytes(t.proto)))
	}
	return append(ls, t.layers...)
}

func (h header) network(proto layers.IPProtocol) (gopacket.SerializableLayer, gopacket.NetworkLayer) {
	if !h.v6 {
		ip := &layers.IPv4{Version: 4, TTL: h.ttl, Protocol: proto, SrcIP: h.src.AsSlice(), DstIP: h.dst.AsSlice()}
		if len(h.options) > 0 {
			ip.Options = []layers.IPv4Option{{OptionType: h.options[0], OptionLength: uint8(len(h.options)), OptionData: h.options[2:]}}
			if h.options[0] <= 1 {
				ip.Options = []layers.IPv4Option{{OptionType: 1}, {OptionType: 1}, {OptionType: 1}, {OptionType: 0}}
			}
		}
		return ip, ip
	}
	ip := &layers.IPv6{Version: 6, HopLimit: h.ttl, NextHeader: proto, SrcIP: h.src.AsSlice(), DstIP: h.dst.AsSlice()}
	if len(h.extensions) > 0 {
		ip.NextHeader = h.extensions[0]
	}
	return ip, ip
}

// extensionBytes are headers with padding in them, and fragment headers of whole datagrams.
func (h header) extensionBytes(proto layers.IPProtocol) (b []byte) {
	for i, kind := range h.extensions {
		next := proto
		if i+1 < len(h.extensions) {
			next = h.extensions[i+1]
		}
		body := [8]byte{byte(next), 0, 1, 4}
		if kind == layers.IPProtocolIPv6Fragment || kind == layers.IPProtocolIPv6Routing {
			body = [8]byte{byte(next)}
		}
		b = append(b, body[:]...)
	}
	return b
}
