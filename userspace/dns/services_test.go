// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	mdns "github.com/miekg/dns"
	"pgregory.net/rapid"
)

// serving is example with services on both of its networks.
func serving() *Registry {
	r := example()
	r.SetService("s1",
		Service{NetworkID: "n1", Name: "Shop", IPv4: ip("172.30.255.1"), IPv6: ip("fd00:30::ff"),
			Backends: []netip.Addr{ip("172.30.0.2"), ip("172.30.0.3"), ip("fd00:30::2")}},
		Service{NetworkID: "n2", Name: "Shop", IPv4: ip("172.31.255.1"), Backends: []netip.Addr{ip("172.31.0.2")}})
	r.SetService("s2", Service{NetworkID: "n1", Name: "pool", Backends: []netip.Addr{ip("172.30.0.2"), ip("192.0.2.7")}})
	r.SetService("s3", Service{NetworkID: "n1", Name: "idle"})
	// An alias of the same name as a service leads nobody past it.
	r.SetService("s4", Service{NetworkID: "n1", Name: "APP", IPv4: ip("172.30.255.4"), Backends: []netip.Addr{ip("172.30.0.2")}})
	return r
}

func TestServiceNames(t *testing.T) {
	first, second := Network{ID: "n1", Name: "front"}, Network{ID: "n2", Name: "back"}
	for _, c := range []struct {
		networks []Network
		name     string
		qtype    uint16
		ttl      uint32
		want     []string
	}{
		{[]Network{first}, "shop.", mdns.TypeA, 600, []string{"172.30.255.1"}},
		{[]Network{first}, "SHOP.", mdns.TypeAAAA, 600, []string{"fd00:30::ff"}},
		{[]Network{first}, "shop.", mdns.TypeANY, 600, []string{"172.30.255.1", "fd00:30::ff"}},
		{[]Network{first}, "shop.front.", mdns.TypeA, 600, []string{"172.30.255.1"}},
		{[]Network{second}, "shop.", mdns.TypeA, 600, []string{"172.31.255.1"}},
		{[]Network{second}, "shop.", mdns.TypeAAAA, 0, nil},
		{[]Network{second}, "shop.front.", mdns.TypeA, 0, []string{"not found"}},
		{[]Network{second, first}, "shop.", mdns.TypeA, 600, []string{"172.31.255.1"}},
		{[]Network{second, first}, "shop.", mdns.TypeAAAA, 600, []string{"fd00:30::ff"}},
		{[]Network{second, first}, "shop.front.", mdns.TypeA, 600, []string{"172.30.255.1"}},
		{[]Network{first}, "tasks.shop.", mdns.TypeA, 5, []string{"172.30.0.2", "172.30.0.3"}},
		{[]Network{first}, "Tasks.Shop.Front.", mdns.TypeAAAA, 5, []string{"fd00:30::2"}},
		{[]Network{second}, "tasks.shop.", mdns.TypeA, 5, []string{"172.31.0.2"}},
		{[]Network{first}, "pool.", mdns.TypeA, 5, []string{"172.30.0.2", "192.0.2.7"}},
		{[]Network{first}, "tasks.pool.", mdns.TypeA, 5, []string{"172.30.0.2", "192.0.2.7"}},
		{[]Network{first}, "pool.", mdns.TypeAAAA, 0, nil},
		{[]Network{first}, "idle.", mdns.TypeA, 0, nil},
		{[]Network{first}, "tasks.idle.", mdns.TypeA, 0, nil},
		{[]Network{first}, "tasks.nosuch.", mdns.TypeA, 0, []string{"not found"}},
		{[]Network{first}, "tasks.web.", mdns.TypeA, 0, []string{"not found"}},
		{[]Network{first}, "app.", mdns.TypeA, 600, []string{"172.30.255.4"}},
		{[]Network{first}, "web.", mdns.TypeA, 600, []string{"172.30.0.2"}},
		{[]Network{first}, "1.255.30.172.in-addr.arpa.", mdns.TypePTR, 600, []string{"Shop.front."}},
		{[]Network{first}, "f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.3.0.0.0.0.d.f.ip6.arpa.", mdns.TypePTR, 600, []string{"Shop.front."}},
		{[]Network{second}, "1.255.31.172.in-addr.arpa.", mdns.TypePTR, 600, []string{"Shop.back."}},
		{[]Network{second}, "1.255.30.172.in-addr.arpa.", mdns.TypePTR, 0, []string{"not found"}},
		{[]Network{first}, "2.0.30.172.in-addr.arpa.", mdns.TypePTR, 600, []string{"web.front."}},
		{[]Network{first}, "7.2.0.192.in-addr.arpa.", mdns.TypePTR, 0, []string{"not found"}},
	} {
		m := (scope{&Config{Networks: c.networks}, serving()}).answer(new(mdns.Msg).SetQuestion(c.name, c.qtype))
		got := []string{"not found"}
		if m != nil {
			got = slices.Sorted(slices.Values(values(m)))
			for _, rr := range m.Answer {
				if rr.Header().Ttl != c.ttl {
					t.Errorf("%s: TTL %d, want %d", c.name, rr.Header().Ttl, c.ttl)
				}
			}
		}
		if !cmp.Equal(got, c.want) {
			t.Errorf("%s %s on %v: %v, want %v", c.name, mdns.TypeToString[c.qtype], c.networks, got, c.want)
		}
	}
}

