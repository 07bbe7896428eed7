// SPDX-License-Identifier: Apache-2.0

package world

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/bench/pktgen"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/userspace/netns"
)

// closeTimeout is for the removal of one world, with the end of its daemons.
const closeTimeout = 2 * time.Minute

// newNetns makes a namespace in which IPv6 addresses can be used at once, which asks
// nobody for routers, and is none itself, whatever it has from the machine.
func newNetns(path string) error {
	if err := netns.Create(path); err != nil {
		return err
	}
	return setSysctls(path, map[string]string{
		"net/ipv6/conf/all/accept_dad": "0", "net/ipv6/conf/default/accept_dad": "0",
		"net/ipv6/conf/all/router_solicitations": "0", "net/ipv6/conf/default/router_solicitations": "0",
		"net/ipv4/ip_forward": "0", "net/ipv6/conf/all/forwarding": "0", "net/ipv6/conf/default/forwarding": "0",
	})
}

// removeNetns is no error for one that isn't there.
func removeNetns(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return netns.Delete(path)
}

func setSysctls(path string, values map[string]string) error {
	return netns.Do(path, func() error {
		var errs []error
		for name, value := range values {
			errs = append(errs, os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0o644))
		}
		return errors.Join(errs...)
	})
}

// SetSysctl sets one of the host's settings, by its path below /proc/sys, if the
// kernel has it. It goes with the host.
func (w *World) SetSysctl(name, value string) error {
	err := setSysctls(w.host, map[string]string{name: value})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// interfaceOf says what an end of a pair is to be.
type interfaceOf struct {
	netns, name string
	addrs       []netip.Prefix
}

// newPair makes two namespaces neighbours.
func newPair(a, b interfaceOf) error {
	other, err := netns.Open(b.netns)
	if err != nil {
		return err
	}
	defer other.Close()
	err = netns.Do(a.netns, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = a.name
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: b.name, PeerNamespace: netlink.NsFd(other.Fd())})
	})
	if err != nil {
		return fmt.Errorf("veth %s and %s: %w", a.name, b.name, err)
	}
	return errors.Join(a.configure(), b.configure())
}

func (i interfaceOf) configure() error {
	err := netns.Do(i.netns, func() error {
		dev, err := netlink.LinkByName(i.name)
		if err != nil {
			return err
		}
		for _, p := range i.addrs {
			addr := &netlink.Addr{IPNet: ipNet(p), Flags: unix.IFA_F_NODAD}
			if err := netlink.AddrAdd(dev, addr); err != nil {
				return fmt.Errorf("address %s: %w", p, err)
			}
		}
		return netlink.LinkSetUp(dev)
	})
	if err != nil {
		return fmt.Errorf("device %s: %w", i.name, err)
	}
	return pktgen.SetGRO(i.netns, i.name, true)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// addRoute leads a destination, or everything if it is zero, to a gateway.
func addRoute(path, dev string, dst netip.Prefix, via netip.Addr) error {
	err := netns.Do(path, func() error {
		link, err := netlink.LinkByName(dev)
		if err != nil {
			return err
		}
		r := &netlink.Route{LinkIndex: link.Attrs().Index, Gw: via.AsSlice()}
		if dst.IsValid() {
			r.Dst = ipNet(dst)
		}
		return netlink.RouteReplace(r)
	})
	if err != nil {
		return fmt.Errorf("route to %s via %s: %w", dst, via, err)
	}
	return nil
}

// macOf is the Ethernet address of a device.
func macOf(path, dev string) (mac net.HardwareAddr, err error) {
	err = netns.Do(path, func() error {
		link, err := netlink.LinkByName(dev)
		if err != nil {
			return fmt.Errorf("device %s: %w", dev, err)
		}
		mac = link.Attrs().HardwareAddr
		return nil
	})
	return mac, err
}

// lanPrefixes are the LAN host's addresses.
func lanPrefixes() []netip.Prefix {
	all := []netip.Prefix{netip.PrefixFrom(lanIP4, 24), netip.PrefixFrom(lanIP6, 64)}
	a4, a6 := lanFirst4, lanFirst6
	for range lanMore {
		all = append(all, netip.PrefixFrom(a4, 24), netip.PrefixFrom(a6, 64))
		a4, a6 = a4.Next(), a6.Next()
	}
	return all
}

// wireLAN makes the LAN host and the host, and what is between them.
func (w *World) wireLAN() error {
	if err := errors.Join(newNetns(w.lan), newNetns(w.host)); err != nil {
		return err
	}
	err := newPair(
		interfaceOf{netns: w.host, name: device, addrs: []netip.Prefix{netip.PrefixFrom(hostIP4, 24), netip.PrefixFrom(hostIP6, 64)}},
		interfaceOf{netns: w.lan, name: device, addrs: lanPrefixes()})
	if err != nil {
		return err
	}
	return errors.Join(addRoute(w.lan, device, netip.Prefix{}, hostIP4), addRoute(w.lan, device, netip.Prefix{}, hostIP6))
}

// lanEnd is the LAN host as a side of walks through the host.
func (w *World) lanEnd(f plan.Family) (End, error) {
	mac, err := macOf(w.lan, device)
	if err != nil {
		return End{}, err
	}
	hop, err := macOf(w.host, device)
	return End{Netns: w.lan, Device: device, Addr: lanIP(f), MAC: mac, NextHop: hop}, err
}

// peerName is the name that the host has for the other end of a container's veth.
func peerName(host, path, dev string) (name string, err error) {
	var index int
	err = netns.Do(path, func() error {
		link, err := netlink.LinkByName(dev)
		if err != nil {
			return fmt.Errorf("device %s: %w", dev, err)
		}
		index = link.Attrs().ParentIndex
		return nil
	})
	if err != nil {
		return "", err
	}
	err = netns.Do(host, func() error {
		link, err := netlink.LinkByIndex(index)
		if err != nil {
			return fmt.Errorf("peer of device %s: %w", dev, err)
		}
		name = link.Attrs().Name
		return nil
	})
	return name, err
}

// addDeviceRoute leads to a destination that is on the link.
func addDeviceRoute(path, dev string, dst netip.Prefix) error {
	err := netns.Do(path, func() error {
		link, err := netlink.LinkByName(dev)
		if err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(dst), Scope: netlink.SCOPE_LINK})
	})
	if err != nil {
		return fmt.Errorf("route to %s: %w", dst, err)
	}
	return nil
}

// bindNetns gives a namespace a name beside the one that it has.
func bindNetns(from, to string) error {
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Close(), unix.Mount(from, to, "", unix.MS_BIND, "")); err != nil {
		return errors.Join(fmt.Errorf("namespace %s: %w", from, err), os.Remove(to))
	}
	return nil
}

// detach unmounts what may be in use.
func detach(path string) error {
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	return nil
}

// AddBeyondLAN has the LAN host be the way to a network, whose packets it drops.
func (w *World) AddBeyondLAN(network netip.Prefix) error {
	via := lanIP4
	if network.Addr().Is6() {
		via = lanIP6
	}
	return addRoute(w.host, device, network, via)
}

// UplinkReceived is how many packets came to the host from the LAN, and how many
// more would have if its queue hadn't been full.
func (w *World) UplinkReceived() (packets, dropped uint64, err error) {
	err = netns.Do(w.host, func() error {
		link, err := netlink.LinkByName(device)
		if err != nil {
			return fmt.Errorf("device %s: %w", device, err)
		}
		packets, dropped = link.Attrs().Statistics.RxPackets, link.Attrs().Statistics.RxDropped
		return nil
	})
	return packets, dropped, err
}
