// SPDX-License-Identifier: Apache-2.0

package link

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/nl"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestUplinkByDevice(t *testing.T) {
	attrs := func(name string, change ...func(*netlink.LinkAttrs)) netlink.LinkAttrs {
		a := netlink.LinkAttrs{Name: name, Index: 7}
		for _, c := range change {
			c(&a)
		}
		return a
	}
	master := func(index int) func(*netlink.LinkAttrs) {
		return func(a *netlink.LinkAttrs) { a.MasterIndex = index }
	}
	alias := func(a *netlink.LinkAttrs) { a.Alias = AliasPrefix + "x" }
	up := func(a *netlink.LinkAttrs) { a.Flags |= net.FlagUp }
	bond := &netlink.Bond{LinkAttrs: netlink.LinkAttrs{Name: "bond0", Index: 100}}
	vrf := &netlink.Vrf{LinkAttrs: netlink.LinkAttrs{Name: "blue", Index: 101}}
	for _, c := range []struct {
		link  netlink.Link
		scope Scope
		want  bool
	}{
		{&netlink.Device{LinkAttrs: attrs("lo", func(a *netlink.LinkAttrs) { a.Flags = net.FlagLoopback })}, Scope{}, false},
		{&netlink.Device{LinkAttrs: attrs("eth0")}, Scope{}, true},
		{&netlink.Device{LinkAttrs: attrs("eth0", up)}, Scope{}, true},
		{&netlink.Device{LinkAttrs: attrs("eth0")}, Scope{Uplinks: []string{"eth1"}}, false},
		{&netlink.Device{LinkAttrs: attrs("eth1")}, Scope{Uplinks: []string{"eth1"}}, true},
		{&netlink.Device{LinkAttrs: attrs("eth0", master(100))}, Scope{}, false},
		{bond, Scope{}, true},
		{&netlink.Device{LinkAttrs: attrs("eth0", master(101))}, Scope{}, true},
		{vrf, Scope{}, false},
		{&netlink.Vlan{LinkAttrs: attrs("eth0.10")}, Scope{}, true},
		{&netlink.Wireguard{LinkAttrs: attrs("wg0")}, Scope{}, true},
		{&netlink.Iptun{LinkAttrs: attrs("tunl0")}, Scope{}, false},
		{&netlink.Iptun{LinkAttrs: attrs("tunl0", up)}, Scope{}, true},
		{&netlink.Iptun{LinkAttrs: attrs("tunl1")}, Scope{}, true},
		{&netlink.Ifb{LinkAttrs: attrs("ifb0")}, Scope{}, false},
		{&netlink.Bridge{LinkAttrs: attrs("br0")}, Scope{}, true},
		{&netlink.Bridge{LinkAttrs: attrs("br0")}, Scope{Ignore: func(n string) bool { return n == "br0" }}, false},
		{&netlink.Bridge{LinkAttrs: attrs("docker0")}, Scope{}, false},
		{&netlink.Bridge{LinkAttrs: attrs("br-0123456789ab")}, Scope{}, false},
		{&netlink.Bridge{LinkAttrs: attrs("fairway0", alias)}, Scope{}, false},
		{&netlink.Veth{LinkAttrs: attrs("eth0")}, Scope{}, true},
		{&netlink.Veth{LinkAttrs: attrs("veth0")}, Scope{}, true},
		{&netlink.Veth{LinkAttrs: attrs("veth1a2b3c4")}, Scope{}, false},
		{&netlink.Veth{LinkAttrs: attrs("veth0123456789a")}, Scope{}, false},
		{&netlink.Veth{LinkAttrs: attrs("mine", alias)}, Scope{}, false},
		{&netlink.Vxlan{LinkAttrs: attrs("testvxlan")}, Scope{}, false},
		{&netlink.Vxlan{LinkAttrs: attrs("vx-001001-q4d1z")}, Scope{}, false},
		{&netlink.Vxlan{LinkAttrs: attrs("vxlan0")}, Scope{}, true},
		{&netlink.Macvlan{LinkAttrs: attrs("veth1a2b3c4")}, Scope{}, false},
		{&netlink.IPVlan{LinkAttrs: attrs("veth1a2b3c4")}, Scope{}, false},
		{&netlink.Macvlan{LinkAttrs: attrs("mac0")}, Scope{}, true},
		{&netlink.Dummy{LinkAttrs: attrs("dm-0123456789ab")}, Scope{}, false},
		{&netlink.Dummy{LinkAttrs: attrs("di-0123456789ab")}, Scope{}, false},
	} {
		if got := c.scope.uplink(c.link, []netlink.Link{bond, vrf, c.link}); got != c.want {
			t.Errorf("%s %+v: got %v, want %v", c.link.Type(), c.link.Attrs(), got, c.want)
		}
	}
}

