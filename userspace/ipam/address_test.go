// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"errors"
	"math"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/model"
)

// drain allocates until there is no address left, at most max times.
func drain(t *testing.T, m *Manager, id string, f Family, max int) []string {
	t.Helper()
	var got []string
	for len(got) < max {
		p, err := m.Allocate(id, f)
		if errors.Is(err, ErrExhausted) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p.String())
	}
	return got
}

func TestAutomaticAddresses(t *testing.T) {
	aux := map[string]netip.Addr{"router": netip.MustParseAddr("10.0.0.3")}
	for name, c := range map[string]struct {
		sub     SubnetRequest
		gateway string
		want    []string
	}{
		"/29":            {SubnetRequest{Prefix: pfx("10.0.0.0/29")}, "10.0.0.1", []string{"10.0.0.2/29", "10.0.0.3/29", "10.0.0.4/29", "10.0.0.5/29", "10.0.0.6/29"}},
		"/29 gw and aux": {SubnetRequest{Prefix: pfx("10.0.0.0/29"), Gateway: addr("10.0.0.5"), Aux: aux}, "10.0.0.5", []string{"10.0.0.1/29", "10.0.0.2/29", "10.0.0.4/29", "10.0.0.6/29"}},
		"aux on first":   {SubnetRequest{Prefix: pfx("10.0.0.0/29"), Aux: map[string]netip.Addr{"r": addr("10.0.0.1")}}, "10.0.0.2", []string{"10.0.0.3/29", "10.0.0.4/29", "10.0.0.5/29", "10.0.0.6/29"}},
		"/29 isolated":   {SubnetRequest{Prefix: pfx("10.0.0.0/29"), NoGateway: true}, "invalid IP", []string{"10.0.0.1/29", "10.0.0.2/29", "10.0.0.3/29", "10.0.0.4/29", "10.0.0.5/29", "10.0.0.6/29"}},
		"/30":            {SubnetRequest{Prefix: pfx("10.0.0.0/30")}, "10.0.0.1", []string{"10.0.0.2/30"}},
		"/31":            {SubnetRequest{Prefix: pfx("10.0.0.0/31")}, "10.0.0.0", []string{"10.0.0.1/31"}},
		"/31 isolated":   {SubnetRequest{Prefix: pfx("10.0.0.0/31"), NoGateway: true}, "invalid IP", []string{"10.0.0.0/31", "10.0.0.1/31"}},
		"/32 isolated":   {SubnetRequest{Prefix: pfx("10.0.0.7/32"), NoGateway: true}, "invalid IP", []string{"10.0.0.7/32"}},
		"range":          {SubnetRequest{Prefix: pfx("10.0.0.0/16"), Range: pfx("10.0.5.0/30")}, "10.0.0.1", []string{"10.0.5.0/16", "10.0.5.1/16", "10.0.5.2/16", "10.0.5.3/16"}},
		"range at end":   {SubnetRequest{Prefix: pfx("10.0.0.0/24"), Range: pfx("10.0.0.252/30")}, "10.0.0.1", []string{"10.0.0.252/24", "10.0.0.253/24", "10.0.0.254/24"}},
		"top of space":   {SubnetRequest{Prefix: pfx("255.255.255.252/30")}, "255.255.255.253", []string{"255.255.255.254/30"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := New()
			sub, err := add4(m, "n", c.sub, Host{})
			if err != nil {
				t.Fatal(err)
			}
			if sub.Gateway.String() != c.gateway {
				t.Errorf("gateway %s, want %s", sub.Gateway, c.gateway)
			}
			if diff := cmp.Diff(c.want, drain(t, m, "n", IPv4, 100)); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
			if u := m.Usage("n", IPv4); u.Available != 0 {
				t.Errorf("%+v when exhausted", u)
			}
		})
	}
}

func TestIPv6Addresses(t *testing.T) {
	for subnet, want := range map[string][]string{
		"fd00:1::/64":     {"fd00:1::1", "fd00:1::2/64", "fd00:1::3/64"},
		"fd00:1::/48":     {"fd00:1::1", "fd00:1::2/48", "fd00:1::3/48"},
		"fd00:1::10/127":  {"fd00:1::10", "fd00:1::11/127"},
		"fd00:1::10/126":  {"fd00:1::11", "fd00:1::12/126", "fd00:1::13/126"},
		"fd00:1::fff0/64": {""},
	} {
		m := New()
		_, v6, err := m.AddNetwork(NetworkRequest{ID: "n", Name: "n", IPv6: &SubnetRequest{Prefix: pfx(subnet)}})
		if want[0] == "" {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: got %v", subnet, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		got := append([]string{v6.Gateway.String()}, drain(t, m, "n", IPv6, 2)...)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", subnet, diff)
		}
	}
	m := New()
	if _, _, err := m.AddNetwork(NetworkRequest{ID: "n", Name: "n", IPv6: &SubnetRequest{Prefix: pfx("fd00::/64")}}); err != nil {
		t.Fatal(err)
	}
	last := addr("fd00::ffff:ffff:ffff:ffff")
	if p, err := m.Request("n", last); err != nil || p.String() != "fd00::ffff:ffff:ffff:ffff/64" {
		t.Errorf("got %s, %v", p, err)
	}
	if u := m.Usage("n", IPv6); u.InUse != 3 || u.Available != math.MaxUint64-3 {
		t.Errorf("usage %+v", u)
	}
}

