// SPDX-License-Identifier: Apache-2.0

package link

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/fairway-project/fairway/userspace/nl"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestDefaultGateway(t *testing.T) {
	h, _ := newTestHost(t)
	sb, _ := newTestSandbox(t)
	ensure(t, h, testBridge())
	attach(t, h, sb, testVeth(), testInterface())
	v, i := testVeth(), testInterface()
	v.EndpointID, v.HostName, v.MAC[5] = "second", "vethsecond", 3
	i.Name, i.IPv4, i.IPv6 = "eth1", netip.MustParsePrefix("10.8.0.2/24"), netip.MustParsePrefix("fd00:b::2/64")
	attach(t, h, sb, v, i)
	for _, c := range []struct {
		v4, v6 Gateway
		want   []string
	}{
		{Gateway{"eth0", gateway4.Addr()}, Gateway{"eth0", gateway6.Addr()}, []string{"172.30.0.1 eth0", "fd00:a::1 eth0"}},
		{Gateway{"eth0", gateway4.Addr()}, Gateway{"eth0", gateway6.Addr()}, []string{"172.30.0.1 eth0", "fd00:a::1 eth0"}},
		{Gateway{"eth1", netip.MustParseAddr("10.8.0.1")}, Gateway{"eth1", netip.MustParseAddr("fd00:b::1")}, []string{"10.8.0.1 eth1", "fd00:b::1 eth1"}},
		{Gateway{Interface: "eth1"}, Gateway{}, []string{"on link eth1"}},
		{Gateway{}, Gateway{"eth0", gateway6.Addr()}, []string{"fd00:a::1 eth0"}},
		{Gateway{}, Gateway{}, nil},
		{Gateway{}, Gateway{}, nil},
	} {
		if err := sb.SetDefaultGateway(c.v4, c.v6); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, defaults(t, sb)); diff != "" {
			t.Errorf("%+v: default routes (-want +got):\n%s", c, diff)
		}
	}
}

func TestDefaultGatewayLeavesForeignRoute(t *testing.T) {
	h, _ := newTestHost(t)
	sb, _ := newTestSandbox(t)
	ensure(t, h, testBridge())
	attach(t, h, sb, testVeth(), testInterface())
	foreign := defaultRoute(netlink.FAMILY_V4, linkOf(t, sb.nl, "eth0").Attrs().Index, netip.MustParseAddr("172.30.0.77"))
	foreign.Protocol = unix.RTPROT_STATIC
	if err := sb.nl.RouteAdd(foreign); err != nil {
		t.Fatal(err)
	}
	if err := sb.SetDefaultGateway(Gateway{"eth0", gateway4.Addr()}, Gateway{}); !errors.Is(err, ErrRouteExists) {
		t.Errorf("got %v, want ErrRouteExists", err)
	}
	if err := sb.SetDefaultGateway(Gateway{}, Gateway{}); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"172.30.0.77 eth0"}, defaults(t, sb)); diff != "" {
		t.Errorf("default routes (-want +got):\n%s", diff)
	}
}

func defaults(t *testing.T, sb *Sandbox) []string {
	t.Helper()
	var got []string
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := nl.RouteListFiltered(sb.nl, family, &netlink.Route{Table: unix.RT_TABLE_MAIN, Dst: nil}, netlink.RT_FILTER_DST|netlink.RT_FILTER_TABLE)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range routes {
			l, err := sb.nl.LinkByIndex(r.LinkIndex)
			if err != nil {
				t.Fatal(err)
			}
			via := "on link"
			if r.Gw != nil {
				via = r.Gw.String()
			}
			got = append(got, fmt.Sprintf("%s %s", via, l.Attrs().Name))
		}
	}
	return got
}
