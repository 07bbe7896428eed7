// SPDX-License-Identifier: Apache-2.0

package wirefuzz_test

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/wirefuzz"
)

func world() wirefuzz.World {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	addrs := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
	return wirefuzz.World{
		Station: mac, Own: addrs, MACs: []net.HardwareAddr{mac}, Claims: []net.HardwareAddr{mac},
		Sources: addrs, Targets: addrs, Ports: []uint16{80},
	}
}

// A seed makes the same frames each time, and most of them tell who sent them.
func TestGenerator(t *testing.T) {
	const frames = 20_000
	a, b, other := wirefuzz.New(7, 'a', world()), wirefuzz.New(7, 'a', world()), wirefuzz.New(8, 'a', world())
	marked, valid, differ := 0, 0, 0
	for i := range frames {
		one := a.Next()
		if two := b.Next(); !bytes.Equal(one, two) {
			t.Fatalf("frame %d is %x and %x", i, one, two)
		}
		if !bytes.Equal(one, other.Next()) {
			differ++
		}
		m, ok := wirefuzz.Find(one)
		if !ok {
			continue
		}
		marked++
		if m.Valid && one[12] != 0x81 && one[12] != 0x88 {
			if _, err := frame.Parse(one); err == nil {
				valid++
				if err := frame.Check(one); err != nil {
					t.Errorf("frame %d: %v: %x", i, err, one)
				}
			}
		}
	}
	if marked < frames*3/4 || valid < frames/4 || differ < frames/2 {
		t.Errorf("of %d frames %d are marked, %d are valid, %d follow from the seed", frames, marked, valid, differ)
	}
}
