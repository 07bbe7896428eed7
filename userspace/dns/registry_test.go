// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestNames(t *testing.T) {
	for _, c := range []struct {
		name     string
		aliases  []string
		id, host string
		want     []string
	}{
		{"web", []string{"a", "b"}, "0123456789abcdef", "h", []string{"web", "a", "b", "0123456789ab", "h"}},
		{"web", []string{"WEB", "a", "a"}, "0123456789abcdef", "0123456789ab", []string{"web", "a", "0123456789ab"}},
		{"", nil, "01", "", []string{"01"}},
	} {
		if got := Names(c.name, c.aliases, c.id, c.host); !cmp.Equal(got, c.want) {
			t.Errorf("Names(%q, %q, %q, %q) = %q, want %q", c.name, c.aliases, c.id, c.host, got, c.want)
		}
	}
}

// TestRegistryModel compares the registry with a list that is searched through.
func TestRegistryModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, model := NewRegistry(), map[string]Record{}
		nets, labels := rapid.SampledFrom([]string{"n1", "n2"}), rapid.SampledFrom([]string{"a", "B", "b", "c"})
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			id := rapid.SampledFrom([]string{"e1", "e2", "e3"}).Draw(t, "endpoint")
			if rapid.Bool().Draw(t, "remove") {
				r.Remove(id)
				delete(model, id)
				continue
			}
			rec := Record{EndpointID: id, NetworkID: nets.Draw(t, "net"), Names: rapid.SliceOf(labels).Draw(t, "names")}
			if rapid.Bool().Draw(t, "v4") {
				rec.IPv4 = netip.AddrFrom4([4]byte{10, 0, 0, rapid.Byte().Draw(t, "host")})
			}
			r.Set(rec)
			model[id] = rec
		}
		for _, net := range []string{"n1", "n2"} {
			for _, name := range []string{"a", "b", "c"} {
				h := r.byName(net, name)
				want, wantKnown := search(model, net, name)
				if slices.SortFunc(h.v4, netip.Addr.Compare); h.found != wantKnown || !slices.Equal(h.v4, want) {
					t.Fatalf("%s on %s: %v %v, want %v %v", name, net, h.v4, h.found, want, wantKnown)
				}
			}
		}
		for id := range model {
			r.Remove(id)
		}
		if len(r.records)+len(r.networks) != 0 {
			t.Fatalf("left behind: %v %v", r.records, r.networks)
		}
	})
}

func search(model map[string]Record, net, name string) (addrs []netip.Addr, known bool) {
	for _, rec := range model {
		if rec.NetworkID != net || !slices.ContainsFunc(rec.Names, func(n string) bool { return strings.EqualFold(n, name) }) {
			continue
		}
		known = true
		if rec.IPv4.IsValid() {
			addrs = append(addrs, rec.IPv4)
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return addrs, known
}

func TestRegistryConcurrent(t *testing.T) {
	r := NewRegistry()
	s := scope{&Config{Networks: []Network{{ID: "n", Name: "net"}}}, r}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			id := fmt.Sprint(i)
			for range 200 {
				r.Set(Record{EndpointID: id, NetworkID: "n", Names: []string{"shared"}, IPv4: ip("10.0.0." + id)})
				if h := s.resolve("shared.net"); !h.found || len(h.v4) == 0 {
					t.Error("own record not found")
				}
				r.Remove(id)
			}
		})
	}
	wg.Wait()
}
