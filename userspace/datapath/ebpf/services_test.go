// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/host"
	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/maps/service"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

var vip = netip.MustParseAddr("172.20.9.9")

// udpService is at port 53 of its own address and of the host's, in front of port 80 of the
// endpoints.
func udpService(backends ...datapath.Endpoint) datapath.Service {
	port := model.Port{Num: 53, Proto: model.UDP}
	s := datapath.Service{
		ID: "service1", Name: "dns", Pools: make([]datapath.Pool, 1),
		Fronts: []datapath.Front{{NetworkID: "net1", Addr: vip, Port: port}, {Addr: netip.IPv4Unspecified(), Port: port}},
	}
	for _, e := range backends {
		s.Pools[0].Backends = append(s.Pools[0].Backends, datapath.Backend{
			EndpointID: e.ID, Target: netip.AddrPortFrom(e.IPv4, 80), Weight: 1, State: model.BackendActive,
		})
	}
	return s
}

func stateOf(s datapath.Service, backend int, state model.BackendState) datapath.Service {
	s.Pools = []datapath.Pool{{Backends: append([]datapath.Backend(nil), s.Pools[0].Backends...)}}
	s.Pools[0].Backends[backend].State = state
	return s
}

func (w *world) serviceIs(s datapath.Service) func(context.Context) error {
	return func(ctx context.Context) error { return w.dp.EnsureService(ctx, s) }
}

// serviceWorld has three endpoints that may be backends.
func serviceWorld(t *testing.T) (*world, []datapath.Endpoint) {
	w := newWorld(t)
	all := []datapath.Endpoint{w.endpoint(1), w.endpoint(2), w.endpoint(3)}
	w.ensure(w.hostIs(w.host()), w.networkIs(w.network()), w.endpointIs(all[0]), w.endpointIs(all[1]), w.endpointIs(all[2]))
	return w, all
}

// served is what the tables hold of a slot's pool: how many places each backend has, and the
// states of all.
func (w *world) served(slot uint16) (places map[netip.AddrPort]int, states map[netip.AddrPort]service.State) {
	w.t.Helper()
	_, backends, _, err := w.dp.services.table.Pool(slot)
	if err != nil {
		w.t.Fatal(err)
	}
	ring, err := w.dp.services.table.Ring(slot)
	if err != nil {
		w.t.Fatal(err)
	}
	places, states = make(map[netip.AddrPort]int), make(map[netip.AddrPort]service.State)
	for _, index := range ring {
		places[backends[index-1].Target]++
	}
	for _, b := range backends {
		if b.State != service.None {
			states[b.Target] = b.State
		}
	}
	return places, states
}

// ringID tells a slot's ring from one that took its place.
func (w *world) ringID(slot uint16) (id ebpf.MapID) {
	w.t.Helper()
	if err := w.dp.loader.Maps().Rings.Lookup(uint32(slot), &id); err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) refuses(s datapath.Service, want string) {
	w.t.Helper()
	w.do(func() error {
		if err := w.dp.EnsureService(context.Background(), s); err == nil || !strings.Contains(err.Error(), want) {
			w.t.Errorf("got %v, want %s", err, want)
		}
		return nil
	})
}

func TestServiceFillsTheMaps(t *testing.T) {
	w, all := serviceWorld(t)
	s := udpService(all...)
	s.Pools[0].Backends[1].Weight = 3
	w.ensure(w.serviceIs(stateOf(s, 2, model.BackendDraining)))
	equal(t, "ports", w.snapshot().Ports, map[publish.Key]publish.Entry{
		{Addr: vip, Port: 53, Proto: model.UDP, Network: 1}:         {Service: true, Endpoint: 1},
		{Addr: netip.IPv4Unspecified(), Port: 53, Proto: model.UDP}: {Service: true, Endpoint: 1},
	})
	equal(t, "bits", w.snapshot().Bits, []model.Port{{Num: 53, Proto: model.UDP}})
	equal(t, "the service's address", w.snapshot().Addresses[vip], host.Gateway(1))
	places, states := w.served(1)
	a, b, c := s.Pools[0].Backends[0].Target, s.Pools[0].Backends[1].Target, s.Pools[0].Backends[2].Target
	equal(t, "states", states, map[netip.AddrPort]service.State{a: service.Active, b: service.Active, c: service.Draining})
	if n := places[a] + places[b]; n != 509 || places[c] != 0 || places[b] < 3*places[a]-3 || places[b] > 3*places[a]+3 {
		t.Errorf("places: %v", places)
	}
	// Its address is as little the host's own for everybody when the host is asked for them.
	h := w.host()
	h.Addresses = append(h.Addresses, vip)
	w.ensure(w.hostIs(h))
	equal(t, "the service's address", w.snapshot().Addresses[vip], host.Gateway(1))
	w.ensure(func(ctx context.Context) error { return w.dp.DeleteService(ctx, s.ID) },
		func(ctx context.Context) error { return w.dp.DeleteService(ctx, s.ID) }, w.hostIs(w.host()))
	got := w.snapshot()
	used, err := w.dp.services.table.Used()
	if _, left := got.Addresses[vip]; left || len(got.Ports)+len(got.Bits)+len(used)+len(w.dp.services.slots.used) != 0 || err != nil {
		t.Errorf("left: ports %v, bits %v, address %t, pools %v, slots %v, %v", got.Ports, got.Bits, left, used, w.dp.services.slots.used, err)
	}
}

