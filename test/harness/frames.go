// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"encoding/binary"
	"net"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"
)

// Frame serialises layers with lengths and checksums filled in.
func Frame(t testing.TB, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	return serialise(t, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls)
}

// RawFrame serialises layers with lengths filled in and checksums as given.
func RawFrame(t testing.TB, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	return serialise(t, gopacket.SerializeOptions{FixLengths: true}, ls)
}

func serialise(t testing.TB, opts gopacket.SerializeOptions, ls []gopacket.SerializableLayer) []byte {
	t.Helper()
	var network gopacket.NetworkLayer
	for _, l := range ls {
		if n, ok := l.(gopacket.NetworkLayer); ok {
			network = n
		}
		if c, ok := l.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok && network != nil {
			if err := c.SetNetworkLayerForChecksum(network); err != nil {
				t.Fatal(err)
			}
		}
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, opts, ls...); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// Ethernet is a frame header between two stations for an IP family.
func Ethernet(src, dst net.HardwareAddr, f Family) *layers.Ethernet {
	kind := layers.EthernetTypeIPv4
	if f.Is6() {
		kind = layers.EthernetTypeIPv6
	}
	return &layers.Ethernet{SrcMAC: src, DstMAC: dst, EthernetType: kind}
}

// IPHeader is a plain header of the family.
func IPHeader(f Family, src, dst string, proto layers.IPProtocol) gopacket.SerializableLayer {
	if f.Is6() {
		return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: net.ParseIP(src), DstIP: net.ParseIP(dst)}
	}
	return &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: net.ParseIP(src).To4(), DstIP: net.ParseIP(dst).To4()}
}

// UDPFrame is a whole datagram.
func UDPFrame(t testing.TB, f Family, eth *layers.Ethernet, src, dst string, sport, dport int, payload string) []byte {
	t.Helper()
	return Frame(t, eth, IPHeader(f, src, dst, layers.IPProtocolUDP),
		&layers.UDP{SrcPort: layers.UDPPort(sport), DstPort: layers.UDPPort(dport)}, gopacket.Payload(payload))
}

// PriorityTagged puts n tags into a frame that carry a priority and no VLAN (IEEE
// 802.1Q). Whoever receives it takes them off.
func PriorityTagged(frame []byte, n int) []byte {
	const addresses = 12
	tags := bytes.Repeat([]byte{0x81, 0, 0, 0}, n)
	return slices.Concat(frame[:addresses], tags, frame[addresses:])
}

// Inject sends frames out of a device of the namespace, as they are.
func Inject(t testing.TB, n *Netns, dev string, frames ...[]byte) {
	t.Helper()
	inject(t, n, dev, false, frames)
}

// InjectUnfinished sends a frame as one whose checksum is still to be made, over all
// from start on, and to be written offset bytes behind that (packet(7),
// PACKET_VNET_HDR).
func InjectUnfinished(t testing.TB, n *Netns, dev string, frame []byte, start, offset uint16) {
	t.Helper()
	const needsChecksum = 1                        // VIRTIO_NET_HDR_F_NEEDS_CSUM
	header := []byte{needsChecksum, 0, 0, 0, 0, 0} // struct virtio_net_hdr
	header = binary.NativeEndian.AppendUint16(header, start)
	header = binary.NativeEndian.AppendUint16(header, offset)
	inject(t, n, dev, true, [][]byte{append(header, frame...)})
}

func inject(t testing.TB, n *Netns, dev string, withHeader bool, frames [][]byte) {
	t.Helper()
	withPacketSocket(t, n, dev, func(s *packetSocket) error {
		if withHeader {
			if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
				return err
			}
		}
		for _, frame := range frames {
			if err := s.send(frame); err != nil {
				return err
			}
		}
		return nil
	})
}

// HardwareAddr returns the address of a device in the namespace.
func HardwareAddr(t testing.TB, n *Netns, dev string) (mac net.HardwareAddr) {
	t.Helper()
	err := n.Do(func() error {
		iface, err := net.InterfaceByName(dev)
		if err == nil {
			mac = iface.HardwareAddr
		}
		return err
	})
	if err != nil {
		t.Fatalf("device %s of %s: %v", dev, n.Name, err)
	}
	return mac
}
