// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// ReverseLAN1 has the fragments of each datagram that lan1 sends arrive last one first. It
// stays until the test is over, which has the topology for itself (Own).
//
// Frames go through this process, so the devices at both ends leave no checksums to others.
func (w *Topology) ReverseLAN1(t testing.TB) {
	t.Helper()
	for _, n := range []*Netns{w.LAN1, w.Host} {
		setOffload(t, n, "eth0", "off")
	}
	w.Switch.IP(t, "link set lan1 nomaster", "link add relay type veth peer name relayed",
		"link set relayed master br0 up", "link set relay up")
	reverse := &reverser{pieces: make(map[string][][]byte)}
	relay(t, w.Switch, "lan1", "relay", reverse.next)
	relay(t, w.Switch, "relay", "lan1", func(f []byte) [][]byte { return [][]byte{f} })
}

// relay sends what arrives at one device out of the other, as next makes it.
func relay(t testing.TB, n *Netns, from, to string, next func(frame []byte) [][]byte) {
	t.Helper()
	var out *packetSocket
	in := Sniffer{where: from + " of " + n.Name}
	err := n.Do(func() (err error) {
		if out, err = openPacket(to, 0); err != nil {
			return err
		}
		return in.open(from, nil)
	})
	if err != nil {
		t.Fatalf("relay from %s: %v", in.where, err)
	}
	over := make(chan error, 1)
	go func() { over <- pass(in.f, out, next) }()
	t.Cleanup(func() {
		in.f.Close()
		if err := errors.Join(<-over, out.Close()); err != nil {
			t.Errorf("relay from %s: %v", in.where, err)
		}
	})
}

// pass ends when what it reads from is closed.
func pass(in interface{ Read([]byte) (int, error) }, out *packetSocket, next func(frame []byte) [][]byte) error {
	buf := make([]byte, 1<<17)
	for {
		size, err := in.Read(buf)
		if errors.Is(err, unix.ENETDOWN) {
			continue
		}
		if err != nil {
			return nil
		}
		for _, f := range next(slices.Clone(buf[:size])) {
			if err := out.send(f); err != nil {
				return fmt.Errorf("frame of %d bytes: %w", len(f), err)
			}
		}
	}
}

// reverser keeps the pieces of each datagram until it has the last one.
type reverser struct{ pieces map[string][][]byte }

func (r *reverser) next(frame []byte) [][]byte {
	datagram, last, ok := fragmentOf(frame)
	if !ok {
		return [][]byte{frame}
	}
	r.pieces[datagram] = append(r.pieces[datagram], frame)
	if !last {
		return nil
	}
	all := r.pieces[datagram]
	delete(r.pieces, datagram)
	slices.Reverse(all)
	return all
}

// fragmentOf tells a fragment's datagram by addresses and identification, and whether it is
// the last one.
func fragmentOf(f []byte) (datagram string, last, ok bool) {
	const ether, moreFragments, offset4, ipv6Fragment = 14, 0x2000, 0x1fff, 44
	if len(f) < ether+48 {
		return "", false, false
	}
	switch binary.BigEndian.Uint16(f[12:]) {
	case unix.ETH_P_IP:
		word := binary.BigEndian.Uint16(f[ether+6:])
		return string(f[ether+12:ether+20]) + string(f[ether+4:ether+6]), word&moreFragments == 0, word&(moreFragments|offset4) != 0
	case unix.ETH_P_IPV6:
		if f[ether+6] != ipv6Fragment {
			return "", false, false
		}
		return string(f[ether+8:ether+40]) + string(f[ether+44:ether+48]), f[ether+43]&1 == 0, true
	}
	return "", false, false
}