// A restart changes no choice: not the slot, nor the ring, nor what is counted; and what nobody
// says again goes with Prune, no sooner.
func TestServiceAcrossRestarts(t *testing.T) {
	w, all := serviceWorld(t)
	s := udpService(all...)
	other := udpService(all[0])
	other.ID, other.Name, other.Fronts = "service2", "other", []datapath.Front{{Addr: netip.IPv4Unspecified(), Port: model.Port{Num: 54, Proto: model.UDP}}}
	w.ensure(w.serviceIs(s), w.serviceIs(other))
	before, ring := w.snapshot(), w.ringID(1)
	again := []func(context.Context) error{w.hostIs(w.host()), w.networkIs(w.network()), w.endpointIs(all[2]), w.endpointIs(all[1]), w.endpointIs(all[0])}
	w.restart()
	w.ensure(again...)
	equal(t, "before the service is said", w.snapshot(), before)
	// In another order, which says nothing.
	w.ensure(w.serviceIs(udpService(all[1], all[2], all[0])))
	equal(t, "after", w.snapshot(), before)
	equal(t, "ring", w.ringID(1), ring)
	desired := datapath.Desired{Networks: []datapath.Network{w.network()}, Endpoints: all, Services: []datapath.Service{s}, Spare: func(int) bool { return false }}
	w.ensure(w.pruned(desired))
	equal(t, "while others may want it", w.snapshot(), before)
	desired.Spare = nil
	w.ensure(w.pruned(desired))
	used, err := w.dp.services.table.Used()
	equal(t, "pools", used, []uint16{1})
	equal(t, "ring", w.ringID(1), ring)
	if n := len(w.snapshot().Ports); n != 2 || err != nil {
		t.Errorf("%d publications, %v", n, err)
	}
	desired.Services = nil
	w.ensure(w.pruned(desired))
	if used, err := w.dp.services.table.Used(); len(used) != 0 || len(w.snapshot().Ports) != 0 || err != nil {
		t.Errorf("left: %v, %v, %v", used, w.snapshot().Ports, err)
	}
}

// What a crash left in a slot that nothing leads to goes with Prune, or with the slot's next
// owner.
func TestServiceLeftovers(t *testing.T) {
	w, all := serviceWorld(t)
	left := []service.Backend{{Target: netip.MustParseAddrPort("172.20.0.99:1"), State: service.Active}}
	for slot := uint16(1); slot <= 2; slot++ {
		if err := w.dp.services.table.PutPool(slot, service.Settings{}, left); err != nil {
			t.Fatal(err)
		}
	}
	source := service.Source{Slot: 2, Prefix: netip.MustParsePrefix("192.0.2.0/24")}
	if err := w.dp.services.table.PutSource(source); err != nil {
		t.Fatal(err)
	}
	w.restart()
	w.ensure(w.hostIs(w.host()), w.networkIs(w.network()), w.endpointIs(all[0]), w.endpointIs(all[1]), w.endpointIs(all[2]))
	s := udpService(all[0])
	w.ensure(w.serviceIs(s))
	_, states := w.served(1)
	equal(t, "states", states, map[netip.AddrPort]service.State{s.Pools[0].Backends[0].Target: service.Active})
	w.ensure(w.pruned(datapath.Desired{Networks: []datapath.Network{w.network()}, Endpoints: all, Services: []datapath.Service{s}}))
	used, err := w.dp.services.table.Used()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "pools", used, []uint16{1})
	sources, err := w.dp.services.table.Sources()
	if len(sources) != 0 || err != nil {
		t.Errorf("sources %v are left, %v", sources, err)
	}
}

