// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/userspace/model"
)

var (
	pfx  = netip.MustParsePrefix
	addr = netip.MustParseAddr
)

// add4 adds an IPv4 network named as its ID.
func add4(m *Manager, id string, sub SubnetRequest, host Host) (*model.Subnet, error) {
	v4, _, err := m.AddNetwork(NetworkRequest{ID: id, Name: id, IPv4: &sub, Host: host})
	return v4, err
}

func mustAdd4(t *testing.T, m *Manager, id string, sub SubnetRequest) *model.Subnet {
	t.Helper()
	v4, err := add4(m, id, sub, Host{})
	if err != nil {
		t.Fatal(err)
	}
	return v4
}

func TestDefaultPools(t *testing.T) {
	m := New()
	for second := 18; second <= 31; second++ {
		sub := mustAdd4(t, m, fmt.Sprint("n", second), SubnetRequest{})
		want := fmt.Sprintf("172.%d.0.0/16", second)
		if sub.Prefix.String() != want || sub.Gateway.String() != fmt.Sprintf("172.%d.0.1", second) {
			t.Errorf("got %+v, want %s", sub, want)
		}
	}
	for third := 0; third < 256; third += 16 {
		sub := mustAdd4(t, m, fmt.Sprint("m", third), SubnetRequest{})
		if want := fmt.Sprintf("192.168.%d.0/20", third); sub.Prefix.String() != want {
			t.Errorf("got %s, want %s", sub.Prefix, want)
		}
	}
	// The first pool comes last for other networks than the default one.
	if sub := mustAdd4(t, m, "last", SubnetRequest{}); sub.Prefix != pfx("172.17.0.0/16") {
		t.Errorf("got %s", sub.Prefix)
	}
	if _, err := add4(m, "more", SubnetRequest{}, Host{}); !errors.Is(err, ErrNoPool) {
		t.Errorf("got %v, want %v", err, ErrNoPool)
	}
	m.RemoveNetwork("n20")
	m.RemoveNetwork("n20")
	if sub := mustAdd4(t, m, "more", SubnetRequest{}); sub.Prefix != pfx("172.20.0.0/16") {
		t.Errorf("got %s, want the released 172.20.0.0/16", sub.Prefix)
	}
}

func TestDefaultBridgeGetsFirstPool(t *testing.T) {
	m := New()
	mustAdd4(t, m, "user", SubnetRequest{})
	v4, _, err := m.AddNetwork(NetworkRequest{ID: "bridge", Name: "bridge", Default: true, IPv4: &SubnetRequest{}})
	if err != nil || v4.Prefix != pfx("172.17.0.0/16") {
		t.Errorf("got %v, %v", v4, err)
	}
}

func TestPoolsAvoidTheHost(t *testing.T) {
	host := Host{
		Routes: []netip.Prefix{pfx("0.0.0.0/0"), pfx("0.0.0.0/1"), pfx("128.0.0.0/1"), pfx("172.18.5.0/24"), pfx("172.20.0.0/14")},
		Nameservers: []netip.Addr{
			addr("172.19.0.53"), addr("192.168.1.1"), addr("fe80::1%eth0"),
		},
	}
	m := New()
	for i, want := range []string{"172.24.0.0/16", "172.25.0.0/16"} {
		if sub, err := add4(m, fmt.Sprint(i), SubnetRequest{}, host); err != nil || sub.Prefix != pfx(want) {
			t.Errorf("got %v, %v, want %s", sub, err, want)
		}
	}
	if sub, err := add4(m, "size", SubnetRequest{Prefix: pfx("0.0.0.0/24")}, host); err != nil || sub.Prefix != pfx("172.18.0.0/24") {
		t.Errorf("any /24: got %v, %v", sub, err)
	}
	all := Host{Routes: []netip.Prefix{pfx("172.16.0.0/12"), pfx("192.168.0.0/16")}}
	if _, err := add4(m, "none", SubnetRequest{}, all); !errors.Is(err, ErrNoPool) {
		t.Errorf("got %v, want %v", err, ErrNoPool)
	}
}

