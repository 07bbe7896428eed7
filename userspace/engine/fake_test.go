// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// errInjected is what a fake datapath fails with on demand.
var errInjected = errors.New("injected")

// fakeDatapath remembers what it was told, and fails the call of the number
// given in failAt.
type fakeDatapath struct {
	mu     sync.Mutex
	calls  int
	failAt int
	// failHost lets EnsureHost fail after it has done a part of its work.
	failHost bool
	// onResolver is called before a resolver is taken.
	onResolver func(datapath.Resolver)
	host       model.Host
	networks   map[string]datapath.Network
	endpoints  map[string]datapath.Endpoint
	ports      map[string][]datapath.Port
	resolvers  map[string]datapath.Resolver
	services   map[string]datapath.Service
	flows      []datapath.Flow
	led        []datapath.LedSocket
	pruned     *datapath.Desired
	log        []string
}

func newFake() *fakeDatapath {
	return &fakeDatapath{
		networks: map[string]datapath.Network{}, endpoints: map[string]datapath.Endpoint{},
		ports: map[string][]datapath.Port{}, resolvers: map[string]datapath.Resolver{},
		services: map[string]datapath.Service{},
	}
}

// do counts a call that makes something and lets it fail if it is its turn.
func (f *fakeDatapath) do(what string, change func()) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.calls == f.failAt {
		return fmt.Errorf("%s: %w", what, errInjected)
	}
	f.log = append(f.log, what)
	change()
	return nil
}

// take does what removes something, which never fails.
func (f *fakeDatapath) take(what string, change func()) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, what)
	change()
	return nil
}

// failNext lets the nth making call from now on fail; 0 none.
func (f *fakeDatapath) failNext(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls, f.failAt = 0, n
}

// failed reports whether the call that was to fail was made.
func (f *fakeDatapath) failed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failAt > 0 && f.calls >= f.failAt
}

func (f *fakeDatapath) setFailHost(fail bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failHost = fail
}

func (f *fakeDatapath) hostNow() model.Host {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.host
}

func (f *fakeDatapath) takeLog() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	log := f.log
	f.log = nil
	return log
}

func (f *fakeDatapath) portsOf(endpointID string) []datapath.Port {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.ports[endpointID])
}

func (f *fakeDatapath) endpoint(id string) datapath.Endpoint {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.endpoints[id]
}

func (f *fakeDatapath) knowsNetwork(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, known := f.networks[id]
	return known
}

// content tells of all that is there, to compare before and after.
func (f *fakeDatapath) content() map[string][]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	published := []string{}
	for id, ports := range f.ports {
		for _, p := range ports {
			published = append(published, fmt.Sprintf("%s %+v", id, p))
		}
	}
	slices.Sort(published)
	services := []string{}
	for _, s := range f.services {
		services = append(services, fmt.Sprintf("%+v", s))
	}
	slices.Sort(services)
	return map[string][]string{
		"networks":  slices.Sorted(maps.Keys(f.networks)),
		"endpoints": slices.Sorted(maps.Keys(f.endpoints)),
		"resolvers": slices.Sorted(maps.Keys(f.resolvers)),
		"ports":     published,
		"services":  services,
	}
}

func (f *fakeDatapath) Mode() datapath.Mode { return datapath.IPTables }

func (f *fakeDatapath) EnsureHost(_ context.Context, h model.Host) error {
	err := f.take("host", func() { f.host = h })
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failHost {
		err = fmt.Errorf("host: %w", errInjected)
	}
	return err
}

func (f *fakeDatapath) EnsureNetwork(_ context.Context, n datapath.Network) error {
	return f.do("network "+n.Name, func() { f.networks[n.ID] = n })
}

func (f *fakeDatapath) DeleteNetwork(_ context.Context, id string) error {
	return f.take("delete network", func() { delete(f.networks, id) })
}

