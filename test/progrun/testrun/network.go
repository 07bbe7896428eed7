// SPDX-License-Identifier: Apache-2.0

package testrun

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/model"
)

// mtu of all devices.
const mtu = 1500

// build makes the world's devices in the calling thread's namespace and returns
// their ifindexes by name.
func build(w World) (map[string]int, error) {
	b := builder{index: make(map[string]int)}
	b.sysctl("ipv4/ip_forward", "1")
	b.sysctl("ipv6/conf/all/forwarding", "1")
	b.up("lo", &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: "lo"}})
	for _, u := range []Uplink{w.Eth0, w.Eth1} {
		b.veth(u.Device, u.MAC)
		b.address(u.Device, u.Prefix4)
		b.address(u.Device, u.Prefix6)
	}
	b.veth("tun0", model.MAC{2, 0, 0, 0, 0, 9})
	b.address("tun0", netip.MustParsePrefix("10.9.0.1/24"))
	b.address("tun0", netip.MustParsePrefix("2001:db8:9::1/64"))
	for _, n := range []Network{w.Net1, w.Net2} {
		b.bridge(n.Device, n.MAC)
		b.address(n.Device, netip.PrefixFrom(n.Gateway(false), n.Subnet4.Bits()))
		b.address(n.Device, netip.PrefixFrom(n.Gateway(true), n.Subnet6.Bits()))
	}
	for _, e := range []Endpoint{w.Web, w.App, w.DB} {
		b.veth(e.Name, model.MAC{6, 0, 0, 0, 0, byte(e.Slot)})
	}
	b.routes(w)
	return b.index, b.err
}

// builder keeps the first error, so that what it builds reads as a list.
type builder struct {
	index map[string]int
	err   error
}

func (b *builder) routes(w World) {
	b.route("0.0.0.0/0", w.Eth0, w.Eth0.Router(false), 0)
	b.route("::/0", w.Eth0, w.Eth0.Router(true), 0)
	b.route("192.0.2.0/24", w.Eth0, w.Eth0.Router(false), 1400)
	b.route("2001:db8:14::/64", w.Eth0, w.Eth0.Router(true), 1400)
	b.refuse("10.66.0.0/16")
	b.refuse("2001:db8:66::/64")
}

func (b *builder) sysctl(name, value string) {
	if b.err == nil {
		b.err = os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o644)
	}
}

func (b *builder) add(name string, l netlink.Link) {
	if b.err == nil {
		b.err = wrap(netlink.LinkAdd(l), "add", name)
	}
	b.up(name, l)
}

func (b *builder) up(name string, l netlink.Link) {
	if b.err != nil {
		return
	}
	b.err = wrap(netlink.LinkSetUp(l), "set up", name)
	b.index[name] = l.Attrs().Index
}

func attrs(name string, mac model.MAC) netlink.LinkAttrs {
	a := netlink.NewLinkAttrs()
	a.Name, a.MTU, a.HardwareAddr = name, mtu, mac.HardwareAddr()
	return a
}

// veth makes a pair whose other end only keeps the carrier on.
func (b *builder) veth(name string, mac model.MAC) {
	peer := name + "-peer"
	b.add(name, &netlink.Veth{LinkAttrs: attrs(name, mac), PeerName: peer})
	b.up(peer, &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: peer}})
}

func (b *builder) bridge(name string, mac model.MAC) {
	b.add(name, &netlink.Bridge{LinkAttrs: attrs(name, mac)})
}

func (b *builder) address(device string, p netip.Prefix) {
	if b.err != nil {
		return
	}
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	l := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: device, Index: b.index[device]}}
	b.err = wrap(netlink.AddrAdd(l, a), p.String(), device)
}

func (b *builder) route(dst string, u Uplink, via netip.Addr, mtu int) {
	if b.err == nil {
		b.err = wrap(netlink.RouteReplace(routeOf(dst, b.index[u.Device], via, mtu)), "route", dst)
	}
}

func (b *builder) refuse(dst string) {
	if b.err == nil {
		b.err = wrap(netlink.RouteReplace(unreachableRoute(dst)), "unreachable route", dst)
	}
}

func unreachableRoute(dst string) *netlink.Route {
	return &netlink.Route{Dst: ipNet(netip.MustParsePrefix(dst)), Type: unix.RTN_UNREACHABLE}
}

// routeOf locks the MTU: bpf_fib_lookup ignores one that isn't.
func routeOf(dst string, index int, via netip.Addr, mtu int) *netlink.Route {
	return &netlink.Route{
		LinkIndex: index, Dst: ipNet(netip.MustParsePrefix(dst)), Gw: via.AsSlice(), MTU: mtu, MTULock: mtu != 0,
	}
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func wrap(err error, what, name string) error {
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, name, err)
	}
	return nil
}
