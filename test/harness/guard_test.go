// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"net"
	"testing"

	"github.com/gopacket/gopacket/layers"
	"golang.org/x/net/bpf"
)

func TestPrivateSourcesFilter(t *testing.T) {
	vm, err := bpf.NewVM(privateSources())
	if err != nil {
		t.Fatal(err)
	}
	eth := func(f Family) *layers.Ethernet {
		return Ethernet(net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}, f)
	}
	for _, c := range []struct {
		f    Family
		src  string
		want bool
	}{
		{v4(), "172.30.0.2", true}, {v4(), "172.16.0.1", true}, {v4(), "10.1.2.3", true}, {v4(), "192.168.7.7", true},
		{v4(), "192.0.2.1", false}, {v4(), "172.32.0.1", false}, {v4(), "192.169.0.1", false},
		{v6(), "fd00:30::2", true}, {v6(), "fc00::1", true}, {v6(), "2001:db8::1", false}, {v6(), "fe80::1", false},
	} {
		frame := UDPFrame(t, c.f, eth(c.f), c.src, c.f.WAN, 1, 2, "x")
		n, err := vm.Run(frame)
		if err != nil || (n > 0) != c.want {
			t.Errorf("%s: caught %v (%v), want %v", c.src, n > 0, err, c.want)
		}
	}
	for sender, want := range map[string]bool{"172.30.0.2": true, "192.0.2.1": false} {
		e := eth(v4())
		e.EthernetType = layers.EthernetTypeARP
		frame := Frame(t, e, &layers.ARP{AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4,
			HwAddressSize: 6, ProtAddressSize: 4, Operation: layers.ARPRequest,
			SourceHwAddress: make([]byte, 6), SourceProtAddress: net.ParseIP(sender).To4(),
			DstHwAddress: make([]byte, 6), DstProtAddress: net.ParseIP("192.0.2.254").To4()})
		if n, err := vm.Run(frame); err != nil || (n > 0) != want {
			t.Errorf("arp from %s: caught %v (%v), want %v", sender, n > 0, err, want)
		}
	}
}