// A service that can't follow an endpoint is no trouble of the endpoint's, and follows as soon as
// it can.
func TestServiceTroubleIsNotTheEndpoints(t *testing.T) {
	w, all := serviceWorld(t)
	s := udpService(all[0], all[1])
	w.ensure(w.serviceIs(s), w.portsAre(all[2].ID))
	a, b := s.Pools[0].Backends[0].Target, s.Pools[0].Backends[1].Target
	states := func(what string, first service.State) {
		t.Helper()
		w.dp.mu.Lock()
		defer w.dp.mu.Unlock()
		_, got := w.served(1)
		equal(t, what, got, map[netip.AddrPort]service.State{a: first, b: service.Active})
	}
	// Another has its address for a moment, as far as the datapath knows.
	key := publish.Key{Addr: vip, Port: 53, Proto: model.UDP, Network: 1}
	taken := func(by publish.Entry) {
		w.dp.mu.Lock()
		defer w.dp.mu.Unlock()
		w.dp.ports.record(key, by)
	}
	own := w.dp.ports.entries[key]
	taken(publish.Entry{Target: netip.AddrPortFrom(all[2].IPv4, 80), Endpoint: w.dp.endpoints.byID[all[2].ID].slot})
	w.ensure(w.endpointGone(all[0].ID))
	w.dp.serveBehind()
	states("the service is refused", service.Active)
	taken(own)
	w.dp.serveBehind()
	states("it isn't any more", service.Down)
	taken(publish.Entry{Target: netip.AddrPortFrom(all[2].IPv4, 80), Endpoint: w.dp.endpoints.byID[all[2].ID].slot})
	w.ensure(w.endpointIs(all[0]))
	states("refused again", service.Down)
	taken(own)
	w.dp.serveBehind()
	states("it follows", service.Active)
}

// A backend follows its endpoint without a word about the service: away with it, back with it,
// under another generation too.
func TestServiceFollowsEndpoints(t *testing.T) {
	w, all := serviceWorld(t)
	s := udpService(all[0], all[1])
	w.ensure(w.serviceIs(s))
	a, b := s.Pools[0].Backends[0].Target, s.Pools[0].Backends[1].Target
	lead := func(what string, want ...netip.AddrPort) {
		t.Helper()
		places, _ := w.served(1)
		if len(places) != len(want) {
			t.Errorf("%s: places %v, want %v", what, places, want)
		}
		for _, target := range want {
			if places[target] == 0 {
				t.Errorf("%s: places %v, want %v", what, places, want)
			}
		}
	}
	lead("all there", a, b)
	w.ensure(w.endpointGone(all[0].ID))
	lead("one is gone", b)
	w.ensure(w.endpointIs(all[0]))
	lead("it is back", a, b)
	changed := all[0]
	changed.MAC[4]++
	w.ensure(w.endpointIs(changed))
	_, backends, _, err := w.dp.services.table.Pool(1)
	slot := w.dp.endpoints.byID[changed.ID]
	if backends[0].Endpoint != slot.slot || backends[0].Generation != slot.value.Generation || err != nil {
		t.Errorf("backend %+v, endpoint in slot %d is %s, %v", backends[0], slot.slot, slot.value, err)
	}
	w.ensure(w.serviceIs(stateOf(s, 1, model.BackendDown)))
	lead("one is down", a)
	w.ensure(w.serviceIs(udpService()))
	lead("nobody")
	w.ensure(w.serviceIs(udpService(all[2])))
	lead("another", netip.AddrPortFrom(all[2].IPv4, 80))
}

// through is a flow by the host's port 53 to port 80 of an endpoint.
func (w *world) through(client string, e datapath.Endpoint) [2]flow.Half {
	st := w.dp.endpoints.byID[e.ID]
	halves := w.connection(client, e, 80, st.value.Generation)
	halves[0].Endpoint, halves[1].Endpoint = st.slot, st.slot
	return halves
}

