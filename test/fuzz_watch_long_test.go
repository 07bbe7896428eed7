// SPDX-License-Identifier: Apache-2.0

//go:build long

package test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/wirefuzz"
)

// watch opens taps at the victims and at the host's uplink, and sockets of the host.
func (f *fuzz) watch(t *testing.T) {
	f.arrived = map[string]*atomic.Int64{}
	for _, origin := range []string{"a", "i", "n", "l"} {
		for _, where := range []string{" in a2", " in i2", " in n2", " outside", " in the host"} {
			f.arrived[origin+where] = new(atomic.Int64)
		}
	}
	own := map[byte]map[netip.Addr]bool{'a': addressesOf(t, f.a1, "a"), 'i': addressesOf(t, f.i1, "i"), 'n': addressesOf(t, f.n1, "n")}
	gateways, all := map[netip.Addr]bool{}, map[netip.Addr]bool{}
	for s, network := range f.homes() {
		for _, fam := range families() {
			if gateway, err := netip.ParseAddr(s.Gateway(network, fam)); err == nil {
				all[gateway] = true
				gateways[gateway] = network == "a"
			}
		}
	}
	// A bridge of an internal network has an address, too, which is nobody's gateway.
	for _, addrs := range own {
		for addr := range addrs {
			if subnet, err := addr.Prefix(map[bool]int{true: 24, false: 64}[addr.Is4()]); err == nil {
				all[subnet.Addr().Next()] = true
			}
		}
	}
	// With icc a bridge floods frames of VLANs: no device of the receivers takes them, and no
	// address in them means anything.
	f.taps = map[string]*harness.Tap{
		"b1":      harness.NewTap(t, f.b1.Netns, "eth0", nil, f.judge("b1", func(wirefuzz.Mark, []byte) error { return errors.New("from another network") })),
		"i2":      harness.NewTap(t, f.i2.Netns, "eth0", harness.Untagged(), f.judge("i2", fromOnly('i', own))),
		"n2":      harness.NewTap(t, f.n2.Netns, "eth0", nil, f.judge("n2", withoutICC)),
		"a2":      harness.NewTap(t, f.a2.Netns, "eth0", harness.Untagged(), f.judge("a2", inA2(own, gateways))),
		"outside": harness.NewTap(t, f.Switch, "host", nil, f.atUplink(all)),
	}
	for _, network := range []string{"udp4", "udp6"} {
		f.listen(t, network, own)
	}
}

// judge counts what a rule lets pass.
func (f *fuzz) judge(where string, rule func(m wirefuzz.Mark, b []byte) error) func(b []byte) error {
	where = map[bool]string{true: " in " + where, false: " outside"}[where != ""]
	return func(b []byte) error {
		m, marked := wirefuzz.Find(b)
		if !marked {
			return nil
		}
		if err := rule(m, b); err != nil {
			return fmt.Errorf("%c's frame %d: %w", m.Origin, m.Serial, err)
		}
		if n := f.arrived[string(m.Origin)+where]; n != nil {
			n.Add(1)
		}
		return nil
	}
}

// addressesOf are those that a container may send from.
func addressesOf(t *testing.T, s *harness.Sandbox, network string) map[netip.Addr]bool {
	own := map[netip.Addr]bool{netip.IPv6Unspecified(): true}
	for _, fam := range families() {
		own[netip.MustParseAddr(s.IP(t, network, fam))] = true
	}
	mac := s.MAC(t, network)
	own[netip.AddrFrom16([16]byte{0xfe, 0x80, 8: mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})] = true
	return own
}

// fromOnly lets one origin's frames pass, from its own addresses.
func fromOnly(origin byte, own map[byte]map[netip.Addr]bool) func(wirefuzz.Mark, []byte) error {
	return func(m wirefuzz.Mark, b []byte) error {
		if m.Origin != origin {
			return errors.New("from another network")
		}
		return honest(b, own[origin], nil)
	}
}

// honest demands one of the sender's addresses. What isn't IP claims nothing.
func honest(b []byte, own, gateways map[netip.Addr]bool) error {
	p, err := frame.Parse(b)
	if err == nil && !own[p.Src] && !gateways[p.Src] {
		return fmt.Errorf("spoofed %s", p.Src)
	}
	return nil
}

const (
	protoICMP, protoTCP, protoUDP, protoICMPv6 = 1, 6, 17, 58
	etherARP                                   = 0x0806
)

// withoutICC lets pass what a network needs in which nobody may reach his peers.
func withoutICC(m wirefuzz.Mark, b []byte) error {
	if m.Origin != 'n' {
		return errors.New("from another network")
	}
	if p, err := frame.Parse(b); err == nil && !p.Src.Is4() && p.Proto == protoICMPv6 {
		return nil
	}
	if binary.BigEndian.Uint16(b[12:]) == etherARP {
		return nil
	}
	return errors.New("from a peer, with icc=false")
}

