// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/request"
)

// Connections are counted by service and backend, those that have ended aside.
func TestCountServices(t *testing.T) {
	w := newWorld(t)
	w.front()
	shop := w.serve("shop", asItIs)
	w.serve("idle", func(r *request.ServiceCreate) { r.Selector = map[string]string{"app": "none"} })
	a, b := w.server("a").Endpoints[0].IPv4.Addr(), w.server("b").Endpoints[0].IPv4.Addr()
	flow := func(to netip.Addr, port uint16, target netip.Addr, state string) datapath.Flow {
		return datapath.Flow{Proto: 6, Dst: netip.AddrPortFrom(to, port), NATDst: netip.AddrPortFrom(target, 8080), State: state}
	}
	vip := shop.Networks[0].IPv4
	w.fake.flows = []datapath.Flow{
		flow(vip, 80, a, "ESTABLISHED"), flow(vip, 80, a, "SYN_SENT"), flow(vip, 80, a, "TIME_WAIT"), flow(vip, 80, b, "CLOSE"), flow(vip, 81, b, "ESTABLISHED"),
	}
	got, err := w.CountServices(context.Background(), shop.ID)
	must(t, err)
	want := map[string]request.ServiceCounts{shop.ID: {
		Opened: 2, Open: 2, Refused: 2, Strangers: 3, Backends: map[netip.Addr]request.BackendCounts{a: {Opened: 1, Open: 2}, b: {Opened: 1}},
	}}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if none, err := w.CountServices(context.Background()); err != nil || len(none) != 0 {
		t.Errorf("of no services: %v, %v", none, err)
	}
	s, err := w.Status(context.Background())
	must(t, err)
	if want := (request.ServiceConnections{Opened: 2, Refused: 4, Strangers: 6}); s.ServiceConnections != want {
		t.Errorf("in the status: %+v, want %+v", s.ServiceConnections, want)
	}
}