// Flows of a backend end when it is down, and those of the service with it; no others do.
func TestServiceEndsFlows(t *testing.T) {
	w, all := serviceWorld(t)
	s := udpService(all...)
	w.ensure(w.serviceIs(s))
	to := func(i int) string { return fmt.Sprintf("198.51.100.1:%d", i+1) }
	for i, e := range all {
		halves := w.through(to(i), e)
		w.put(halves[0], halves[1])
	}
	elsewhere := w.through("198.51.100.1:9", all[0])
	elsewhere[0].Dst = netip.MustParseAddrPort("192.0.2.10:5353")
	elsewhere[1].NATSrc = elsewhere[0].Dst
	w.put(elsewhere[0], elsewhere[1])
	const other = "198.51.100.1:9"
	w.ensure(w.serviceIs(stateOf(s, 0, model.BackendDraining)))
	w.wantFlows("one drains", to(0), to(1), to(2), other)
	w.ensure(w.serviceIs(stateOf(s, 0, model.BackendDown)))
	w.wantFlows("it is down", to(1), to(2), other)
	w.ensure(w.serviceIs(udpService(all[2])))
	w.wantFlows("one isn't asked for any more", to(1), to(2), other)
	w.ensure(func(ctx context.Context) error { return w.dp.DeleteService(ctx, s.ID) })
	if err := w.dp.endClosed(); err != nil {
		t.Fatal(err)
	}
	w.wantFlows("the service is gone", other)
}

// Sources are replaced without a moment in which anybody else may use the service, survive a
// restart, and go with it. Addresses outside are backends, too.
func TestServiceSources(t *testing.T) {
	w, all := serviceWorld(t)
	a, b := netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")
	s := udpService(all[0])
	s.Affinity = time.Minute
	s.Pools[0].Backends = append(s.Pools[0].Backends, datapath.Backend{Target: netip.MustParseAddrPort("203.0.113.9:53"), Weight: 1, State: model.BackendActive})
	sources := func(what string, want ...netip.Prefix) {
		t.Helper()
		got, err := w.dp.services.table.Sources()
		wanted := make(map[service.Source]bool)
		for _, p := range want {
			wanted[service.Source{Slot: 1, Prefix: p}] = true
		}
		equal(t, what, got, wanted)
		settings, backends, _, err2 := w.dp.services.table.Pool(1)
		if settings.Sources != (len(want) > 0) || err != nil || err2 != nil || len(backends) > 0 && !backends[1].Outside {
			t.Errorf("%s: settings %+v, backends %+v, %v, %v", what, settings, backends, err, err2)
		}
	}
	s.Sources = []netip.Prefix{a}
	w.ensure(w.serviceIs(s))
	sources("one", a)
	s.Sources = []netip.Prefix{netip.MustParsePrefix("2001:db8::1/32")}
	w.ensure(w.serviceIs(s))
	sources("another", b)
	w.restart()
	w.ensure(w.hostIs(w.host()), w.networkIs(w.network()), w.endpointIs(all[0]))
	sources("after a restart", b)
	s.Sources = []netip.Prefix{a, b}
	w.ensure(w.serviceIs(s))
	sources("both", a, b)
	s.Sources = nil
	w.ensure(w.serviceIs(s))
	sources("everybody")
	s.Sources = []netip.Prefix{a}
	w.ensure(w.serviceIs(s), func(ctx context.Context) error { return w.dp.DeleteService(ctx, s.ID) })
	sources("nobody")
}

func TestServiceConflicts(t *testing.T) {
	w, all := serviceWorld(t)
	s := udpService(all[0])
	w.ensure(w.serviceIs(s))
	before := w.snapshot()
	other := s
	other.ID, other.Name = "service2", "other"
	w.refuses(other, "service other: published port 172.20.9.9:53/udp in network 1: service service1 has it")
	w.do(func() error {
		err := w.dp.EnsurePorts(context.Background(), all[1].ID, []datapath.Port{publication(all[1], model.UDP, 53)})
		if want := "published port 0.0.0.0:53/udp: service service1 has it"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		return nil
	})
	twice := udpService(all[0], all[0])
	w.refuses(twice, "backend 172.20.0.2:80 is in one pool twice")
	nowhere := s
	nowhere.Fronts = []datapath.Front{{NetworkID: "net2", Addr: vip, Port: model.Port{Num: 1, Proto: model.TCP}}}
	w.refuses(nowhere, "network net2 isn't known to the datapath")
	equal(t, "after refusals", w.snapshot(), before)
}

