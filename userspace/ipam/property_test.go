// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"errors"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// TestAddressesAgainstModel runs random requests against a plain set: nothing is
// given out twice, nothing that is reserved, nothing outside of the range, and
// an exhausted pool is one that is really full.
func TestAddressesAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, base := IPv4, "10.0.0.0"
		if rapid.Bool().Draw(t, "v6") {
			f, base = IPv6, "fd00::"
		}
		size := rapid.IntRange(2, 6).Draw(t, "host bits")
		start := addr(base)
		prefix := netip.PrefixFrom(start, start.BitLen()-size)
		within := prefix
		sub := &SubnetRequest{Prefix: prefix, NoGateway: rapid.Bool().Draw(t, "isolated")}
		if rapid.Bool().Draw(t, "range") {
			sub.Range = netip.PrefixFrom(start, start.BitLen()-rapid.IntRange(1, size).Draw(t, "range bits"))
			within = sub.Range
		}
		r := NetworkRequest{ID: "n", Name: "n", IPv4: sub}
		if f == IPv6 {
			r.IPv4, r.IPv6 = nil, sub
		}
		m := New()
		v4, v6, err := m.AddNetwork(r)
		if err != nil {
			t.Fatal(err)
		}
		got := v4
		if f == IPv6 {
			got = v6
		}
		reserved := map[netip.Addr]bool{start: true, got.Gateway: true}
		if f == IPv4 {
			reserved[lastAddr(prefix)] = true
		}
		used := map[netip.Addr]bool{}
		some := rapid.Custom(func(t *rapid.T) netip.Addr {
			a := start
			for range rapid.IntRange(0, 1<<size+1).Draw(t, "offset") {
				a = a.Next()
			}
			return a
		})
		t.Repeat(map[string]func(*rapid.T){
			"allocate": func(t *rapid.T) {
				p, err := m.Allocate("n", f)
				if errors.Is(err, ErrExhausted) {
					for a := within.Addr(); within.Contains(a); a = a.Next() {
						if !used[a] && !reserved[a] {
							t.Fatalf("exhausted, but %s is free", a)
						}
					}
					return
				}
				if err != nil || used[p.Addr()] || reserved[p.Addr()] || !within.Contains(p.Addr()) || p.Bits() != prefix.Bits() {
					t.Fatalf("got %s, %v", p, err)
				}
				used[p.Addr()] = true
			},
			"request": func(t *rapid.T) {
				a := some.Draw(t, "address")
				_, err := m.Request("n", a)
				if free := !used[a] && !reserved[a] && prefix.Contains(a); free != (err == nil) {
					t.Fatalf("request %s: %v, free %v", a, err, free)
				}
				if err == nil {
					used[a] = true
				}
			},
			"release": func(t *rapid.T) {
				a := some.Draw(t, "address")
				m.Release("n", a)
				delete(used, a)
			},
			"": func(t *rapid.T) {
				u := m.Usage("n", f)
				free := uint64(0)
				for a := within.Addr(); within.Contains(a); a = a.Next() {
					if !used[a] && !reserved[a] {
						free++
					}
				}
				if u.Available != free {
					t.Fatalf("%d available, %d free", u.Available, free)
				}
			},
		})
	})
}

// TestSubnetsNeverOverlap adds and removes networks in random order.
func TestSubnetsNeverOverlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := New()
		have := map[string][]netip.Prefix{}
		ids := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"})
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				id := ids.Draw(t, "id")
				r := NetworkRequest{ID: id, Name: id, Default: rapid.Bool().Draw(t, "default"), IPv4: &SubnetRequest{}, IPv6: &SubnetRequest{}}
				if rapid.Bool().Draw(t, "sized") {
					r.IPv4.Prefix = netip.PrefixFrom(netip.IPv4Unspecified(), rapid.IntRange(16, 28).Draw(t, "size"))
				}
				v4, v6, err := m.AddNetwork(r)
				if _, exists := have[id]; exists != (err != nil) {
					t.Fatalf("add %s: %v", id, err)
				}
				if err != nil {
					return
				}
				for other, list := range have {
					for _, p := range list {
						if p.Overlaps(v4.Prefix) || p.Overlaps(v6.Prefix) {
							t.Fatalf("%s and %s overlap with %s of %s", v4.Prefix, v6.Prefix, p, other)
						}
					}
				}
				have[id] = []netip.Prefix{v4.Prefix, v6.Prefix}
			},
			"remove": func(t *rapid.T) {
				id := ids.Draw(t, "id")
				m.RemoveNetwork(id)
				delete(have, id)
			},
		})
	})
}