// inA2 is for a peer whose port is published: from its network in the sender's name, from
// elsewhere to that port.
func inA2(own map[byte]map[netip.Addr]bool, gateways map[netip.Addr]bool) func(wirefuzz.Mark, []byte) error {
	return func(m wirefuzz.Mark, b []byte) error {
		switch m.Origin {
		case 'i':
			return errors.New("out of an internal network")
		case 'a':
			return honest(b, own['a'], gateways)
		case 'n':
			if err := honest(b, nil, gateways); err != nil {
				return err
			}
		}
		return errors.Join(atPublishedPort(b), valid(m, b))
	}
}

// atPublishedPort demands a packet to port 80, or one that belongs to another: a later
// fragment, or an error.
func atPublishedPort(b []byte) error {
	p, err := frame.Parse(b)
	if err != nil {
		return err
	}
	switch {
	case p.Later:
		return nil
	case p.Proto == protoICMP || p.Proto == protoICMPv6:
		if kind := b[p.Offset]; p.Src.Is4() && (kind == 3 || kind == 11 || kind == 12) || !p.Src.Is4() && kind >= 1 && kind <= 4 {
			return nil
		}
	case p.Proto == protoTCP || p.Proto == protoUDP:
		if binary.BigEndian.Uint16(b[p.Offset+2:]) == 80 {
			return nil
		}
	}
	return fmt.Errorf("protocol %d to what isn't published", p.Proto)
}

// atUplink is for everything that leaves the host, marked or not. The host answers who asks it
// by a gateway's address; no container's leaves in any state.
func (f *fuzz) atUplink(gateways map[netip.Addr]bool) func(b []byte) error {
	marked := f.judge("", outside)
	return func(b []byte) error {
		if src := sourceOf(b); isContainers(src) && !gateways[src] {
			return fmt.Errorf("a container's address, %s, leaves", src)
		}
		return marked(b)
	}
}

// sourceOf reads what lies where the source would, however broken the rest is.
func sourceOf(b []byte) netip.Addr {
	const src4, src6 = 14 + 12, 14 + 8
	switch kind := binary.BigEndian.Uint16(b[12:]); {
	case kind == 0x0800 && len(b) >= src4+4:
		return netip.AddrFrom4([4]byte(b[src4:]))
	case kind == 0x86dd && len(b) >= src6+16:
		return netip.AddrFrom16([16]byte(b[src6:]))
	}
	return netip.Addr{}
}

// isContainers tells the test networks' addresses from those that damage made of them.
func isContainers(a netip.Addr) bool {
	return slices.ContainsFunc([]int{numA, numB, numI, numI + 1}, func(n int) bool {
		return netip.MustParsePrefix(harness.Subnet4(n)).Contains(a) || netip.MustParsePrefix(harness.Subnet6(n)).Contains(a)
	})
}

// outside is for attackers' frames that leave the host.
func outside(m wirefuzz.Mark, b []byte) error {
	if m.Origin == 'i' {
		return errors.New("out of an internal network")
	}
	if m.Origin == 'l' {
		return nil // an answer, whose checksum a device has yet to finish
	}
	return valid(m, b)
}

// valid demands that what was right still is.
func valid(m wirefuzz.Mark, b []byte) error {
	if _, err := frame.Parse(b); err != nil || !m.Valid {
		return nil
	}
	return frame.Check(b)
}

// listen has a socket of the host look at who sends to it.
func (f *fuzz) listen(t *testing.T, network string, own map[byte]map[netip.Addr]bool) {
	t.Helper()
	var pc net.PacketConn
	if err := f.Host.Do(func() (err error) {
		pc, err = net.ListenPacket(network, fmt.Sprint(":", hostPort))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	t.Cleanup(func() { pc.Close(); <-over })
	go func() {
		defer close(over)
		buf := make([]byte, 1<<16)
		for {
			n, from, err := pc.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			m, marked := wirefuzz.Find(buf[:max(n, 0)])
			if err != nil || !marked {
				continue
			}
			src := from.(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone("")
			if !mayReachHost(m.Origin, src, own) {
				t.Errorf("%c's frame %d reached a socket of the host from %s", m.Origin, m.Serial, src)
			}
			f.arrived[string(m.Origin)+" in the host"].Add(1)
		}
	}()
}

// mayReachHost: a container in its own name, the LAN in nobody's of the containers.
func mayReachHost(origin byte, src netip.Addr, own map[byte]map[netip.Addr]bool) bool {
	if origin != 'l' {
		return own[origin][src]
	}
	return !isContainers(src) && !src.IsLoopback()
}