// Fronts move from pool to pool, and pools come and go, while others stay where they are.
func TestServicePools(t *testing.T) {
	w, all := serviceWorld(t)
	s := udpService(all[0])
	tcp := model.Port{Num: 80, Proto: model.TCP}
	s.Fronts = append(s.Fronts, datapath.Front{NetworkID: "net1", Addr: vip, Port: tcp, Pool: 1})
	s.Pools = append(s.Pools, udpService(all[1]).Pools...)
	w.ensure(w.serviceIs(s))
	slot := func(k publish.Key) uint16 { return w.snapshot().Ports[k].Endpoint }
	web, dns := publish.Key{Addr: vip, Port: 80, Proto: model.TCP, Network: 1}, publish.Key{Addr: vip, Port: 53, Proto: model.UDP, Network: 1}
	first, second := slot(dns), slot(web)
	if first == second {
		t.Fatalf("both pools are in slot %d", first)
	}
	// The other way round.
	s.Pools[0], s.Pools[1] = s.Pools[1], s.Pools[0]
	s.Fronts[0].Pool, s.Fronts[1].Pool, s.Fronts[2].Pool = 1, 1, 0
	w.ensure(w.serviceIs(s))
	equal(t, "slots", []uint16{slot(dns), slot(web)}, []uint16{first, second})
	// One pool for both.
	s.Pools, s.Fronts[0].Pool, s.Fronts[1].Pool = s.Pools[:1], 0, 0
	w.ensure(w.serviceIs(s))
	if slot(dns) != slot(web) {
		t.Errorf("slots %d and %d, want one", slot(dns), slot(web))
	}
	used, err := w.dp.services.table.Used()
	if len(used) != 1 || len(w.dp.services.slots.used) != 1 || err != nil {
		t.Errorf("pools %v, slots %v, %v", used, w.dp.services.slots.used, err)
	}
}

// said is EnsureService by a process that ends before it has ended any flow.
func (w *world) said(s datapath.Service) {
	w.t.Helper()
	w.do(func() error {
		w.dp.mu.Lock()
		defer w.dp.mu.Unlock()
		err := w.dp.ensureService(s)
		w.dp.services.takeEnded()
		return err
	})
}

// What an earlier process didn't come to is done by the next one: flows of backends that went
// down, or that left meanwhile, end. All others go on.
func TestServiceEndsFlowsAfterRestart(t *testing.T) {
	w, all := serviceWorld(t)
	s := udpService(all...)
	w.ensure(w.serviceIs(s))
	to := func(i int) string { return fmt.Sprintf("198.51.100.1:%d", i+1) }
	for i, e := range all {
		halves := w.through(to(i), e)
		w.put(halves[0], halves[1])
	}
	again := func() {
		t.Helper()
		w.restart()
		w.ensure(w.hostIs(w.host()), w.networkIs(w.network()), w.endpointIs(all[0]), w.endpointIs(all[1]), w.endpointIs(all[2]))
	}
	again()
	w.ensure(w.serviceIs(s))
	w.wantFlows("nothing happened", to(0), to(1), to(2))
	w.said(stateOf(s, 0, model.BackendDown))
	again()
	w.ensure(w.serviceIs(stateOf(s, 0, model.BackendDown)))
	w.wantFlows("one went down", to(1), to(2))
	again()
	w.said(udpService(all[2]))
	again()
	w.ensure(w.serviceIs(udpService(all[2])))
	w.wantFlows("another left", to(2))
	_, states := w.served(1)
	equal(t, "states", states, map[netip.AddrPort]service.State{netip.AddrPortFrom(all[2].IPv4, 80): service.Active})
	again()
	w.ensure(w.pruned(datapath.Desired{Networks: []datapath.Network{w.network()}, Endpoints: all}))
	w.wantFlows("the service didn't come back")
}

// A backend that is down has no flows, whatever fails after it was marked so.
func TestServiceEndsFlowsThoughRingFails(t *testing.T) {
	w, all := serviceWorld(t)
	s := udpService(all...)
	w.ensure(w.serviceIs(s))
	halves := w.through("198.51.100.1:1", all[0])
	w.put(halves[0], halves[1])
	if err := w.dp.loader.Maps().Rings.Freeze(); err != nil {
		t.Fatal(err)
	}
	w.refuses(stateOf(s, 0, model.BackendDown), "ring of pool 1")
	w.wantFlows("it is down")
}