func TestReleasedAddressComesBackLast(t *testing.T) {
	m := New()
	mustAdd4(t, m, "n", SubnetRequest{Prefix: pfx("10.0.0.0/29")})
	first := drain(t, m, "n", IPv4, 1)
	m.Release("n", addr("10.0.0.2"))
	m.Release("n", addr("10.0.0.2"))
	m.Release("n", addr("10.0.0.1")) // the gateway stays
	m.Release("gone", addr("10.0.0.1"))
	want := []string{"10.0.0.3/29", "10.0.0.4/29", "10.0.0.5/29", "10.0.0.6/29", first[0]}
	if diff := cmp.Diff(want, drain(t, m, "n", IPv4, 100)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	_, err := m.Allocate("n", IPv4)
	if err == nil || err.Error() != `network "n": no available addresses in 10.0.0.0/29` {
		t.Errorf("got %v", err)
	}
	m.Release("n", addr("10.0.0.4"))
	if got := drain(t, m, "n", IPv4, 100); len(got) != 1 || got[0] != "10.0.0.4/29" {
		t.Errorf("got %v", got)
	}
}

func TestRequest(t *testing.T) {
	m := New()
	mustAdd4(t, m, "web", SubnetRequest{
		Prefix: pfx("10.0.0.0/24"), Range: pfx("10.0.0.128/25"),
		Aux: map[string]netip.Addr{"router": addr("10.0.0.9")},
	})
	for _, ok := range []string{"10.0.0.5", "10.0.0.200", "::ffff:10.0.0.6"} {
		if p, err := m.Request("web", addr(ok)); err != nil || p.Bits() != 24 {
			t.Errorf("%s: got %s, %v", ok, p, err)
		}
	}
	for in, want := range map[string]string{
		"10.0.0.5":   `network "web": address 10.0.0.5: already in use`,
		"10.0.0.1":   `network "web": address 10.0.0.1: already in use as the gateway of subnet 10.0.0.0/24`,
		"10.0.0.9":   `network "web": address 10.0.0.9: already in use as aux address router of subnet 10.0.0.0/24`,
		"10.0.0.0":   `network "web": address 10.0.0.0: already in use as the network address of subnet 10.0.0.0/24`,
		"10.0.0.255": `network "web": address 10.0.0.255: already in use as the broadcast address of subnet 10.0.0.0/24`,
		"10.0.1.5":   `network "web": address 10.0.1.5: not valid: outside of subnet 10.0.0.0/24`,
		"fd00::5":    `address fd00::5: network "web": no such address pool: IPv6 is off`,
	} {
		if _, err := m.Request("web", addr(in)); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", in, err, want)
		}
	}
	if _, err := m.Request("gone", addr("10.0.0.5")); !errors.Is(err, ErrUnknownNetwork) || !strings.Contains(err.Error(), "gone") {
		t.Errorf("got %v", err)
	}
}

func TestRestoreNetwork(t *testing.T) {
	n := &model.Network{
		ID: "n", Name: "web",
		IPv4: &model.Subnet{Prefix: pfx("10.0.0.0/28"), Gateway: addr("10.0.0.1"), Aux: map[string]netip.Addr{"r": addr("10.0.0.6")}},
	}
	endpoints := []model.Endpoint{
		{ID: "e1", NetworkID: "n", IPv4: pfx("10.0.0.4/28")},
		{ID: "e2", NetworkID: "n", IPv4: pfx("10.0.0.13/28"), Requested4: true},
		{ID: "e3", NetworkID: "other", IPv4: pfx("10.0.0.5/28")},
	}
	m := New()
	for range 2 {
		if err := m.RestoreNetwork(n, endpoints); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"10.0.0.5/28", "10.0.0.7/28", "10.0.0.8/28", "10.0.0.9/28", "10.0.0.10/28", "10.0.0.11/28", "10.0.0.12/28", "10.0.0.14/28", "10.0.0.2/28", "10.0.0.3/28"}
	if diff := cmp.Diff(want, drain(t, m, "n", IPv4, 100)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	clash := &model.Network{ID: "m", Name: "clash", IPv4: &model.Subnet{Prefix: pfx("10.0.0.0/24")}}
	err := m.RestoreNetwork(clash, []model.Endpoint{{ID: "e4", NetworkID: "m", IPv4: pfx("10.0.0.9/24")}, {ID: "e5", NetworkID: "m", IPv4: pfx("10.0.0.9/24")}})
	if !errors.Is(err, ErrOverlap) || !errors.Is(err, ErrInUse) || !m.Has("m", IPv4) {
		t.Errorf("got %v", err)
	}
}

func TestConcurrentUse(t *testing.T) {
	m := New()
	mustAdd4(t, m, "n", SubnetRequest{Prefix: pfx("10.0.0.0/22")})
	var mu sync.Mutex
	seen := map[netip.Prefix]bool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				p, err := m.Allocate("n", IPv4)
				mu.Lock()
				if err != nil || seen[p] {
					t.Errorf("%s, %v", p, err)
				}
				seen[p] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}
