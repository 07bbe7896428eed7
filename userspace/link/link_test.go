// SPDX-License-Identifier: Apache-2.0

package link

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/nl"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
)

const networkID = "4f1c5a7d9e00"

var (
	gateway4  = netip.MustParsePrefix("172.30.0.1/24")
	gateway6  = netip.MustParsePrefix("fd00:a::1/64")
	bridgeMAC = model.MAC{2, 0x42, 1, 2, 3, 4}
)

// newNetns returns the path of a namespace that lives as long as the test.
func newNetns(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "netns")
	if err := netns.PrepareDir(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.RemoveDir(dir); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, name)
	if err := netns.Create(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// newHost returns a namespace that plays the host.
func newTestHost(t *testing.T) (*Host, string) {
	t.Helper()
	path := newNetns(t, "host")
	ns, err := netns.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	h, err := newHost(ns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h, path
}

func newTestSandbox(t *testing.T) (*Sandbox, string) {
	t.Helper()
	path := newNetns(t, "sandbox")
	s, err := OpenSandbox(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, path
}

func testBridge() Bridge {
	return Bridge{Name: "br-4f1c5a7d9e00", NetworkID: networkID, MAC: bridgeMAC, MTU: 1400, IPv4: gateway4, IPv6: gateway6}
}

func ensure(t *testing.T, h *Host, b Bridge) Device {
	t.Helper()
	d, err := h.EnsureBridge(b)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func linkOf(t *testing.T, h *netlink.Handle, name string) netlink.Link {
	t.Helper()
	l, err := h.LinkByName(name)
	if err != nil {
		t.Fatalf("device %s: %v", name, err)
	}
	return l
}

func addresses(t *testing.T, h *netlink.Handle, name string) []string {
	t.Helper()
	addrs, err := nl.AddrList(h, linkOf(t, h, name), netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, a := range addrs {
		if a.IP.IsLinkLocalUnicast() {
			continue
		}
		got = append(got, a.IPNet.String())
	}
	return got
}

func setting(t *testing.T, ns, path string) string {
	t.Helper()
	var value []byte
	if err := netns.Do(ns, func() (err error) {
		value, err = os.ReadFile(filepath.Join("/proc/sys/net", path))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(value))
}

func TestEnsureBridge(t *testing.T) {
	h, ns := newTestHost(t)
	first := ensure(t, h, testBridge())
	if want := (Device{Name: "br-4f1c5a7d9e00", Index: first.Index, MAC: bridgeMAC, Owner: networkID, Kind: "bridge", Up: true}); first != want {
		t.Fatalf("got %+v, want %+v", first, want)
	}
	if again := ensure(t, h, testBridge()); again != first {
		t.Fatalf("got %+v the second time, %+v the first", again, first)
	}
	if diff := cmp.Diff([]string{"172.30.0.1/24", "fd00:a::1/64"}, addresses(t, h.nl, first.Name)); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	l := linkOf(t, h.nl, first.Name).(*netlink.Bridge)
	on := func(b *bool) bool { return b != nil && *b }
	if l.MTU != 1400 || l.Flags&1 == 0 || on(l.MulticastSnooping) || on(l.VlanFiltering) {
		t.Errorf("bridge is %+v, want mtu 1400, up, no snooping, no vlan filtering", l)
	}
	for name, want := range map[string]string{"ipv4/conf/%s/rp_filter": "2", "ipv6/conf/%s/accept_ra": "0", "ipv6/conf/%s/accept_dad": "0", "ipv6/conf/%s/disable_ipv6": "0"} {
		if got := setting(t, ns, fmt.Sprintf(name, first.Name)); got != want {
			t.Errorf(name+" is %s, want %s", first.Name, got, want)
		}
	}
	// Usable at once, without a carrier and without duplicate address detection.
	for _, a := range mustAddrs(t, h.nl, first.Name) {
		if a.Flags&(0x40|0x08) != 0 {
			t.Errorf("address %s is tentative or failed: flags %#x", a.IPNet, a.Flags)
		}
	}
}

func mustAddrs(t *testing.T, h *netlink.Handle, name string) []netlink.Addr {
	t.Helper()
	addrs, err := nl.AddrList(h, linkOf(t, h, name), netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	return addrs
}

func TestEnsureBridgeBringsOwnBridgeInLine(t *testing.T) {
	h, ns := newTestHost(t)
	b := testBridge()
	ensure(t, h, b)
	b.MAC[5], b.MTU = 9, 9000
	b.IPv4, b.IPv6 = netip.MustParsePrefix("10.9.0.1/16"), netip.Prefix{}
	d := ensure(t, h, b)
	if l := linkOf(t, h.nl, b.Name); d.MAC != b.MAC || l.Attrs().MTU != 9000 {
		t.Errorf("got mac %s, mtu %d", d.MAC, l.Attrs().MTU)
	}
	if diff := cmp.Diff([]string{"10.9.0.1/16"}, addresses(t, h.nl, b.Name)); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	if got := setting(t, ns, "ipv6/conf/"+b.Name+"/disable_ipv6"); got != "1" {
		t.Errorf("disable_ipv6 is %s", got)
	}
	b.IPv6 = gateway6
	ensure(t, h, b)
	if diff := cmp.Diff([]string{"10.9.0.1/16", "fd00:a::1/64"}, addresses(t, h.nl, b.Name)); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
}

func TestIsolatedBridgeHasNoAddress(t *testing.T) {
	h, _ := newTestHost(t)
	b := testBridge()
	b.IPv4, b.IPv6 = netip.Prefix{}, netip.Prefix{}
	ensure(t, h, b)
	if addrs := mustAddrs(t, h.nl, b.Name); len(addrs) != 0 {
		t.Errorf("addresses are %v, want none", addrs)
	}
}

// A daemon that is killed over the creation of a bridge leaves one without alias.
func TestUnmarkedBridgeIsTakenOver(t *testing.T) {
	h, _ := newTestHost(t)
	b := testBridge()
	if err := h.nl.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: b.Name, HardwareAddr: b.MAC.HardwareAddr()}}); err != nil {
		t.Fatal(err)
	}
	if d := ensure(t, h, b); d.Owner != networkID || !d.Up {
		t.Errorf("got %+v, want one that %s owns", d, networkID)
	}
}

func TestForeignBridgeIsAdoptedAndKept(t *testing.T) {
	h, _ := newTestHost(t)
	b := testBridge()
	b.Name = "br.mine"
	mac := model.MAC{2, 9, 9, 9, 9, 9}
	if err := h.nl.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: b.Name, HardwareAddr: mac.HardwareAddr()}}); err != nil {
		t.Fatal(err)
	}
	if err := h.nl.AddrAdd(linkOf(t, h.nl, b.Name), &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("10.1.1.1/24"))}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if d := ensure(t, h, b); d.Owner != "" || d.MAC != mac {
			t.Fatalf("got %+v, want the device as it was", d)
		}
	}
	if diff := cmp.Diff([]string{"10.1.1.1/24", "172.30.0.1/24", "fd00:a::1/64"}, addresses(t, h.nl, b.Name)); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	if err := h.DeleteBridge(b.Name, networkID); err != nil {
		t.Fatal(err)
	}
	linkOf(t, h.nl, b.Name)
	if err := h.Delete(b.Name, networkID); !errors.Is(err, ErrForeign) {
		t.Fatalf("got %v, want ErrForeign", err)
	}
}