func TestUplinkAddressesPutTheBestFirst(t *testing.T) {
	addr := func(prefix string, scope uint8, flags uint32) nl.Address {
		return nl.Address{Prefix: netip.MustParsePrefix(prefix), Scope: scope, Flags: flags}
	}
	got := uplinkAddresses([]nl.Address{
		addr("192.0.2.9/24", unix.RT_SCOPE_UNIVERSE, unix.IFA_F_SECONDARY),
		addr("192.0.2.1/24", unix.RT_SCOPE_UNIVERSE, 0),
		addr("169.254.1.1/16", unix.RT_SCOPE_LINK, 0),
		addr("2001:db8::3/64", unix.RT_SCOPE_UNIVERSE, unix.IFA_F_DEPRECATED),
		addr("2001:db8::2/64", unix.RT_SCOPE_UNIVERSE, unix.IFA_F_TEMPORARY),
		addr("2001:db8::1/64", unix.RT_SCOPE_UNIVERSE, 0),
		addr("2001:db8::4/64", unix.RT_SCOPE_UNIVERSE, unix.IFA_F_DADFAILED),
		addr("fe80::1/64", unix.RT_SCOPE_LINK, 0),
	})
	var text []string
	for _, p := range got {
		text = append(text, p.String())
	}
	want := []string{"192.0.2.1/24", "2001:db8::1/64", "192.0.2.9/24", "2001:db8::2/64", "2001:db8::3/64"}
	if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
}

// reportTo looks at the host and passes on what it sees.
func reportTo(reports chan<- model.Host, h *Host, scope Scope) func(context.Context) error {
	return func(context.Context) error {
		now, err := h.Observe(scope)
		if err == nil {
			reports <- now
		}
		return err
	}
}

// watched collects what is seen when a watcher says so.
func watched(t *testing.T, h *Host, scope Scope) (*Watcher, func(what string, is func(model.Host) bool)) {
	t.Helper()
	w, err := h.NewWatcher(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	reports, done := make(chan model.Host, 1000), make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx, reportTo(reports, h, scope))
	}()
	t.Cleanup(func() { cancel(); <-done })
	return w, func(what string, is func(model.Host) bool) {
		t.Helper()
		timeout := time.After(time.Minute)
		var last model.Host
		for {
			select {
			case last = <-reports:
				if is(last) {
					return
				}
			case <-timeout:
				t.Fatalf("still waiting for %s; last seen %+v", what, last)
			}
		}
	}
}

func uplinkNames(h model.Host) []string {
	names := []string{}
	for _, u := range h.Uplinks {
		names = append(names, u.Name)
	}
	slices.Sort(names)
	return names
}

// addLink makes a veth whose other end is in a namespace of its own, like a cable.
func addLink(t *testing.T, h *Host, other *Sandbox, name string) netlink.Link {
	t.Helper()
	veth := netlink.NewVeth(netlink.LinkAttrs{Name: name})
	veth.PeerName, veth.PeerNamespace = "lan"+name, netlink.NsFd(other.ns.Fd())
	if err := h.nl.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	return linkOf(t, h.nl, name)
}