func TestReservedSubnets(t *testing.T) {
	m := New()
	m.Reserve([]netip.Prefix{pfx("172.17.0.0/16"), pfx("172.18.4.0/24")})
	v4, _, err := m.AddNetwork(NetworkRequest{ID: "bridge", Name: "bridge", Default: true, IPv4: &SubnetRequest{}})
	if err != nil || v4.Prefix != pfx("172.19.0.0/16") {
		t.Errorf("got %v, %v", v4, err)
	}
	mustAdd4(t, m, "explicit", SubnetRequest{Prefix: pfx("172.17.0.0/16")})
}

func TestULA(t *testing.T) {
	var got []netip.Prefix
	for range 2 {
		_, v6, err := New().AddNetwork(NetworkRequest{ID: "abc", Name: "x", IPv6: &SubnetRequest{}})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, v6.Prefix)
		if !pfx("fd00::/8").Contains(v6.Prefix.Addr()) || v6.Prefix.Bits() != 64 || v6.Prefix != v6.Prefix.Masked() || v6.Gateway != v6.Prefix.Addr().Next() {
			t.Errorf("got %+v", v6)
		}
	}
	if got[0] != got[1] {
		t.Errorf("%s and %s for one ID", got[0], got[1])
	}
	m := New()
	host := Host{Routes: got[:1]}
	_, v6, err := m.AddNetwork(NetworkRequest{ID: "abc", Name: "x", IPv6: &SubnetRequest{}, Host: host})
	if err != nil || v6.Prefix == got[0] {
		t.Errorf("%v, %v in spite of a host route", v6, err)
	}
}

