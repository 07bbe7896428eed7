// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/userspace/conntrack"
	"github.com/fairway-project/fairway/userspace/model"
)

// tracked is a connection that netfilter has an entry of.
type tracked struct {
	proto    model.Proto
	state    uint8
	src, dst netip.AddrPort
}

func (c tracked) tuple() conntrack.Tuple {
	return conntrack.Tuple{Proto: uint8(c.proto), Src: c.src, Dst: c.dst}
}

// track makes netfilter's entries.
func (w *world) track(all ...tracked) {
	w.t.Helper()
	side := func(src, dst netip.AddrPort, proto model.Proto) netlink.IPTuple {
		return netlink.IPTuple{
			Protocol: uint8(proto), SrcIP: src.Addr().AsSlice(), SrcPort: src.Port(), DstIP: dst.Addr().AsSlice(), DstPort: dst.Port(),
		}
	}
	w.do(func() error {
		for _, c := range all {
			family := uint8(unix.AF_INET)
			if c.src.Addr().Is6() {
				family = unix.AF_INET6
			}
			entry := &netlink.ConntrackFlow{FamilyType: family, Forward: side(c.src, c.dst, c.proto), Reverse: side(c.dst, c.src, c.proto), TimeOut: 3600}
			if c.proto == model.TCP {
				entry.ProtoInfo = &netlink.ProtoInfoTCP{State: c.state}
			}
			if err := netlink.ConntrackCreate(netlink.ConntrackTable, netlink.InetFamily(family), entry); err != nil {
				return err
			}
		}
		return nil
	})
}

// tracks are the connections that netfilter has entries of.
func (w *world) tracks() map[conntrack.Tuple]bool {
	w.t.Helper()
	found := make(map[conntrack.Tuple]bool)
	w.do(func() error {
		table, err := conntrack.Open()
		if err != nil {
			return err
		}
		defer table.Close()
		_, err = table.List(func(c *conntrack.Connection) bool {
			found[c.Orig] = true
			return false
		})
		return err
	})
	return found
}

// Netfilter's entries of an endpoint that is gone go, though a packet has removed the flows before
// a pass could: there are none here.
func TestForgetsWhatHasNoFlow(t *testing.T) {
	const established, synSent = conntrack.TCPEstablished, 1
	w, e := flowWorld(t)
	w.firstPacket(true)
	w.sysctl("ipv4/ip_forward", "1")
	w.sysctl("ipv6/conf/all/forwarding", "1")
	other := w.endpoint(2)
	w.ensure(w.hostIs(w.host()), w.networkIs(w.network()), w.endpointIs(e), w.endpointIs(other))
	remote, remote6 := netip.MustParseAddrPort("198.51.100.1:80"), netip.MustParseAddrPort("[2001:db8::1]:80")
	of := func(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, 5000) }
	out := tracked{model.TCP, established, of(e.IPv4), remote}
	in := tracked{model.TCP, established, netip.AddrPortFrom(remote.Addr(), 81), of(e.IPv4)}
	out6 := tracked{model.TCP, established, of(e.IPv6), remote6}
	in6 := tracked{model.TCP, established, netip.AddrPortFrom(remote6.Addr(), 81), of(e.IPv6)}
	handshake := tracked{model.TCP, synSent, of(e.IPv4), netip.AddrPortFrom(remote.Addr(), 82)}
	datagrams := tracked{model.UDP, 0, of(e.IPv4), remote}
	others := tracked{model.TCP, established, of(other.IPv4), remote}
	w.track(out, in, out6, in6, handshake, datagrams, others)
	w.ensure(w.endpointGone(e.ID))
	want := map[conntrack.Tuple]bool{handshake.tuple(): true, datagrams.tuple(): true, others.tuple(): true}
	for deadline := time.Now().Add(30 * time.Second); len(w.tracks()) != len(want) && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	equal(t, "netfilter has", w.tracks(), want)
}

// Who has the address of an endpoint that is gone keeps the connections that it has flows for.
func TestForgetSparesTheHeir(t *testing.T) {
	w, e := flowWorld(t)
	w.firstPacket(true)
	w.sysctl("ipv4/ip_forward", "1")
	w.sysctl("ipv6/conf/all/forwarding", "1")
	w.ensure(w.hostIs(w.host()), w.networkIs(w.network()), w.endpointIs(e))
	st := w.dp.endpoints.byID[e.ID]
	var all []tracked
	want := make(map[conntrack.Tuple]bool)
	add := func(remote, local netip.AddrPort, out, fresh bool, generation uint16) {
		h := flow.Half{
			Key:    flow.Key{Src: local, Dst: remote, Zone: flow.Zone(st.value.Network), Proto: uint8(model.TCP)},
			NATSrc: local, NATDst: remote, LastSeen: w.jiffies(), State: stateSeen, Flags: flagTwinWorld,
			Endpoint: st.slot, EndpointGeneration: generation,
		}
		c := tracked{model.TCP, conntrack.TCPEstablished, remote, local}
		if out {
			h.Flags |= flagOrigin
			c.src, c.dst = local, remote
		}
		if generation != 0 {
			w.put(h)
		}
		if fresh {
			want[c.tuple()] = true
		}
		all = append(all, c)
	}
	for i, local := range []netip.Addr{e.IPv4, e.IPv6} {
		remote := []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8::1")}[i]
		for j, generation := range []uint16{st.value.Generation, st.value.Generation - 1, 0} {
			for k, out := range []bool{true, false} {
				add(netip.AddrPortFrom(remote, uint16(1000+10*j+k)), netip.AddrPortFrom(local, 80), out, j == 0, generation)
			}
		}
	}
	w.track(all...)
	w.dp.endpoints.departed.put(e.IPv4, e.IPv6)
	if err := w.dp.collector.forget(); err != nil {
		t.Fatal(err)
	}
	equal(t, "netfilter has", w.tracks(), want)
	if again := w.dp.collector.departed.take(); len(again) != 0 {
		t.Errorf("%v are to be looked for again", again)
	}
}
