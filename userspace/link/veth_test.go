// SPDX-License-Identifier: Apache-2.0

package link

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/nl"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const endpointID = "aabbccddeeff0011"

func testVeth() Veth {
	return Veth{EndpointID: endpointID, HostName: "vethaabbccddeef", PeerName: "fwaabbccddeef", MAC: model.MAC{2, 0x42, 172, 30, 0, 2}, MTU: 1400, Bridge: testBridge().Name}
}

func testInterface() Interface {
	return Interface{Name: "eth0", IPv4: netip.MustParsePrefix("172.30.0.2/24"), IPv6: netip.MustParsePrefix("fd00:a::2/64")}
}

// attach makes an endpoint with both ends up.
func attach(t *testing.T, h *Host, sb *Sandbox, v Veth, i Interface) Device {
	t.Helper()
	d, err := h.CreateVeth(v, sb)
	if err != nil {
		t.Fatal(err)
	}
	if err := sb.Configure(v.PeerName, i); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(h.SetUp(v.HostName), sb.SetUp(i)); err != nil {
		t.Fatal(err)
	}
	d.Up = true
	return d
}

func TestCreateVethLeavesBothEndsDown(t *testing.T) {
	h, ns := newTestHost(t)
	sb, _ := newTestSandbox(t)
	br := ensure(t, h, testBridge())
	v := testVeth()
	d, err := h.CreateVeth(v, sb)
	if err != nil {
		t.Fatal(err)
	}
	host, peer := linkOf(t, h.nl, v.HostName).Attrs(), linkOf(t, sb.nl, v.PeerName).Attrs()
	if host.Flags&1 != 0 || peer.Flags&1 != 0 {
		t.Error("an end is up")
	}
	if host.MasterIndex != br.Index || host.Index != d.Index || host.Alias != AliasPrefix+endpointID || d.Owner != endpointID {
		t.Errorf("host end is %+v, returned as %+v", host, d)
	}
	if device(linkOf(t, sb.nl, v.PeerName)).MAC != v.MAC || host.MTU != 1400 || peer.MTU != 1400 {
		t.Errorf("inner end has %s, mtu %d, host end mtu %d", peer.HardwareAddr, peer.MTU, host.MTU)
	}
	if got := setting(t, ns, "ipv6/conf/"+v.HostName+"/disable_ipv6"); got != "1" {
		t.Errorf("disable_ipv6 of the host end is %s", got)
	}
	if got := ensure(t, h, testBridge()).MAC; got != bridgeMAC {
		t.Errorf("the bridge's mac address became %s", got)
	}
}

func TestCreateVethReplacesItsLeftoverOnly(t *testing.T) {
	h, _ := newTestHost(t)
	ensure(t, h, testBridge())
	old, _ := newTestSandbox(t)
	sb, _ := newTestSandbox(t)
	first, err := h.CreateVeth(testVeth(), old)
	if err != nil {
		t.Fatal(err)
	}
	second, err := h.CreateVeth(testVeth(), sb)
	if err != nil || second.Index == first.Index {
		t.Fatalf("got %+v, %v, want another device than %+v", second, err, first)
	}
	// As a crash before the alias was set leaves it.
	if err := h.nl.LinkSetAlias(linkOf(t, h.nl, testVeth().HostName), ""); err != nil {
		t.Fatal(err)
	}
	third, err := h.CreateVeth(testVeth(), sb)
	if err != nil || third.Index == second.Index {
		t.Fatalf("got %+v, %v, want another device than %+v", third, err, second)
	}
	// Before it was enslaved, too.
	if err := errors.Join(h.nl.LinkSetAlias(linkOf(t, h.nl, testVeth().HostName), ""),
		h.nl.LinkSetNoMaster(linkOf(t, h.nl, testVeth().HostName))); err != nil {
		t.Fatal(err)
	}
	if third, err = h.CreateVeth(testVeth(), sb); err != nil {
		t.Fatal(err)
	}
	other := testVeth()
	other.EndpointID = "somebody else"
	if _, err := h.CreateVeth(other, sb); !errors.Is(err, ErrForeign) {
		t.Fatalf("got %v, want ErrForeign", err)
	}
	if d, err := h.Find(other.HostName); err != nil || d != third {
		t.Fatalf("the device is %+v, %v, want %+v", d, err, third)
	}
}

func TestCreateVethNamesWhatIsMissing(t *testing.T) {
	h, _ := newTestHost(t)
	sb, _ := newTestSandbox(t)
	if _, err := h.CreateVeth(testVeth(), sb); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), testBridge().Name) {
		t.Errorf("got %v, want ErrNotFound for the bridge", err)
	}
	ensure(t, h, testBridge())
	if err := sb.nl.LinkAdd(&netlink.Ifb{LinkAttrs: netlink.LinkAttrs{Name: testVeth().PeerName}}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.CreateVeth(testVeth(), sb); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), testVeth().PeerName) {
		t.Errorf("got %v, want ErrForeign for the inner name", err)
	}
	if owned, err := h.Owned(); err != nil || len(owned) != 1 {
		t.Errorf("devices are %v, %v, want the bridge alone", owned, err)
	}
}