// What was refused isn't what follows endpoints from then on, nor does it leave anything.
func TestServiceRefusedHalfWay(t *testing.T) {
	w, all := serviceWorld(t)
	s := udpService(all[0])
	w.ensure(w.serviceIs(s))
	more := udpService(all[1])
	more.Fronts = append(more.Fronts, datapath.Front{NetworkID: "net1", Addr: vip, Port: model.Port{Num: 80, Proto: model.TCP}, Pool: 1})
	more.Pools = append(more.Pools, udpService(all[2]).Pools...)
	fresh := udpService(all[2])
	fresh.ID, fresh.Fronts = "service2", []datapath.Front{{NetworkID: "net1", Addr: vip, Port: model.Port{Num: 81, Proto: model.TCP}}}
	w.dp.services.slots.size = 2
	w.refuses(more, "no room for another pool of backends")
	w.refuses(fresh, "no room for another pool of backends")
	for i, e := range all {
		changed := e
		changed.MAC[4] += byte(i + 1)
		w.ensure(w.endpointIs(changed))
	}
	w.ensure(w.pruned(datapath.Desired{Networks: []datapath.Network{w.network()}, Endpoints: all, Services: []datapath.Service{s, fresh}}))
	_, states := w.served(1)
	equal(t, "states", states, map[netip.AddrPort]service.State{s.Pools[0].Backends[0].Target: service.Active})
	if used, err := w.dp.services.table.Used(); len(used) != 1 || len(w.dp.services.slots.used) != 1 || err != nil {
		t.Errorf("pools %v, slots %v, %v", used, w.dp.services.slots.used, err)
	}
}

// Two services that exchange a port while no process is there take nothing else of each other.
func TestServicesExchangePortsAcrossRestart(t *testing.T) {
	w, all := serviceWorld(t)
	s, other := udpService(all[0]), udpService(all[1])
	port := func(n uint16) datapath.Front {
		return datapath.Front{Addr: netip.IPv4Unspecified(), Port: model.Port{Num: n, Proto: model.UDP}}
	}
	other.ID, other.Name, other.Fronts = "service2", "other", []datapath.Front{port(54)}
	w.ensure(w.serviceIs(s), w.serviceIs(other))
	w.restart()
	w.ensure(w.hostIs(w.host()), w.networkIs(w.network()), w.endpointIs(all[0]), w.endpointIs(all[1]), w.endpointIs(all[2]))
	s.Fronts[1], other.Fronts[0] = port(54), port(53)
	leads := func(what string, addr netip.Addr, network, n uint16, to datapath.Endpoint) {
		t.Helper()
		e := w.snapshot().Ports[publish.Key{Addr: addr, Port: n, Proto: model.UDP, Network: network}]
		places, _ := w.served(e.Endpoint)
		if target := netip.AddrPortFrom(to.IPv4, 80); !e.Service || len(places) != 1 || places[target] == 0 {
			t.Errorf("%s: port %d of %s leads to %v, want %s", what, n, addr, places, target)
		}
	}
	w.ensure(w.serviceIs(other))
	leads("one is said", vip, 1, 53, all[0])
	leads("one is said", netip.IPv4Unspecified(), 0, 53, all[1])
	w.ensure(w.serviceIs(s))
	leads("both are said", vip, 1, 53, all[0])
	leads("both are said", netip.IPv4Unspecified(), 0, 53, all[1])
	leads("both are said", netip.IPv4Unspecified(), 0, 54, all[0])
	w.ensure(w.pruned(datapath.Desired{Networks: []datapath.Network{w.network()}, Endpoints: all, Services: []datapath.Service{s, other}}))
	if used, err := w.dp.services.table.Used(); len(used) != 2 || err != nil {
		t.Errorf("pools %v, %v", used, err)
	}
}

