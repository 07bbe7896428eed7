// SPDX-License-Identifier: Apache-2.0

package pktgen

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/fairway-project/fairway/userspace/netns"
)

const mark = 0x6661697277617921

// pair is two namespaces with a veth between them: a sends, b receives.
type pair struct {
	a, b       string
	aMAC, bMAC net.HardwareAddr
}

func newPair(t *testing.T) *pair {
	t.Helper()
	dir := t.TempDir()
	check(t, netns.PrepareDir(dir))
	t.Cleanup(func() { check(t, netns.RemoveDir(dir)) })
	p := &pair{a: filepath.Join(dir, "a"), b: filepath.Join(dir, "b")}
	check(t, netns.Create(p.a))
	check(t, netns.Create(p.b))
	p.wire(t)
	check(t, SetGRO(p.b, "eth0", true))
	return p
}

func (p *pair) wire(t *testing.T) {
	t.Helper()
	ns, err := netns.Open(p.b)
	check(t, err)
	defer ns.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "eth0"
	check(t, netns.Do(p.a, func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(ns.Fd())})
	}))
	for path, to := range map[string]struct {
		mac   *net.HardwareAddr
		addrs []string
	}{
		p.a: {&p.aMAC, []string{"192.0.2.1/24", "2001:db8::1/64"}},
		p.b: {&p.bMAC, []string{"192.0.2.200/24", "2001:db8::2/64"}},
	} {
		check(t, netns.Do(path, func() error { return up(to.addrs, to.mac) }))
	}
}

func up(addrs []string, mac *net.HardwareAddr) error {
	dev, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	*mac = dev.Attrs().HardwareAddr
	for _, text := range addrs {
		addr, err := netlink.ParseAddr(text)
		if err != nil {
			return err
		}
		addr.Flags = 2 // IFA_F_NODAD
		if err := netlink.AddrAdd(dev, addr); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(dev)
}

func (p *pair) config(flows Flows) Config {
	return Config{Netns: p.a, Device: "eth0", SrcMAC: p.aMAC, DstMAC: p.bMAC, Flows: flows, Mark: mark}
}

func (p *pair) generator(t *testing.T, cfg Config) *Generator {
	t.Helper()
	g, err := New(cfg)
	check(t, err)
	t.Cleanup(func() { check(t, g.Close()) })
	return g
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func from(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }

var families = map[string]Flows{
	"ipv4": {Src: from("192.0.2.1:1000"), Dst: from("192.0.2.200:9")},
	"ipv6": {Src: from("[2001:db8::1]:1000"), Dst: from("[2001:db8::2]:9")},
}

// More packets than there are pages to make them in, so that pages are used again.
const many = 3000

func TestEveryPacketArrivesAtDevice(t *testing.T) {
	for name, flows := range families {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			flows.SrcPorts, flows.SrcAddrs, flows.DstAddrs = 256, 4, 2
			g := p.generator(t, p.config(flows))
			s, err := AtDevice(p.b, "eth0", Want{Mark: mark, DstPort: 9})
			check(t, err)
			defer func() { check(t, s.Close()) }()
			check(t, s.Verify(true))
			sent, err := g.Run(t.Context(), many)
			check(t, err)
			check(t, s.Wait(t.Context(), sent.Packets))
			c, err := s.Count()
			check(t, err)
			if c.Handovers != 1 {
				t.Errorf("packets came on the time of %d tasks", c.Handovers)
			}
			if sent.Packets < many || sent.Elapsed <= 0 {
				t.Errorf("sent %+v", sent)
			}
		})
	}
}

// At a socket they have passed the kernel's checks of addresses and checksums.
func TestEveryPacketArrivesAtSocket(t *testing.T) {
	for name, flows := range families {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			flows.SrcPorts = 256
			g := p.generator(t, p.config(flows))
			s, err := AtSocket(p.b, flows.Dst, Want{Mark: mark})
			check(t, err)
			defer func() { check(t, s.Close()) }()
			sent, err := g.RunFor(t.Context(), 5*time.Millisecond)
			check(t, err)
			check(t, s.Wait(t.Context(), sent.Packets))
		})
	}
}