func TestWatcherFollowsTheHost(t *testing.T) {
	h, _ := newTestHost(t)
	lan, _ := newTestSandbox(t)
	sb, _ := newTestSandbox(t)
	_, next := watched(t, h, Scope{})
	names := func(want ...string) func(model.Host) bool {
		return func(h model.Host) bool { return slices.Equal(uplinkNames(h), want) }
	}
	next("the host as it is", names())
	eth0 := addLink(t, h, lan, "eth0")
	next("the first uplink", names("eth0"))

	prefix := netip.MustParsePrefix("192.0.2.1/24")
	if err := h.nl.AddrAdd(eth0, &netlink.Addr{IPNet: ipNet(prefix)}); err != nil {
		t.Fatal(err)
	}
	next("its address", func(h model.Host) bool {
		return len(h.Uplinks) == 1 && slices.Contains(h.Uplinks[0].Addresses, prefix) && slices.Contains(h.Addresses, prefix.Addr())
	})
	ensure(t, h, testBridge())
	attach(t, h, sb, testVeth(), testInterface())
	next("the gateway's address", func(h model.Host) bool {
		return slices.Contains(h.Addresses, gateway4.Addr()) && slices.Contains(h.Addresses, gateway6.Addr()) && names("eth0")(h)
	})
	addLink(t, h, lan, "eth1")
	next("the second uplink", names("eth0", "eth1"))
	if err := h.nl.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}); err != nil {
		t.Fatal(err)
	}
	br0 := linkOf(t, h.nl, "br0")
	next("a bridge of somebody's", names("br0", "eth0", "eth1"))
	if err := h.nl.LinkSetMaster(eth0, br0); err != nil {
		t.Fatal(err)
	}
	next("its member to vanish", names("br0", "eth1"))
	if err := h.nl.AddrDel(eth0, &netlink.Addr{IPNet: ipNet(prefix)}); err != nil {
		t.Fatal(err)
	}
	next("the address to vanish", func(h model.Host) bool { return !slices.Contains(h.Addresses, prefix.Addr()) })
	if err := h.nl.LinkDel(br0); err != nil {
		t.Fatal(err)
	}
	next("its member to come back", names("eth0", "eth1"))
}

// Looking at all devices costs in proportion to their number, so that nothing of
// an endpoint's life may cause it.
func TestEndpointsAreNoise(t *testing.T) {
	h, _ := newTestHost(t)
	sb, _ := newTestSandbox(t)
	ensure(t, h, testBridge())
	w, err := h.NewWatcher(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer w.events.Close()
	attach(t, h, sb, testVeth(), testInterface())
	dockers := dockersVeth(t, h, sb)
	linkLocal := netip.MustParsePrefix("fe80::1/64")
	if err := h.nl.AddrAdd(dockers, &netlink.Addr{IPNet: ipNet(linkLocal), Scope: unix.RT_SCOPE_LINK, Flags: unix.IFA_F_NODAD}); err != nil {
		t.Fatal(err)
	}
	host, err := h.Observe(Scope{})
	if err != nil || slices.Contains(host.Addresses, linkLocal.Addr()) {
		t.Errorf("the host's addresses are %v, %v, want none of a container's device", host.Addresses, err)
	}
	if err := errors.Join(h.nl.LinkDel(dockers), h.DeleteVeth(testVeth().HostName, testVeth().EndpointID)); err != nil {
		t.Fatal(err)
	}
	bridge := linkOf(t, h.nl, testBridge().Name).Attrs().Index
	// The end of what there is to read.
	mark := netip.MustParsePrefix("192.0.2.1/32")
	if err := h.nl.AddrAdd(linkOf(t, h.nl, "lo"), &netlink.Addr{IPNet: ipNet(mark)}); err != nil {
		t.Fatal(err)
	}
	for heard := 0; ; {
		messages, _, err := w.events.Receive()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			// The kernel tells of the bridge's IPv6 address some time after it was added.
			if m.Header.Type == unix.RTM_NEWADDR && binary.NativeEndian.Uint32(m.Data[4:]) == uint32(bridge) {
				continue
			}
			if !w.noise(m) {
				if m.Header.Type != unix.RTM_NEWADDR || heard == 0 {
					t.Errorf("message of type %d is no noise, after %d that are: %x", m.Header.Type, heard, m.Data)
				}
				return
			}
			heard++
		}
	}
}

