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
	// The port of all addresses is another service's, the service's own address among them.
	web := w.serve("web", func(r *request.ServiceCreate) { r.Publish = []string{"80:80"} })
	vip := shop.Networks[0].IPv4
	w.fake.flows = []datapath.Flow{
		flow(vip, 80, a, "ESTABLISHED"), flow(vip, 80, a, "SYN_SENT"), flow(vip, 80, a, "TIME_WAIT"), flow(vip, 80, b, "CLOSE"), flow(vip, 81, b, "ESTABLISHED"),
	}
	// No flow is kept of sockets that are connected to the backend itself.
	led := func(origin string, target netip.Addr) datapath.LedSocket {
		return datapath.LedSocket{Proto: 6, Origin: netip.MustParseAddrPort(origin), Target: netip.AddrPortFrom(target, 8080)}
	}
	w.fake.led = []datapath.LedSocket{led(netip.AddrPortFrom(vip, 80).String(), b), led("127.0.0.1:80", a), led("127.0.0.1:81", a)}
	for _, s := range []struct {
		id   string
		a, b uint64
	}{{shop.ID, 2, 1}, {web.ID, 1, 0}} {
		got, err := w.CountServices(context.Background(), s.id)
		must(t, err)
		want := map[string]request.ServiceCounts{s.id: {
			Opened: 2, Open: s.a + s.b, Refused: 2, Strangers: 3,
			Backends: map[netip.Addr]request.BackendCounts{a: {Opened: 1, Open: s.a}, b: {Opened: 1, Open: s.b}},
		}}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if none, err := w.CountServices(context.Background()); err != nil || len(none) != 0 {
		t.Errorf("of no services: %v, %v", none, err)
	}
	s, err := w.Status(context.Background())
	must(t, err)
	if want := (request.ServiceConnections{Opened: 4, Refused: 6, Strangers: 9}); s.ServiceConnections != want {
		t.Errorf("in the status: %+v, want %+v", s.ServiceConnections, want)
	}
}