// A port goes from pool to pool without being closed, and the pool that keeps most of its
// fronts, and their family, stays where it is.
func TestServicePoolsSplit(t *testing.T) {
	w, all := serviceWorld(t)
	any6 := datapath.Front{Addr: netip.IPv6Unspecified(), Port: model.Port{Num: 53, Proto: model.UDP}, HostOnly: true}
	one := udpService(all[0])
	one.Fronts = append(one.Fronts, any6)
	split := udpService(all[0])
	split.Pools = append(split.Pools, udpService(all[1]).Pools...)
	split.Fronts[0].Pool, split.Fronts[1].Pool = 1, 0
	split.Fronts = append(split.Fronts, datapath.Front{Addr: any6.Addr, Port: any6.Port, Pool: 1})
	families := udpService()
	families.Pools = append(families.Pools, udpService(all[0]).Pools...)
	families.Pools[0].Backends = []datapath.Backend{{EndpointID: all[0].ID, Target: netip.AddrPortFrom(all[0].IPv6, 80), Weight: 1, State: model.BackendActive}}
	any6.HostOnly = false
	families.Fronts = []datapath.Front{any6, {Addr: netip.IPv4Unspecified(), Port: any6.Port, Pool: 1}}
	both := udpService(all[0])
	both.Fronts = []datapath.Front{{Addr: any6.Addr, Port: any6.Port, HostOnly: true}, both.Fronts[1]}
	at := func(a netip.Addr) uint16 {
		for k, e := range w.dp.ports.entries {
			if k.Addr == a {
				return e.Endpoint
			}
		}
		return 0
	}
	for _, c := range []struct {
		name     string
		from, to datapath.Service
		// moves is the address that gets another slot, stays one that doesn't.
		moves, stays netip.Addr
	}{
		{"two of three fronts stay", one, split, netip.IPv4Unspecified(), vip},
		{"the family stays", both, families, netip.IPv6Unspecified(), netip.IPv4Unspecified()},
	} {
		w.ensure(w.serviceIs(c.from))
		w.dp.ports.takeClosed()
		before := at(c.stays)
		w.ensure(w.serviceIs(c.to))
		if at(c.stays) != before || at(c.moves) == before || at(c.moves) == 0 {
			t.Errorf("%s: slot %d was that of all, now %s has %d, and %s %d", c.name, before, c.stays, at(c.stays), c.moves, at(c.moves))
		}
		w.dp.mu.Lock()
		equal(t, c.name+": closed", w.dp.ports.takeClosed(), map[model.Port]bool{})
		w.dp.mu.Unlock()
		w.ensure(w.serviceIs(c.from))
		if at(c.stays) != at(c.moves) || len(w.dp.services.slots.used) != 1 {
			t.Errorf("%s: not in one slot again: %v", c.name, w.dp.services.slots.used)
		}
		w.ensure(func(ctx context.Context) error { return w.dp.DeleteService(ctx, one.ID) })
	}
}

// A process that is killed anywhere in the removal of a service leaves enough for the next one to
// end the flows by it, and nothing stays.
func TestServiceRemovalKilledAnywhere(t *testing.T) {
	w, all := serviceWorld(t)
	tcp := model.Port{Num: 53, Proto: model.TCP}
	s, other := udpService(all[0], all[1]), udpService(all[2])
	for i := range s.Fronts {
		s.Fronts[i].Port = tcp
	}
	s.Sources = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	other.ID, other.Name, other.Fronts = "service2", "other", []datapath.Front{{Addr: netip.IPv4Unspecified(), Port: model.Port{Num: 53, Proto: model.UDP}}}
	hosts := []func(context.Context) error{w.hostIs(w.host()), w.networkIs(w.network()), w.endpointIs(all[0]), w.endpointIs(all[1]), w.endpointIs(all[2])}
	desired := datapath.Desired{Networks: []datapath.Network{w.network()}, Endpoints: all, Services: []datapath.Service{other}}
	const stays = "198.51.100.1:3"
	killed := true
	for n := 0; killed; n++ {
		w.ensure(w.serviceIs(s), w.serviceIs(other))
		for i, e := range all {
			halves := w.through(fmt.Sprintf("198.51.100.1:%d", i+1), e)
			if i < 2 {
				halves[0].Proto, halves[1].Proto = uint8(model.TCP), uint8(model.TCP)
			}
			w.put(halves[0], halves[1])
		}
		killed = w.killedAfter(n, func(ctx context.Context) error { return w.dp.DeleteService(ctx, s.ID) })
		w.ensure(hosts...)
		w.ensure(w.serviceIs(other), w.pruned(desired))
		when := fmt.Sprintf("killed after %d writes", n)
		w.wantFlows(when, stays)
		used, err := w.dp.services.table.Used()
		sources, err2 := w.dp.services.table.Sources()
		_, address := w.snapshot().Addresses[vip]
		if len(used) != 1 || len(w.dp.services.slots.used) != 1 || len(sources) != 0 || address || len(w.snapshot().Ports) != 1 || err != nil || err2 != nil {
			t.Errorf("%s: left: pools %v, slots %v, sources %v, address %t, ports %v, %v, %v",
				when, used, w.dp.services.slots.used, sources, address, w.snapshot().Ports, err, err2)
		}
	}
}
