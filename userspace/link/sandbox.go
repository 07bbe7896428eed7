// SPDX-License-Identifier: Apache-2.0

package link

import (
	"errors"
	"fmt"
	"net/netip"
	"sort"

	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Sandbox works on the devices and routes of a sandbox's network namespace.
type Sandbox struct {
	ns *netns.NS
	nl *netlink.Handle
}

// Interface is the inner end of a veth as it should be in its sandbox.
type Interface struct {
	// Name is what the device is called from now on.
	Name string
	// IPv4 and IPv6 are the addresses with the subnets' prefix lengths. The
	// zero Prefix leaves the family off; without IPv6 it is disabled on the
	// device, so that there is no link-local address either.
	IPv4, IPv6 netip.Prefix
	// Sysctls are Docker's com.docker.network.endpoint.sysctls:
	// net.X.Y.IFNAME.Z to value.
	Sysctls map[string]string
	// Routes are added when the interface is set up.
	Routes []Route
}

// Route is a route beside those that the addresses bring.
type Route struct {
	Dst netip.Prefix
	// Via is the next hop; the zero Addr makes Dst directly connected.
	Via netip.Addr
}

// OpenSandbox opens the network namespace at path. The caller closes it.
func OpenSandbox(path string) (*Sandbox, error) {
	ns, err := netns.Open(path)
	if err != nil {
		return nil, err
	}
	handle, err := ns.Handle()
	if err != nil {
		return nil, errors.Join(err, ns.Close())
	}
	return &Sandbox{ns: ns, nl: handle}, nil
}

// Close gives up the references to the namespace.
func (s *Sandbox) Close() error {
	s.nl.Close()
	return s.ns.Close()
}

// Find returns the device called name, or an error that wraps ErrNotFound.
func (s *Sandbox) Find(name string) (Device, error) {
	l, err := find(s.nl, name)
	if err != nil {
		return Device{}, err
	}
	return device(l), nil
}

// Configure names the device peer, which is down, and gives it its settings and
// addresses. It stays down. A peer that has its name already saves a renaming,
// which costs the kernel a grace period.
func (s *Sandbox) Configure(peer string, i Interface) error {
	l, err := find(s.nl, peer)
	if err != nil {
		return err
	}
	if peer != i.Name {
		if err := s.nl.LinkSetName(l, i.Name); err != nil {
			return fmt.Errorf("interface %s: name: %w", i.Name, err)
		}
		l.Attrs().Name = i.Name
	}
	if err := s.ns.Do(func() error { return i.setSysctls() }); err != nil {
		return err
	}
	for _, p := range []netip.Prefix{i.IPv4, i.IPv6} {
		if err := addAddress(s.nl, l, p); err != nil {
			return err
		}
	}
	return nil
}

// SetUp sets the interface up and adds its routes, which the kernel only takes
// then.
func (s *Sandbox) SetUp(i Interface) error {
	l, err := find(s.nl, i.Name)
	if err != nil {
		return err
	}
	if err := s.nl.LinkSetUp(l); err != nil {
		return fmt.Errorf("interface %s: set up: %w", i.Name, err)
	}
	for _, r := range i.Routes {
		if err := s.addRoute(l, r); err != nil {
			return err
		}
	}
	return nil
}

// LoopbackUp sets lo up, which gives it 127.0.0.1 and ::1: for namespaces that
// Fairway did not make itself.
func (s *Sandbox) LoopbackUp() error {
	lo, err := find(s.nl, "lo")
	if err != nil {
		return err
	}
	if err := s.nl.LinkSetUp(lo); err != nil {
		return fmt.Errorf("interface lo: set up: %w", err)
	}
	return nil
}

func (s *Sandbox) addRoute(l netlink.Link, r Route) error {
	route := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(r.Dst.Masked()), Protocol: routeProtocol}
	if r.Via.IsValid() {
		route.Gw = r.Via.AsSlice()
	} else {
		route.Scope = netlink.SCOPE_LINK
	}
	if err := s.nl.RouteAdd(route); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("interface %s: add route to %s: %w", l.Attrs().Name, r.Dst, err)
	}
	return nil
}

func (i Interface) setSysctls() error {
	if err := (confs{}).setAll([]sysctl{
		{"ipv6", i.Name, "disable_ipv6", boolean(!i.IPv6.IsValid())},
		{"ipv6", i.Name, "accept_ra", "0"},
		{"ipv6", i.Name, "accept_dad", "0"},
		// EUI-64: the one link-local address that the datapath lets through is
		// the one made from the MAC.
		{"ipv6", i.Name, "addr_gen_mode", "0"},
	}); err != nil {
		return err
	}
	keys := make([]string, 0, len(i.Sysctls))
	for k := range i.Sysctls {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		path, err := endpointSysctl(k, i.Name)
		if err != nil {
			return err
		}
		if err := setPath(path, i.Sysctls[k]); err != nil {
			return err
		}
	}
	return nil
}
