// SPDX-License-Identifier: Apache-2.0

package wirefuzz

import (
	"net"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

func (g *Generator) ethernet(kind layers.EthernetType) *layers.Ethernet {
	src := g.world.Station
	if g.seldom(32) {
		src = pick(g, g.world.Claims)
	}
	return &layers.Ethernet{SrcMAC: src, DstMAC: pick(g, g.world.MACs), EthernetType: kind}
}

// link is what comes before an IP header: mostly Ethernet alone.
func (g *Generator) link(h header) []gopacket.SerializableLayer {
	eth := g.ethernet(h.etherType())
	if !g.seldom(24) {
		return []gopacket.SerializableLayer{eth}
	}
	ls := []gopacket.SerializableLayer{eth}
	kinds := []layers.EthernetType{layers.EthernetTypeDot1Q, layers.EthernetTypeQinQ}
	eth.EthernetType = pick(g, kinds)
	tags := 1 + g.rand.IntN(6)
	for i := range tags {
		tag := &layers.Dot1Q{Priority: uint8(g.rand.IntN(8)), Type: layers.EthernetTypeDot1Q}
		if g.seldom(3) {
			tag.VLANIdentifier = uint16(g.rand.IntN(4096))
		}
		if i == tags-1 {
			tag.Type = h.etherType()
		}
		ls = append(ls, tag)
	}
	return ls
}

// arp speaks for anybody.
func (g *Generator) arp() []byte {
	sender := pick(g, g.sources(false)).As4()
	target := pick(g, family(g.world.Targets, false)).As4()
	a := &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
		Operation:       uint16(1 + g.rand.IntN(2)),
		SourceHwAddress: pick(g, []net.HardwareAddr{g.world.Station, pick(g, g.world.Claims)}), SourceProtAddress: sender[:],
		DstHwAddress: pick(g, g.world.MACs), DstProtAddress: target[:],
	}
	return g.serialize(g.ethernet(layers.EthernetTypeARP), a, gopacket.Payload(g.mark.fill(markSize)))
}