func TestRefusedSubnets(t *testing.T) {
	host := Host{Routes: []netip.Prefix{pfx("0.0.0.0/0"), pfx("198.51.100.0/24"), pfx("2001:db8:5::/48")}}
	for name, c := range map[string]struct {
		sub  SubnetRequest
		v6   bool
		want string
		is   error
	}{
		"overlap":        {SubnetRequest{Prefix: pfx("10.1.2.0/24")}, false, `subnet 10.1.2.0/24: pool overlaps with other one on this address space: network "old" has 10.1.0.0/16`, ErrOverlap},
		"overlap outer":  {SubnetRequest{Prefix: pfx("10.0.0.0/8")}, false, `subnet 10.0.0.0/8: pool overlaps with other one on this address space: network "old" has 10.1.0.0/16`, ErrOverlap},
		"route":          {SubnetRequest{Prefix: pfx("198.51.100.128/25")}, false, `subnet 198.51.100.128/25: pool overlaps with other one on this address space: the host has a route to 198.51.100.0/24`, ErrOverlap},
		"route6":         {SubnetRequest{Prefix: pfx("2001:db8:5:1::/64")}, true, `subnet 2001:db8:5:1::/64: pool overlaps with other one on this address space: the host has a route to 2001:db8:5::/48`, ErrOverlap},
		"host bits":      {SubnetRequest{Prefix: pfx("10.9.0.5/16")}, false, "subnet 10.9.0.5/16: not valid: it should be 10.9.0.0/16", ErrInvalid},
		"family":         {SubnetRequest{Prefix: pfx("fd00::/64")}, false, "subnet fd00::/64: not valid: want an IPv4 subnet", ErrInvalid},
		"family6":        {SubnetRequest{Prefix: pfx("10.9.0.0/16")}, true, "subnet 10.9.0.0/16: not valid: want an IPv6 subnet", ErrInvalid},
		"loopback":       {SubnetRequest{Prefix: pfx("127.1.0.0/16")}, false, "subnet 127.1.0.0/16: not valid: want a unicast subnet like 10.20.0.0/16", ErrInvalid},
		"multicast":      {SubnetRequest{Prefix: pfx("ff00::/64")}, true, "subnet ff00::/64: not valid: want a unicast subnet like fd12:3456:789a:1::/64", ErrInvalid},
		"link-local":     {SubnetRequest{Prefix: pfx("fe80::/64")}, true, "subnet fe80::/64: not valid", ErrInvalid},
		"gateway out":    {SubnetRequest{Prefix: pfx("10.9.0.0/24"), Gateway: addr("10.9.1.1")}, false, "gateway 10.9.1.1: not valid: outside of subnet 10.9.0.0/24", ErrInvalid},
		"gateway net":    {SubnetRequest{Prefix: pfx("10.9.0.0/24"), Gateway: addr("10.9.0.0")}, false, "gateway 10.9.0.0: already in use as the network address of subnet 10.9.0.0/24", ErrInUse},
		"gateway bcast":  {SubnetRequest{Prefix: pfx("10.9.0.0/24"), Gateway: addr("10.9.0.255")}, false, "gateway 10.9.0.255: already in use as the broadcast address", ErrInUse},
		"isolated gw":    {SubnetRequest{Prefix: pfx("10.9.0.0/24"), Gateway: addr("10.9.0.1"), NoGateway: true}, false, "gateway 10.9.0.1: not valid: an isolated network has none", ErrInvalid},
		"range out":      {SubnetRequest{Prefix: pfx("10.9.0.0/24"), Range: pfx("10.9.1.0/25")}, false, "ip-range 10.9.1.0/25: not valid: outside of subnet 10.9.0.0/24", ErrInvalid},
		"range larger":   {SubnetRequest{Prefix: pfx("10.9.0.0/24"), Range: pfx("10.9.0.0/16")}, false, "ip-range 10.9.0.0/16: not valid: outside of subnet 10.9.0.0/24", ErrInvalid},
		"range bits":     {SubnetRequest{Prefix: pfx("10.9.0.0/24"), Range: pfx("10.9.0.5/28")}, false, "ip-range 10.9.0.5/28: not valid: it should be 10.9.0.0/28", ErrInvalid},
		"aux out":        {SubnetRequest{Prefix: pfx("10.9.0.0/24"), Aux: map[string]netip.Addr{"r": addr("10.8.0.1")}}, false, "aux-address r=10.8.0.1: not valid: outside of subnet 10.9.0.0/24", ErrInvalid},
		"aux gateway":    {SubnetRequest{Prefix: pfx("10.9.0.0/24"), Gateway: addr("10.9.0.2"), Aux: map[string]netip.Addr{"r": addr("10.9.0.2")}}, false, "aux-address r=10.9.0.2: already in use as the gateway of subnet 10.9.0.0/24", ErrInUse},
		"aux twice":      {SubnetRequest{Prefix: pfx("10.9.0.0/24"), Aux: map[string]netip.Addr{"a": addr("10.9.0.2"), "b": addr("10.9.0.2")}}, false, "aux-address b=10.9.0.2: already in use as aux address a of subnet 10.9.0.0/24", ErrInUse},
		"no subnet":      {SubnetRequest{Gateway: addr("10.9.0.2")}, false, "ip-range, gateway and aux-address: not valid: want a --subnet that contains them", ErrInvalid},
		"aux leave none": {SubnetRequest{Prefix: pfx("10.9.0.0/30"), Aux: map[string]netip.Addr{"r": addr("10.9.0.1")}}, false, "subnet 10.9.0.0/30: not valid: too small, no address is left for endpoints", ErrInvalid},
		"too small":      {SubnetRequest{Prefix: pfx("10.9.0.1/32")}, false, "subnet 10.9.0.1/32: not valid: too small, no address is left for endpoints", ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			m := New()
			mustAdd4(t, m, "old", SubnetRequest{Prefix: pfx("10.1.0.0/16")})
			r := NetworkRequest{ID: "new", Name: "new", IPv4: &c.sub, Host: host}
			if c.v6 {
				// The IPv4 half would be granted and has to be given back.
				r.IPv4, r.IPv6 = &SubnetRequest{Prefix: pfx("10.7.0.0/16")}, &c.sub
			}
			_, _, err := m.AddNetwork(r)
			if !errors.Is(err, c.is) || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
			if m.Has("new", IPv4) || m.Has("new", IPv6) {
				t.Error("something of the refused network is left")
			}
			mustAdd4(t, m, "other", SubnetRequest{Prefix: pfx("10.7.0.0/16")})
		})
	}
}

func TestNetworkTwice(t *testing.T) {
	m := New()
	mustAdd4(t, m, "a", SubnetRequest{})
	if _, err := add4(m, "a", SubnetRequest{}, Host{}); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v, want %v", err, ErrInUse)
	}
}
