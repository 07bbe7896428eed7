// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// Flows are counted by the backend that they were led to. What was counted stays when rules are
// written again, and so does what was led to a backend that is gone.
func TestServiceStats(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		n := w.network(1)
		b1, b2, client := w.container(n, 2), w.container(n, 3), w.container(n, 4)
		serveAll(t, b1, b2)
		s := w.service([]datapath.Network{n}, b1, b2)
		only := func(s datapath.Service, c container) datapath.Service {
			for _, other := range []container{b1, b2} {
				if other.ID != c.ID {
					s = setState(s, other, model.BackendDraining)
				}
			}
			return s
		}
		visit := func(times int) {
			t.Helper()
			for i, v := range views() {
				for _, p := range both {
					for range times {
						_, _ = ask(client.ns, p.network, vips(1)[i], p.port, patience)
						_, _ = ask(w.lan, p.network, v.host, 8000, patience)
					}
				}
			}
		}
		// before is what was counted of both: the first packet to a neighbour that isn't known
		// yet may be lost, and another one be the first.
		before := make(map[string]uint64)
		// want is of each backend that is there, and of all, by family and transport each.
		want := func(what string, all, refused uint64, of map[string]uint64) {
			t.Helper()
			got, err := w.d.ServiceStats(t.Context(), s.ID)
			must(t, err)
			if len(got) != 1 || got[0].ServiceID != s.ID {
				t.Fatalf("%s: %+v", what, got)
			}
			each := make(map[string]uint64)
			for id, n := range before {
				all += n
				if _, there := of[id]; there {
					each[id] = -n
				}
			}
			for _, b := range got[0].Backends {
				for _, c := range []container{b1, b2} {
					if b.Target.Addr() == c.IPv4 || b.Target.Addr() == c.IPv6 {
						each[c.ID] += b.Flows
					}
				}
			}
			if diff := cmp.Diff(of, each); diff != "" || got[0].Flows != all || got[0].Refused != refused || got[0].Strangers != 0 {
				t.Errorf("%s: %d flows, %d refused, %d strangers; want %d, %d and none; by backend (-want +got):\n%s",
					what, got[0].Flows, got[0].Refused, got[0].Strangers, all, refused, diff)
			}
		}
		w.ensure(s)
		want("at first", 0, 0, map[string]uint64{b1.ID: 0, b2.ID: 0})
		for _, c := range []container{b1, b2} {
			w.ensure(only(s, c))
			visit(1)
		}
		warm, err := w.d.ServiceStats(t.Context(), s.ID)
		must(t, err)
		for _, b := range warm[0].Backends {
			if b.Target.Addr() == b1.IPv4 || b.Target.Addr() == b1.IPv6 {
				before[b1.ID] += b.Flows
			} else {
				before[b2.ID] += b.Flows
			}
		}
		w.ensure(only(s, b1))
		visit(2)
		want("b1 alone", 16, 0, map[string]uint64{b1.ID: 16, b2.ID: 0})
		want("read again", 16, 0, map[string]uint64{b1.ID: 16, b2.ID: 0})
		w.ensure(only(s, b2))
		visit(1)
		want("b2 alone", 24, 0, map[string]uint64{b1.ID: 16, b2.ID: 8})
		gone := only(s, b2)
		for i := range gone.Pools {
			gone.Pools[i].Backends = gone.Pools[i].Backends[1:]
		}
		w.ensure(gone)
		want("b1 is gone", 24, 0, map[string]uint64{b2.ID: 8})
		w.ensure(setState(gone, b2, model.BackendDraining))
		visit(1)
		want("nobody serves", 24, 8, map[string]uint64{b2.ID: 8})
		gone.Sources = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8:ffff::/64")}
		w.ensure(gone)
		silent(t, client.ns, "udp", vips(1)[0], 53)
		got, err := w.d.ServiceStats(t.Context())
		if err != nil || len(got) != 1 || got[0].Strangers != 1 {
			t.Errorf("a stranger: %+v, %v", got, err)
		}
		must(t, w.d.DeleteService(t.Context(), s.ID))
		if got, err := w.d.ServiceStats(t.Context()); err != nil || len(got) != 0 || len(w.d.counted.sums) != 1 {
			t.Errorf("of nobody: %+v, %v", got, err)
		}
		if _, err := w.d.Stats(t.Context()); err != nil || len(w.d.counted.sums) != 0 {
			t.Errorf("%d services are remembered, %v", len(w.d.counted.sums), err)
		}
	})
}