// There may be thousands of addresses of services. That one goes is news.
func TestOwnAddressesAreNoNewsWhenTheyCome(t *testing.T) {
	h, _ := newTestHost(t)
	ensure(t, h, testBridge())
	w, err := h.NewWatcher(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer w.events.Close()
	own := []netip.Addr{netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("2001:db8:7::7")}
	w.Ignore(func(a netip.Addr) bool { return slices.Contains(own, a) })
	if err := errors.Join(h.AddServiceAddress(testBridge().Name, own[0]), h.RemoveServiceAddress(testBridge().Name, own[0]),
		h.AddServiceAddress(testBridge().Name, own[1])); err != nil {
		t.Fatal(err)
	}
	// The kernel tells of the IPv6 address some time after it was added.
	for ignored, gone := 0, 0; ignored < len(own); {
		messages, _, err := w.events.Receive()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			about := slices.IndexFunc(own, func(a netip.Addr) bool { return bytes.Contains(m.Data, a.AsSlice()) })
			switch {
			case w.ownAddress(m):
				if ignored++; ignored == len(own) && gone == 0 {
					t.Error("an address that went was no news")
				}
			case m.Header.Type == unix.RTM_DELADDR && about == 0:
				gone++
			case m.Header.Type == unix.RTM_NEWADDR && about >= 0:
				t.Fatalf("%s was news", own[about])
			}
		}
	}
}

// dockersVeth makes a device as Docker does, and sets it up.
func dockersVeth(t *testing.T, h *Host, sb *Sandbox) netlink.Link {
	t.Helper()
	veth := netlink.NewVeth(netlink.LinkAttrs{Name: "veth0123abc", MTU: 1500, TxQLen: -1})
	veth.PeerName, veth.PeerNamespace = "inner", netlink.NsFd(sb.ns.Fd())
	if err := h.nl.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	l := linkOf(t, h.nl, "veth0123abc")
	if err := h.nl.LinkSetUp(l); err != nil {
		t.Fatal(err)
	}
	return l
}

// More reports than the socket holds are lost (ENOBUFS); the last state isn't.
func TestWatcherSurvivesAFlood(t *testing.T) {
	h, _ := newTestHost(t)
	lan, _ := newTestSandbox(t)
	eth0 := addLink(t, h, lan, "eth0")
	w, err := h.NewWatcher(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	// Nobody reads yet, and there is room for one or two reports.
	if err := w.events.SetReceiveBufferSize(2048, true); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if err := h.nl.AddrAdd(eth0, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix(fmt.Sprintf("10.0.%d.1/24", i)))}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	reports, done := make(chan model.Host, 100), make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx, reportTo(reports, h, Scope{}))
	}()
	if first := <-reports; len(first.Uplinks) != 1 || len(first.Uplinks[0].Addresses) != 50 {
		t.Errorf("got %+v, want all 50 addresses", first)
	}
	if err := h.nl.AddrAdd(eth0, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("10.1.0.1/24"))}); err != nil {
		t.Fatal(err)
	}
	for len((<-reports).Uplinks[0].Addresses) != 51 {
	}
	cancel()
	<-done
}

// A socket that breaks is replaced, and what happened meanwhile is seen.
func TestWatcherSubscribesAgain(t *testing.T) {
	h, _ := newTestHost(t)
	lan, _ := newTestSandbox(t)
	w, err := h.NewWatcher(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w.events.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	reports, done := make(chan model.Host, 100), make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx, reportTo(reports, h, Scope{}))
	}()
	<-reports
	addLink(t, h, lan, "eth0")
	for !slices.Equal(uplinkNames(<-reports), []string{"eth0"}) {
	}
	cancel()
	<-done
}

// A look that failed is repeated though nothing changes any more.
func TestWatcherLooksAgainAfterAnError(t *testing.T) {
	h, _ := newTestHost(t)
	w, err := h.NewWatcher(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	looks := 0
	w.Run(ctx, func(context.Context) error {
		if looks++; looks == 1 {
			return errors.New("the first look fails")
		}
		cancel()
		return nil
	})
	if looks != 2 {
		t.Errorf("%d looks, want a second one after the first failed", looks)
	}
}

func TestRefreshAsksWhatIsIgnored(t *testing.T) {
	h, _ := newTestHost(t)
	if err := h.nl.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}); err != nil {
		t.Fatal(err)
	}
	adopted := make(chan bool, 1)
	adopted <- false
	w, next := watched(t, h, Scope{Ignore: func(string) bool { is := <-adopted; adopted <- is; return is }})
	next("the bridge", func(h model.Host) bool { return len(h.Uplinks) == 1 })
	<-adopted
	adopted <- true
	w.Refresh()
	next("the bridge to vanish", func(h model.Host) bool { return len(h.Uplinks) == 0 })
}