func TestAttachedSandboxReachesItsGateway(t *testing.T) {
	h, host := newTestHost(t)
	sb, ns := newTestSandbox(t)
	ensure(t, h, testBridge())
	i := testInterface()
	i.Sysctls = map[string]string{"net.ipv4.conf.IFNAME.log_martians": "1"}
	i.Routes = []Route{{Dst: netip.MustParsePrefix("10.5.0.0/16"), Via: gateway4.Addr()}, {Dst: netip.MustParsePrefix("10.6.0.0/16")}}
	attach(t, h, sb, testVeth(), i)
	if diff := cmp.Diff([]string{"172.30.0.2/24", "fd00:a::2/64"}, addresses(t, sb.nl, "eth0")); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{
		"ipv4/conf/eth0/log_martians": "1", "ipv6/conf/eth0/accept_ra": "0", "ipv6/conf/eth0/addr_gen_mode": "0",
	} {
		if got := setting(t, ns, name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	routes, err := nl.RouteListFiltered(sb.nl, netlink.FAMILY_V4, new(netlink.Route), 0)
	if err != nil || len(routes) != 3 {
		t.Errorf("routes are %v, %v, want the subnet's and two more", routes, err)
	}
	for _, gw := range []netip.Addr{gateway4.Addr(), gateway6.Addr()} {
		exchange(t, ns, host, gw)
	}
	linkLocal := netip.MustParseAddr("fe80::42:acff:fe1e:2")
	if !hasAddress(mustAddrs(t, sb.nl, "eth0"), linkLocal) {
		t.Errorf("no address %s made from the mac address", linkLocal)
	}
}

func hasAddress(addrs []netlink.Addr, want netip.Addr) bool {
	for _, a := range addrs {
		if p, ok := addressOf(a); ok && p.Addr() == want {
			return true
		}
	}
	return false
}

// exchange sends a datagram from one namespace to a socket in another.
func exchange(t *testing.T, from, to string, dst netip.Addr) {
	t.Helper()
	family := unix.AF_INET6
	if dst.Is4() {
		family = unix.AF_INET
	}
	var server, client int
	if err := netns.Do(to, func() (err error) { server, err = unix.Socket(family, unix.SOCK_DGRAM, 0); return err }); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(server)
	if err := netns.Do(from, func() (err error) { client, err = unix.Socket(family, unix.SOCK_DGRAM, 0); return err }); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(client)
	var addr unix.Sockaddr = &unix.SockaddrInet6{Addr: dst.As16(), Port: 7777}
	if dst.Is4() {
		addr = &unix.SockaddrInet4{Addr: dst.As4(), Port: 7777}
	}
	if err := errors.Join(unix.Bind(server, addr), unix.Sendto(client, []byte("hello"), 0, addr)); err != nil {
		t.Fatalf("%s: %v", dst, err)
	}
	if !readable(server) {
		t.Fatalf("nothing arrived at %s", dst)
	}
}

func readable(s int) bool {
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(s), Events: unix.POLLIN}}, 1000)
		if n > 0 {
			return true
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return false
		}
	}
	return false
}

func TestInterfaceWithoutIPv6HasNone(t *testing.T) {
	h, _ := newTestHost(t)
	sb, ns := newTestSandbox(t)
	ensure(t, h, testBridge())
	i := testInterface()
	i.IPv6 = netip.Prefix{}
	attach(t, h, sb, testVeth(), i)
	if got := setting(t, ns, "ipv6/conf/eth0/disable_ipv6"); got != "1" {
		t.Errorf("disable_ipv6 is %s", got)
	}
	if addrs := mustAddrs(t, sb.nl, "eth0"); len(addrs) != 1 {
		t.Errorf("addresses are %v, want one", addrs)
	}
}

func TestConfigureRefusesOddSysctls(t *testing.T) {
	h, _ := newTestHost(t)
	ensure(t, h, testBridge())
	for _, key := range []string{"kernel.hostname", "net.ipv4.conf.all.forwarding", "net.ipv4.../../IFNAME.x", "net.ipv4.conf.IFNAME.nothing"} {
		sb, _ := newTestSandbox(t)
		if _, err := h.CreateVeth(testVeth(), sb); err != nil {
			t.Fatal(err)
		}
		i := testInterface()
		i.Sysctls = map[string]string{key: "1"}
		if err := sb.Configure(testVeth().PeerName, i); err == nil {
			t.Errorf("%s was taken", key)
		}
	}
}