func TestEnsureBridgeRefusesOthers(t *testing.T) {
	h, _ := newTestHost(t)
	b := testBridge()
	ensure(t, h, b)
	b.NetworkID = "other"
	if _, err := h.EnsureBridge(b); err == nil || !strings.Contains(err.Error(), "belongs to network "+networkID) {
		t.Errorf("got %v", err)
	}
	if err := h.DeleteBridge(b.Name, "other"); err != nil {
		t.Error(err)
	}
	linkOf(t, h.nl, b.Name)
	if err := h.nl.LinkAdd(&netlink.Ifb{LinkAttrs: netlink.LinkAttrs{Name: "ifb7"}}); err != nil {
		t.Fatal(err)
	}
	b.Name = "ifb7"
	if _, err := h.EnsureBridge(b); !errors.Is(err, ErrForeign) {
		t.Errorf("got %v, want ErrForeign", err)
	}
}

func TestDeleteBridgeIsIdempotent(t *testing.T) {
	h, _ := newTestHost(t)
	b := testBridge()
	ensure(t, h, b)
	for range 2 {
		if err := h.DeleteBridge(b.Name, networkID); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Find(b.Name); !errors.Is(err, ErrNotFound) {
		t.Fatalf("got %v, want ErrNotFound", err)
	}
}

func TestRoutesAreWhatANetworkMustAvoid(t *testing.T) {
	h, _ := newTestHost(t)
	ensure(t, h, testBridge())
	br := linkOf(t, h.nl, testBridge().Name)
	dst := netip.MustParsePrefix("10.77.0.0/16")
	if err := h.nl.RouteAdd(&netlink.Route{LinkIndex: br.Attrs().Index, Dst: ipNet(dst), Table: 77}); err != nil {
		t.Fatal(err)
	}
	if err := h.nl.RouteAdd(defaultRoute(netlink.FAMILY_V4, br.Attrs().Index, netip.MustParseAddr("172.30.0.9"))); err != nil {
		t.Fatal(err)
	}
	got, err := h.Routes()
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, p := range got {
		text = append(text, p.String())
	}
	sort.Strings(text)
	if diff := cmp.Diff([]string{"10.77.0.0/16", "172.30.0.0/24", "fd00:a::/64"}, text); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
}