func (f *fakeDatapath) EnsureEndpoint(_ context.Context, e datapath.Endpoint) error {
	if !f.knowsNetwork(e.NetworkID) {
		return fmt.Errorf("endpoint %s: network %s isn't known", e.ID, e.NetworkID)
	}
	return f.do("endpoint", func() { f.endpoints[e.ID] = e })
}

func (f *fakeDatapath) DeleteEndpoint(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return f.take("delete endpoint", func() { delete(f.endpoints, id); delete(f.ports, id) })
}

func (f *fakeDatapath) EnsurePorts(_ context.Context, id string, ports []datapath.Port) error {
	return f.do("ports", func() {
		delete(f.ports, id)
		if len(ports) > 0 {
			f.ports[id] = ports
		}
	})
}

func (f *fakeDatapath) EnsureResolver(_ context.Context, r datapath.Resolver) error {
	if f.onResolver != nil {
		f.onResolver(r)
	}
	return f.do("resolver", func() { f.resolvers[r.SandboxID] = r })
}

func (f *fakeDatapath) DeleteResolver(_ context.Context, id string) error {
	return f.take("delete resolver", func() { delete(f.resolvers, id) })
}

// EnsureService refuses what the contract doesn't allow: fronts of networks that it doesn't
// know, and backends that it doesn't know and that aren't down.
func (f *fakeDatapath) EnsureService(_ context.Context, s datapath.Service) error {
	for _, front := range s.Fronts {
		if front.NetworkID != "" && !f.knowsNetwork(front.NetworkID) {
			return fmt.Errorf("service %s: network %s isn't known", s.Name, front.NetworkID)
		}
	}
	for _, p := range s.Pools {
		for _, b := range p.Backends {
			if b.EndpointID != "" && f.endpoint(b.EndpointID).ID == "" {
				return fmt.Errorf("service %s: endpoint %s isn't known", s.Name, b.EndpointID)
			}
		}
	}
	return f.do("service "+s.Name, func() { f.services[s.ID] = s })
}

func (f *fakeDatapath) DeleteService(_ context.Context, id string) error {
	return f.take("delete service", func() { delete(f.services, id) })
}

// ServiceStats count one flow for each backend.
func (f *fakeDatapath) ServiceStats(_ context.Context, ids ...string) (all []datapath.ServiceStats, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, s := range f.services {
		if len(ids) > 0 && !slices.Contains(ids, id) {
			continue
		}
		st := datapath.ServiceStats{ServiceID: id, Refused: 2, Strangers: 3}
		for _, p := range s.Pools {
			for _, b := range p.Backends {
				st.Flows++
				st.Backends = append(st.Backends, datapath.BackendStats{Target: b.Target, Flows: 1})
			}
		}
		all = append(all, st)
	}
	return all, nil
}

func (f *fakeDatapath) LedSockets(context.Context) ([]datapath.LedSocket, error) { return f.led, nil }

func (f *fakeDatapath) service(id string) datapath.Service {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.services[id]
}

func (f *fakeDatapath) Prune(_ context.Context, want datapath.Desired) error {
	return f.take("prune", func() { f.pruned = &want })
}

func (f *fakeDatapath) Flows(context.Context) iter.Seq2[datapath.Flow, error] {
	return func(yield func(datapath.Flow, error) bool) {
		for _, flow := range f.flows {
			if !yield(flow, nil) {
				return
			}
		}
	}
}

func (f *fakeDatapath) Stats(context.Context) (datapath.Stats, error) { return datapath.Stats{}, nil }

func (f *fakeDatapath) Status(context.Context) (datapath.Status, error) {
	return datapath.Status{Mode: datapath.IPTables}, nil
}

func (f *fakeDatapath) Close() error { return nil }

func (f *fakeDatapath) Uninstall(context.Context) error {
	return f.take("uninstall", func() {
		clear(f.networks)
		clear(f.endpoints)
		clear(f.ports)
		clear(f.resolvers)
		clear(f.services)
	})
}