// Backends come in changing order: who takes the first address is spread over them.
func TestBackendsChangeOrder(t *testing.T) {
	s := scope{&Config{Networks: []Network{{ID: "n1", Name: "front"}}}, serving()}
	first := map[string]bool{}
	for range 200 { // one order in all has a chance of 2^-199
		m := s.answer(new(mdns.Msg).SetQuestion("pool.", mdns.TypeA))
		first[m.Answer[0].(*mdns.A).A.String()] = true
	}
	if len(first) != 2 {
		t.Errorf("first in 200 answers: %v, want both", first)
	}
}

// TestServiceModel compares services in a registry with a list that is searched through.
func TestServiceModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, model := NewRegistry(), map[string][]Service{}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			id := rapid.SampledFrom([]string{"s1", "s2"}).Draw(t, "service")
			if rapid.Bool().Draw(t, "remove") {
				r.RemoveService(id)
				delete(model, id)
				continue
			}
			var on []Service
			for _, network := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"n1", "n2"}), rapid.ID[string]).Draw(t, "networks") {
				s := Service{NetworkID: network, Name: id + "X"}
				if rapid.Bool().Draw(t, "vip") {
					s.IPv4 = netip.AddrFrom4([4]byte{10, 0, 1, rapid.Byte().Draw(t, "host")})
				}
				if rapid.Bool().Draw(t, "backend") {
					s.Backends = []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, rapid.Byte().Draw(t, "host")})}
				}
				on = append(on, s)
			}
			r.SetService(id, on...)
			model[id] = on
		}
		for _, network := range []string{"n1", "n2"} {
			for _, id := range []string{"s1", "s2"} {
				compareService(t, r, network, id, model[id])
			}
		}
		for id := range model {
			r.RemoveService(id)
		}
		if len(r.services)+len(r.networks) != 0 {
			t.Fatalf("left behind: %v %v", r.services, r.networks)
		}
	})
}

func compareService(t *rapid.T, r *Registry, network, id string, model []Service) {
	i := slices.IndexFunc(model, func(s Service) bool { return s.NetworkID == network })
	name := strings.ToLower(id + "X")
	if own := r.byName(network, name); own.found != (i >= 0) {
		t.Fatalf("%s on %s: found is %v", name, network, own.found)
	}
	if i < 0 {
		return
	}
	s := model[i]
	want := s.Backends
	if s.IPv4.IsValid() {
		want = []netip.Addr{s.IPv4}
		if got, _ := r.byAddr(network, s.IPv4); got != "s1X" && got != "s2X" {
			t.Fatalf("%s on %s: PTR of %s is %q", name, network, s.IPv4, got)
		}
	}
	if got := r.byName(network, name).v4; !slices.Equal(got, want) {
		t.Fatalf("%s on %s: %v, want %v", name, network, got, want)
	}
	if got := r.byName(network, "tasks."+name).v4; !slices.Equal(got, s.Backends) {
		t.Fatalf("tasks.%s on %s: %v, want %v", name, network, got, s.Backends)
	}
}
