// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"net/netip"
	"testing"

	"github.com/fairway-project/fairway/maps/endpoint"
	"github.com/fairway-project/fairway/maps/service"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// outsideService has one backend outside and one that is an endpoint.
func outsideService(e datapath.Endpoint, networks ...string) datapath.Service {
	s := udpService(e)
	s.Networks = networks
	s.Pools[0].Backends = append(s.Pools[0].Backends, datapath.Backend{
		Target: netip.MustParseAddrPort("198.51.100.9:80"), Weight: 1, State: model.BackendActive,
	})
	return s
}

// relayOf is what programs know of the backend outside of the pool in slot 1, and of the endpoint
// that it names.
func (w *world) relayOf() (b service.Backend, e endpoint.Endpoint) {
	w.t.Helper()
	w.do(func() error {
		_, backends, _, err := w.dp.services.table.Pool(1)
		if err != nil {
			return err
		}
		for _, found := range backends {
			if found.Outside {
				b = found
			}
		}
		e, err = w.dp.endpoints.table.Get(b.Endpoint)
		return err
	})
	return b, e
}

// A network has one relay, which lasts over restarts and goes with it.
func TestRelay(t *testing.T) {
	w, all := serviceWorld(t)
	used := len(w.dp.endpoints.slots.used)
	w.ensure(w.serviceIs(outsideService(all[0])))
	if b, _ := w.relayOf(); !b.Outside || b.Endpoint != 0 {
		t.Errorf("without a network: %+v, want no relay", b)
	}
	s := outsideService(all[0], "nowhere", "net1")
	w.ensure(w.serviceIs(s))
	first, e := w.relayOf()
	want := endpoint.Endpoint{Index: w.network().Device.Index, Network: w.dp.networks.byID["net1"].slot, Generation: first.Generation, Ready: true}
	if e != want || first.Generation == 0 || w.dp.answering() != len(all)+1 {
		t.Errorf("relay is %s, named %+v, with %d endpoints that answer; want %s", e, first, w.dp.answering(), want)
	}
	again := outsideService(all[1], "net1")
	again.ID, again.Fronts = "service2", []datapath.Front{{Addr: netip.IPv4Unspecified(), Port: model.Port{Num: 54, Proto: model.UDP}}}
	w.ensure(w.serviceIs(again))
	if n := len(w.dp.endpoints.slots.used); n != used+1 {
		t.Errorf("two services take %d slots, want 1", n-used)
	}

	w.restart()
	w.ensure(w.hostIs(w.host()), w.networkIs(w.network()), w.endpointIs(all[0]), w.endpointIs(all[1]), w.endpointIs(all[2]), w.serviceIs(s), w.serviceIs(again),
		w.pruned(datapath.Desired{Networks: []datapath.Network{w.network()}, Endpoints: all, Services: []datapath.Service{s, again}}))
	if b, now := w.relayOf(); b != first || now != want {
		t.Errorf("after a restart the relay is %s, named %+v; want %s, %+v", now, b, want, first)
	}
	if n := len(w.dp.endpoints.slots.used); n != used+1 {
		t.Errorf("after a restart %d slots more are used, want 1", n-used)
	}

	within := udpService(all[1])
	within.ID, within.Fronts = again.ID, again.Fronts
	w.ensure(w.serviceIs(within))
	if b, now := w.relayOf(); b != first || now != want {
		t.Errorf("with one service less the relay is %s, named %+v; want %s, %+v", now, b, want, first)
	}
	w.ensure(func(ctx context.Context) error { return w.dp.DeleteService(ctx, "service1") })
	w.noRelay("without a service", first, len(all))
	w.ensure(w.serviceIs(s))
	first, _ = w.relayOf()
	w.ensure(w.serviceIs(udpService(all[0])))
	w.noRelay("without a backend outside", first, len(all))
	w.ensure(w.serviceIs(s))
	first, _ = w.relayOf()
	for _, e := range all {
		w.ensure(w.endpointGone(e.ID))
	}
	w.ensure(
		func(ctx context.Context) error { return w.dp.DeleteService(ctx, "service1") },
		func(ctx context.Context) error { return w.dp.DeleteService(ctx, "service2") },
		func(ctx context.Context) error { return w.dp.DeleteNetwork(ctx, "net1") },
		func(ctx context.Context) error { return w.dp.DeleteNetwork(ctx, "net1") },
	)
	w.noRelay("without its network", first, 0)
}

// noRelay demands that what was a relay is nobody, and that so many endpoints answer.
func (w *world) noRelay(what string, was service.Backend, answering int) {
	w.t.Helper()
	var e endpoint.Endpoint
	w.do(func() (err error) { e, err = w.dp.endpoints.table.Get(was.Endpoint); return err })
	if e.Ready || e.Index != 0 || e.Generation == was.Generation || w.dp.answering() != answering {
		w.t.Errorf("%s the relay is %s, and %d endpoints answer, want %d", what, e, w.dp.answering(), answering)
	}
}

// What an earlier process left of a network that didn't come back goes.
func TestRelayLeftover(t *testing.T) {
	w, all := serviceWorld(t)
	w.ensure(w.serviceIs(outsideService(all[0], "net1")))
	first, _ := w.relayOf()
	w.restart()
	w.ensure(w.pruned(datapath.Desired{}))
	var e endpoint.Endpoint
	w.do(func() (err error) { e, err = w.dp.endpoints.table.Get(first.Endpoint); return err })
	if e.Ready || e.Index != 0 || e.Generation == first.Generation {
		t.Errorf("the relay is %s still", e)
	}
}
