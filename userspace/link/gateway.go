// SPDX-License-Identifier: Apache-2.0

package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/fairway-project/fairway/userspace/nl"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// routeProtocol marks Fairway's routes (rtm_protocol). Values from 4 (static) on
// are administration's, and this one is not in iproute2's rt_protos.
const routeProtocol netlink.RouteProtocol = 0xfa

// Gateway is where a sandbox's default route of one family leads.
type Gateway struct {
	// Interface is the name inside the sandbox. Empty means no default route.
	Interface string
	// Via is the next hop; the zero Addr means that everything is on the link.
	Via netip.Addr
}

// SetDefaultGateway makes the sandbox's default routes in the main table be these,
// replacing or removing those that it made before. A default route that Fairway
// did not make, as an adopted namespace may have one, is never touched; wanting
// another beside it is an error that wraps ErrRouteExists.
func (s *Sandbox) SetDefaultGateway(v4, v6 Gateway) error {
	return errors.Join(
		s.setDefault(netlink.FAMILY_V4, v4),
		s.setDefault(netlink.FAMILY_V6, v6))
}

func (s *Sandbox) setDefault(family int, want Gateway) error {
	ours, err := nl.RouteListFiltered(s.nl, family,
		&netlink.Route{Protocol: routeProtocol, Dst: nil, Table: unix.RT_TABLE_MAIN},
		netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_DST|netlink.RT_FILTER_TABLE)
	if err != nil {
		return err
	}
	if want.Interface == "" {
		return s.removeRoutes(ours)
	}
	l, err := find(s.nl, want.Interface)
	if err != nil {
		return err
	}
	route := defaultRoute(family, l.Attrs().Index, want.Via)
	if len(ours) == 1 && ours[0].LinkIndex == route.LinkIndex && ours[0].Gw.Equal(route.Gw) {
		return nil
	}
	if len(ours) > 0 {
		// There is one default route of the same priority at most, so that the
		// one which is replaced is ours, without a moment in which there is none.
		err = s.nl.RouteReplace(route)
	} else {
		err = s.nl.RouteAdd(route)
	}
	if errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("namespace %s: %w", s.ns.Path(), ErrRouteExists)
	}
	if err != nil {
		return fmt.Errorf("namespace %s: default route via %s dev %s: %w", s.ns.Path(), want.Via, want.Interface, err)
	}
	return nil
}

func (s *Sandbox) removeRoutes(routes []netlink.Route) error {
	for _, r := range routes {
		if err := s.nl.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("namespace %s: remove default route: %w", s.ns.Path(), err)
		}
	}
	return nil
}

func defaultRoute(family, index int, via netip.Addr) *netlink.Route {
	everything := &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
	if family == netlink.FAMILY_V6 {
		everything = &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
	}
	r := &netlink.Route{LinkIndex: index, Dst: everything, Protocol: routeProtocol}
	if via.IsValid() {
		r.Gw = via.AsSlice()
	} else {
		r.Scope = netlink.SCOPE_LINK
	}
	return r
}
