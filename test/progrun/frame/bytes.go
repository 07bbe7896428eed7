// SPDX-License-Identifier: Apache-2.0

package frame

import (
	"fmt"
	"strings"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// Bytes returns the frame as it is on the wire.
func (f Frame) Bytes() []byte {
	if f.transport == arp {
		return serialize(f.ether(layers.EthernetTypeARP), f.arpLayer())
	}
	ip, network := f.network()
	stack := []gopacket.SerializableLayer{ip}
	if len(f.extensions) > 0 && !f.IsIPv4() {
		stack = append(stack, gopacket.Payload(f.extensionBytes()))
	}
	b := serialize(f.ether(etherType(f)), append(stack, f.transportLayers(network)...)...)
	if f.transport == udp && f.noChecksum {
		at := len(b) - len(f.payload) - 2
		b[at], b[at+1] = 0, 0
	}
	return b
}

// serialize cuts off the padding to 60 bytes that gopacket gives Ethernet frames:
// virtual devices don't pad.
func serialize(ether gopacket.SerializableLayer, stack ...gopacket.SerializableLayer) []byte {
	content := layersBytes(stack...)
	return layersBytes(ether, gopacket.Payload(content))[:etherLen+len(content)]
}

func layersBytes(stack ...gopacket.SerializableLayer) []byte {
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, stack...); err != nil {
		// Only a test that asks for the impossible gets here.
		panic(fmt.Sprintf("frame: %v", err))
	}
	return buf.Bytes()
}

func etherType(f Frame) layers.EthernetType {
	if f.IsIPv4() {
		return layers.EthernetTypeIPv4
	}
	return layers.EthernetTypeIPv6
}

func (f Frame) ether(t layers.EthernetType) gopacket.SerializableLayer {
	return &layers.Ethernet{SrcMAC: f.srcMAC.HardwareAddr(), DstMAC: f.dstMAC.HardwareAddr(), EthernetType: t}
}

func (f Frame) network() (gopacket.SerializableLayer, gopacket.NetworkLayer) {
	if f.IsIPv4() {
		ip := &layers.IPv4{
			Version: 4, IHL: 5, TTL: f.ttl, TOS: f.tos, Id: f.id, Protocol: f.ipProto(),
			SrcIP: f.src.AsSlice(), DstIP: f.dst.AsSlice(),
		}
		if f.dontFragment {
			ip.Flags = layers.IPv4DontFragment
		}
		for rest := f.options; len(rest) > 1; rest = rest[rest[1]:] {
			ip.Options = append(ip.Options, layers.IPv4Option{
				OptionType: rest[0], OptionLength: rest[1], OptionData: rest[2:rest[1]],
			})
		}
		return ip, ip
	}
	ip := &layers.IPv6{
		Version: 6, HopLimit: f.ttl, TrafficClass: f.tos, NextHeader: f.ipProto(),
		SrcIP: f.src.AsSlice(), DstIP: f.dst.AsSlice(),
	}
	if len(f.extensions) > 0 {
		// The pseudo-header has the transport protocol, the header the first extension.
		pseudo := *ip
		ip.NextHeader = layers.IPProtocol(f.extensions[0])
		return ip, &pseudo
	}
	return ip, ip
}

func (f Frame) extensionBytes() []byte {
	var b []byte
	for i := range f.extensions {
		next := byte(f.ipProto())
		if i+1 < len(f.extensions) {
			next = f.extensions[i+1]
		}
		// One option PadN fills the eight bytes (RFC 8200, 4.2).
		b = append(b, next, 0, 1, 4, 0, 0, 0, 0)
	}
	return b
}

func (f Frame) ipProto() layers.IPProtocol {
	switch f.transport {
	case tcp:
		return layers.IPProtocolTCP
	case udp:
		return layers.IPProtocolUDP
	case sctp:
		return layers.IPProtocolSCTP
	case protocol:
		return layers.IPProtocol(f.proto)
	}
	if f.IsIPv4() {
		return layers.IPProtocolICMPv4
	}
	return layers.IPProtocolICMPv6
}

func (f Frame) transportLayers(ip gopacket.NetworkLayer) []gopacket.SerializableLayer {
	payload := gopacket.Payload(f.payload)
	switch f.transport {
	case tcp:
		l := &layers.TCP{
			SrcPort: layers.TCPPort(f.srcPort), DstPort: layers.TCPPort(f.dstPort), Seq: f.seq, Ack: f.ack, Window: 512,
			FIN: f.has("F"), SYN: f.has("S"), RST: f.has("R"), PSH: f.has("P"), ACK: f.has("A"),
		}
		must(l.SetNetworkLayerForChecksum(ip))
		return []gopacket.SerializableLayer{l, payload}
	case udp:
		l := &layers.UDP{SrcPort: layers.UDPPort(f.srcPort), DstPort: layers.UDPPort(f.dstPort)}
		must(l.SetNetworkLayerForChecksum(ip))
		return []gopacket.SerializableLayer{l, payload}
	case sctp:
		l := &layers.SCTP{SrcPort: layers.SCTPPort(f.srcPort), DstPort: layers.SCTPPort(f.dstPort), VerificationTag: 7}
		return []gopacket.SerializableLayer{l, payload}
	case protocol:
		return []gopacket.SerializableLayer{payload}
	}
	if f.IsIPv4() {
		return []gopacket.SerializableLayer{f.icmp4(), payload}
	}
	return append(f.icmp6(ip), payload)
}

func (f Frame) icmp4() *layers.ICMPv4 {
	switch f.transport {
	case echoRequest:
		return &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: f.srcPort, Seq: 1}
	case echoReply:
		return &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(0, 0), Id: f.srcPort, Seq: 1}
	}
	return &layers.ICMPv4{
		TypeCode: layers.CreateICMPv4TypeCode(f.icmpType, f.code), Id: uint16(f.word >> 16), Seq: uint16(f.word),
	}
}

func (f Frame) icmp6(ip gopacket.NetworkLayer) []gopacket.SerializableLayer {
	kind, code, word := f.icmpType, f.code, f.word
	switch f.transport {
	case echoRequest:
		kind, code, word = 128, 0, uint32(f.srcPort)<<16|1
	case echoReply:
		kind, code, word = 129, 0, uint32(f.srcPort)<<16|1
	}
	l := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, code)}
	must(l.SetNetworkLayerForChecksum(ip))
	return []gopacket.SerializableLayer{l, gopacket.Payload{byte(word >> 24), byte(word >> 16), byte(word >> 8), byte(word)}}
}

func (f Frame) arpLayer() gopacket.SerializableLayer {
	operation := uint16(layers.ARPRequest)
	if f.arp.Reply {
		operation = layers.ARPReply
	}
	return &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
		Operation:       operation,
		SourceHwAddress: f.arp.SenderMAC[:], SourceProtAddress: f.arp.Sender[:],
		DstHwAddress: f.arp.TargetMAC[:], DstProtAddress: f.arp.Target[:],
	}
}

func (f Frame) has(flag string) bool { return strings.Contains(f.flags, flag) }

func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("frame: %v", err))
	}
}
