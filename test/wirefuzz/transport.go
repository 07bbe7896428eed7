// SPDX-License-Identifier: Apache-2.0

package wirefuzz

import (
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// transport is what an IP header carries. Its first layer has the checksum.
type transport struct {
	proto  layers.IPProtocol
	layers []gopacket.SerializableLayer
}

func (g *Generator) transport(h header) transport {
	payload := gopacket.Payload(g.mark.fill(markSize * (1 + g.rand.IntN(8))))
	switch n := g.rand.IntN(16); {
	case n < 5:
		return transport{layers.IPProtocolTCP, []gopacket.SerializableLayer{g.tcp(), payload}}
	case n < 10:
		return transport{layers.IPProtocolUDP, []gopacket.SerializableLayer{g.udp(), payload}}
	case n < 14:
		return g.icmp(h, payload)
	case n == 14:
		// A packet in a packet, which may claim anything.
		inner := g.header()
		payload = g.mark.fill(len(payload))
		proto := layers.IPProtocolIPv4
		if inner.v6 {
			proto = layers.IPProtocolIPv6
		}
		inside := g.serialize(inner.layers(transport{layers.IPProtocolUDP, []gopacket.SerializableLayer{g.udp(), payload}})...)
		return transport{proto, []gopacket.SerializableLayer{gopacket.Payload(inside)}}
	}
	other := pick(g, []layers.IPProtocol{2, 47, 50, 51, 89, 132, 136, 33, 255, 59, 103})
	head := gopacket.Payload([]byte{byte(g.port() >> 8), byte(g.port()), 0, 80, 0, 0, 0, 0})
	return transport{other, []gopacket.SerializableLayer{head, payload}}
}

func (g *Generator) port() uint16 {
	if g.seldom(4) {
		return uint16(g.rand.Uint32())
	}
	return pick(g, g.world.Ports)
}

func (g *Generator) tcp() *layers.TCP {
	t := &layers.TCP{
		SrcPort: layers.TCPPort(g.port()), DstPort: layers.TCPPort(g.port()), Seq: g.rand.Uint32(), Ack: g.rand.Uint32(), Window: 1000,
		SYN: g.seldom(2), ACK: g.seldom(2), FIN: g.seldom(8), RST: g.seldom(8), PSH: g.seldom(4), URG: g.seldom(16),
	}
	if g.seldom(4) {
		t.Options = []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{byte(g.rand.IntN(6)), 1}}}
	}
	return t
}

func (g *Generator) udp() *layers.UDP {
	return &layers.UDP{SrcPort: layers.UDPPort(g.port()), DstPort: layers.UDPPort(g.port())}
}

// icmp is an echo, an error about a packet that may have been, or anything else.
func (g *Generator) icmp(h header, payload gopacket.Payload) transport {
	kind, code := uint8(g.rand.Uint32()), uint8(0)
	body := payload
	switch g.rand.IntN(4) {
	case 0:
		kind = pick(g, map[bool][]uint8{false: {8, 0}, true: {128, 129}}[h.v6])
	case 1, 2:
		kind, code = pick(g, map[bool][]uint8{false: {3, 11, 12, 4}, true: {1, 2, 3, 4}}[h.v6]), uint8(g.rand.IntN(16))
		body = g.quote(h)
	default:
		if g.world.Quiet && isRouting(h.v6, kind) {
			kind = 254
		}
	}
	if h.v6 {
		head := make(gopacket.Payload, 4, 4+len(body))
		return transport{layers.IPProtocolICMPv6, []gopacket.SerializableLayer{
			&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, code)}, append(head, body...),
		}}
	}
	return transport{layers.IPProtocolICMPv4, []gopacket.SerializableLayer{
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(kind, code), Id: g.port(), Seq: uint16(g.rand.Uint32())}, body,
	}}
}

// isRouting tells neighbour discovery, router discovery, groups and redirects.
func isRouting(v6 bool, kind uint8) bool {
	if v6 {
		return kind >= 130 && kind <= 137 || kind == 143
	}
	return kind == 5 || kind == 9
}

// quote is a packet that the receiver of an error may have sent, cut anywhere.
func (g *Generator) quote(about header) gopacket.Payload {
	q := about
	q.src, q.dst, q.extensions = about.dst, pick(g, g.sources(about.v6)), nil
	if g.seldom(4) {
		q.src = pick(g, family(g.world.Targets, about.v6))
	}
	var l4 gopacket.SerializableLayer = g.udp()
	proto := layers.IPProtocolUDP
	if g.seldom(2) {
		l4, proto = g.tcp(), layers.IPProtocolTCP
	}
	whole := g.serialize(q.layers(transport{proto, []gopacket.SerializableLayer{l4, gopacket.Payload(g.mark.fill(3 * markSize))}})...)
	if g.seldom(4) {
		whole = whole[:g.rand.IntN(len(whole))]
	}
	return whole
}
