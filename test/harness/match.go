// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"net"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// All joins conditions.
func All(ms ...Match) Match {
	return func(p gopacket.Packet) bool {
		for _, m := range ms {
			if !m(p) {
				return false
			}
		}
		return true
	}
}

// SrcIP matches the source address, DstIP the destination.
func SrcIP(addr string) Match {
	ip := net.ParseIP(addr)
	return func(p gopacket.Packet) bool { src, _ := ends(p); return src.Equal(ip) }
}

// DstIP matches the destination address.
func DstIP(addr string) Match {
	ip := net.ParseIP(addr)
	return func(p gopacket.Packet) bool { _, dst := ends(p); return dst.Equal(ip) }
}

func ends(p gopacket.Packet) (src, dst net.IP) {
	switch l := p.NetworkLayer().(type) {
	case *layers.IPv4:
		return l.SrcIP, l.DstIP
	case *layers.IPv6:
		return l.SrcIP, l.DstIP
	}
	return nil, nil
}

// Contains matches frames that have text anywhere.
func Contains(text string) Match {
	return func(p gopacket.Packet) bool { return bytes.Contains(p.Data(), []byte(text)) }
}

// HasLayer matches packets with a layer of the type.
func HasLayer(kind gopacket.LayerType) Match {
	return func(p gopacket.Packet) bool { return p.Layer(kind) != nil }
}

// UDPPorts matches a datagram's ports; 0 stands for any.
func UDPPorts(src, dst int) Match {
	return func(p gopacket.Packet) bool {
		u, ok := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
		return ok && (src == 0 || int(u.SrcPort) == src) && (dst == 0 || int(u.DstPort) == dst)
	}
}

// TCPPorts matches a segment's ports; 0 stands for any.
func TCPPorts(src, dst int) Match {
	return func(p gopacket.Packet) bool {
		s, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
		return ok && (src == 0 || int(s.SrcPort) == src) && (dst == 0 || int(s.DstPort) == dst)
	}
}