func TestSinkTellsWhatIsWrong(t *testing.T) {
	p := newPair(t)
	g := p.generator(t, p.config(families["ipv4"]))
	for name, want := range map[string]Want{
		"source":      {Mark: mark, Src: netip.MustParseAddr("192.0.2.9")},
		"destination": {Mark: mark, Dst: netip.MustParseAddr("192.0.2.9")},
		"port":        {Mark: mark, DstPort: 10},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := AtDevice(p.b, "eth0", want)
			check(t, err)
			defer func() { check(t, s.Close()) }()
			sent, err := g.Run(t.Context(), 10)
			check(t, err)
			if err := s.Wait(t.Context(), sent.Packets); err == nil || errors.Is(err, ErrLost) {
				t.Errorf("wait: %v", err)
			}
		})
	}
	t.Run("mark", func(t *testing.T) {
		s, err := AtDevice(p.b, "eth0", Want{Mark: mark + 1})
		check(t, err)
		defer func() { check(t, s.Close()) }()
		sent, err := g.Run(t.Context(), 10)
		check(t, err)
		if err := s.Wait(t.Context(), sent.Packets); !errors.Is(err, ErrLost) {
			t.Errorf("wait: %v", err)
		}
	})
}

func TestCorruptPacketsAreSeen(t *testing.T) {
	p := newPair(t)
	g := p.generator(t, p.config(families["ipv4"]))
	// One byte of the payload, which the precomputed sum doesn't know of.
	var template [82]byte
	check(t, g.objects.Template.Get(&template))
	template[60]++
	check(t, g.objects.Template.Set(template))
	s, err := AtDevice(p.b, "eth0", Want{Mark: mark})
	check(t, err)
	defer func() { check(t, s.Close()) }()
	check(t, s.Verify(true))
	_, err = g.Run(t.Context(), 10)
	check(t, err)
	c, err := s.Count()
	check(t, err)
	if c.Corrupt < 10 || c.Arrived != 0 {
		t.Errorf("counted %+v", c)
	}
}

// A receiver that doesn't poll takes no redirected frames.
func TestLossIsSeen(t *testing.T) {
	p := newPair(t)
	check(t, SetGRO(p.b, "eth0", false))
	g := p.generator(t, p.config(families["ipv4"]))
	s, err := AtDevice(p.b, "eth0", Want{Mark: mark})
	check(t, err)
	defer func() { check(t, s.Close()) }()
	sent, err := g.Run(t.Context(), 10)
	check(t, err)
	if err := s.Wait(t.Context(), sent.Packets); !errors.Is(err, ErrLost) {
		t.Errorf("wait: %v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	p := newPair(t)
	g := p.generator(t, p.config(families["ipv4"]))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	sent, err := g.RunFor(ctx, time.Hour)
	check(t, err)
	if sent.Packets == 0 || sent.Elapsed > 10*time.Second {
		t.Errorf("sent %+v", sent)
	}
}

func TestConfigIsChecked(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	for name, cfg := range map[string]Config{
		"no MAC":         {Flows: families["ipv4"]},
		"mixed families": {SrcMAC: mac, DstMAC: mac, Flows: Flows{Src: from("192.0.2.1:1"), Dst: from("[2001:db8::2]:9")}},
		"past last port": {SrcMAC: mac, DstMAC: mac, Flows: Flows{Src: from("192.0.2.1:65535"), Dst: from("192.0.2.2:9"), SrcPorts: 2}},
		"too many flows": {SrcMAC: mac, DstMAC: mac, Flows: Flows{Src: from("192.0.2.1:1"), Dst: from("192.0.2.2:9"), Count: 2}},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
