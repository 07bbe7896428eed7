// SPDX-License-Identifier: Apache-2.0

package frame

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/fairway-project/fairway/userspace/model"
)

// What is built passes Check and gopacket's own verification, so that neither
// the builder nor the checker can hide a wrong checksum behind the other.
func TestBuiltFramesAreValid(t *testing.T) {
	base := Between(model.MAC{2, 1}, model.MAC{2, 2})
	pairs := map[string]Frame{
		"ipv4": base.IP(netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.7")),
		"ipv6": base.IP(netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8:1::7")),
	}
	for family, f := range pairs {
		for name, built := range map[string]Frame{
			"tcp": f.TCP(1000, 2000, "SA"), "udp": f.UDP(1000, 2000), "udp odd": f.UDP(1, 2).Payload(33),
			"sctp": f.SCTP(1, 2), "echo": f.Echo(7), "reply": f.EchoReply(7), "icmp": f.ICMP(3, 4, 1400, make([]byte, 28)),
			"gre": f.Proto(GRE), "options": f.Options(148, 4, 0, 0).UDP(1, 2),
			"extensions": f.Extensions(HopByHop, DestOptions).TCP(1, 2, "S"),
		} {
			t.Run(family+"/"+name, func(t *testing.T) {
				b := built.Bytes()
				if err := Check(b); err != nil {
					t.Errorf("%v\n%s", err, Text(b))
				}
				verify(t, b)
			})
		}
	}
}

// verify asks gopacket, which has to be told what the pseudo-header is made of.
func verify(t *testing.T, b []byte) {
	t.Helper()
	p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
	for _, l := range p.Layers() {
		if l, ok := l.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			must(l.SetNetworkLayerForChecksum(p.NetworkLayer()))
		}
	}
	if err, wrong := p.VerifyChecksums(); err != nil || len(wrong) > 0 {
		t.Errorf("gopacket: %v %v", err, wrong)
	}
}

func TestCheckFindsEveryFlippedBit(t *testing.T) {
	f := Between(model.MAC{2, 1}, model.MAC{2, 2}).IP(netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.7"))
	b := f.UDP(1000, 2000).Bytes()
	for at := 26; at < len(b); at++ {
		if at == 40 || at == 41 {
			continue // a zero UDP checksum is no wrong one
		}
		b[at] ^= 4
		if err := Check(b); !errors.Is(err, ErrChecksum) && at != 38 && at != 39 {
			t.Errorf("byte %d: %v", at, err)
		}
		b[at] ^= 4
	}
}

// A fragment with another number is the one that would be made with it.
func TestRenumber(t *testing.T) {
	for _, ends := range [][2]string{{"192.0.2.1", "192.0.2.2"}, {"2001:db8::1", "2001:db8::2"}} {
		f := Between(model.MAC{2, 0, 0, 0, 0, 1}, model.MAC{2, 0, 0, 0, 0, 2}).
			IP(netip.MustParseAddr(ends[0]), netip.MustParseAddr(ends[1])).UDP(1, 2).Payload(600)
		got, want := f.ID(7).Fragments(400)[1], f.ID(0x1234).Fragments(400)[1]
		if Renumber(got, 0x1234); !bytes.Equal(got, want) {
			t.Errorf("got\n%x, want\n%x", got, want)
		}
	}
}