func TestAnnounceTellsTheNetwork(t *testing.T) {
	h, host := newTestHost(t)
	sb, _ := newTestSandbox(t)
	br := ensure(t, h, testBridge())
	attach(t, h, sb, testVeth(), testInterface())
	arp, icmp := capture(t, host, unix.ETH_P_ARP, br.Index), capture(t, host, unix.ETH_P_IPV6, br.Index)
	send, err := sb.Announce(testInterface())
	if err != nil {
		t.Fatal(err)
	}
	if err := send(); err != nil {
		t.Fatal(err)
	}
	mac, ip4, ip6 := testVeth().MAC, []byte{172, 30, 0, 2}, netip.MustParseAddr("fd00:a::2").AsSlice()
	expect(t, arp, func(p []byte) bool {
		return len(p) >= 28 && bytes.Equal(p[8:14], mac[:]) && bytes.Equal(p[14:18], ip4) && bytes.Equal(p[24:28], ip4)
	})
	expect(t, icmp, func(p []byte) bool {
		return len(p) == 40+32 && p[7] == 255 && p[40] == 136 && p[44] == 0x20 && bytes.Equal(p[48:64], ip6) && bytes.Equal(p[66:72], mac[:])
	})
}

// capture returns a socket that gets the packets of a protocol on a device.
func capture(t *testing.T, ns string, protocol uint16, index int) (s int) {
	t.Helper()
	if err := netns.Do(ns, func() (err error) {
		if s, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, int(htons(protocol))); err != nil {
			return err
		}
		t.Cleanup(func() { unix.Close(s) })
		return unix.Bind(s, &unix.SockaddrLinklayer{Protocol: htons(protocol), Ifindex: index})
	}); err != nil {
		t.Fatal(err)
	}
	return s
}

// The first packet to a gateway that was introduced asks nobody for it.
func TestIntroducedGatewayIsNotAskedFor(t *testing.T) {
	h, host := newTestHost(t)
	sb, ns := newTestSandbox(t)
	br := ensure(t, h, testBridge())
	attach(t, h, sb, testVeth(), testInterface())
	arp, icmp := capture(t, host, unix.ETH_P_ARP, br.Index), capture(t, host, unix.ETH_P_IPV6, br.Index)
	gateways := []netip.Addr{gateway4.Addr(), gateway6.Addr()}
	if err := sb.Introduce("eth0", gateways, br.MAC); err != nil {
		t.Fatal(err)
	}
	for _, gw := range gateways {
		exchange(t, ns, host, gw)
	}
	for _, p := range pending(t, arp) {
		if len(p) >= 28 && bytes.Equal(p[24:28], gateway4.Addr().AsSlice()) {
			t.Errorf("ARP for the gateway: %x", p)
		}
	}
	const solicitation = 135
	for _, p := range pending(t, icmp) {
		if len(p) >= 64 && p[6] == unix.IPPROTO_ICMPV6 && p[40] == solicitation && bytes.Equal(p[48:64], gateway6.Addr().AsSlice()) {
			t.Errorf("neighbour solicitation for the gateway: %x", p)
		}
	}
	if err := sb.Introduce("eth1", gateways, br.MAC); !errors.Is(err, ErrNotFound) {
		t.Errorf("an interface that isn't there: %v", err)
	}
}

// pending returns the packets that a socket has.
func pending(t *testing.T, s int) (all [][]byte) {
	t.Helper()
	for {
		p := make([]byte, 2048)
		n, _, err := unix.Recvfrom(s, p, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p[:n])
	}
}

// expect reads packets until one is like the one wanted.
func expect(t *testing.T, s int, want func([]byte) bool) {
	t.Helper()
	buf := make([]byte, 2048)
	for readable(s) {
		n, _, err := unix.Recvfrom(s, buf, 0)
		if err != nil {
			t.Fatal(err)
		}
		if want(buf[:n]) {
			return
		}
	}
	t.Error("the announcement did not arrive")
}

func TestDeleteVeth(t *testing.T) {
	h, _ := newTestHost(t)
	sb, _ := newTestSandbox(t)
	ensure(t, h, testBridge())
	attach(t, h, sb, testVeth(), testInterface())
	if err := h.DeleteVeth(testVeth().HostName, "other"); !errors.Is(err, ErrForeign) {
		t.Fatalf("got %v, want ErrForeign", err)
	}
	for range 2 {
		if err := h.DeleteVeth(testVeth().HostName, endpointID); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := sb.Find("eth0"); !errors.Is(err, ErrNotFound) {
		t.Fatalf("got %v, want ErrNotFound", err)
	}
}

func TestOwnedListsWhatFairwayMade(t *testing.T) {
	h, _ := newTestHost(t)
	sb, _ := newTestSandbox(t)
	br := ensure(t, h, testBridge())
	veth := attach(t, h, sb, testVeth(), testInterface())
	if err := h.nl.LinkAdd(&netlink.Ifb{LinkAttrs: netlink.LinkAttrs{Name: "dummy7"}}); err != nil {
		t.Fatal(err)
	}
	got, err := h.Owned()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Device{br, veth}, got); diff != "" {
		t.Errorf("devices (-want +got):\n%s", diff)
	}
}

func TestLoopbackUp(t *testing.T) {
	sb, _ := newTestSandbox(t)
	lo := linkOf(t, sb.nl, "lo")
	if err := sb.nl.LinkSetDown(lo); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := sb.LoopbackUp(); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"127.0.0.1/8", "::1/128"}, addresses(t, sb.nl, "lo")); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
}

func TestMissingNamespace(t *testing.T) {
	if _, err := OpenSandbox("/nowhere/at/all"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want ErrNotExist", err)
	}
}
