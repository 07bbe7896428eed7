// SPDX-License-Identifier: Apache-2.0

package wanted

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/fairway-project/fairway/userspace/audit"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/pace"
	"github.com/fairway-project/fairway/userspace/policy"
	"github.com/fairway-project/fairway/userspace/request"
)

// objects are what an owner wants, or what the datapath has of it, by ID; ports by
// endpoint, resolvers by sandbox. Services are wanted by edits only, and remembered once.
type objects struct {
	networks  map[string]Network
	endpoints map[string]datapath.Endpoint
	ports     map[string][]datapath.Port
	resolvers map[string]datapath.Resolver
	services  map[string]datapath.Service
}

func newObjects() objects {
	return objects{
		networks: make(map[string]Network), endpoints: make(map[string]datapath.Endpoint),
		ports: make(map[string][]datapath.Port), resolvers: make(map[string]datapath.Resolver),
		services: make(map[string]datapath.Service),
	}
}

// Network is a network with the device that stands for it on this host.
type Network struct {
	model.Network
	// Told is what the datapath is told of it; nil if it is nothing, or not yet.
	Told *datapath.Network
}

// Owner is somebody who wants something of this host.
type Owner struct {
	Options
	state *State
	// audit is nil for an owner that logs itself; prefix begins what the status and the
	// log say of troubles, and is empty for Fairway itself.
	audit  *audit.Log
	prefix string

	// saying orders the calls of Set, and what is said again.
	saying sync.Mutex
	// guarded are the devices that were closed, by index; named what endpoints are
	// called in the log. Both are guarded by saying.
	guarded map[int]bool
	named   map[string]Endpoint
	// counted says that what was there at first was counted in the log.
	counted bool

	// The rest is guarded by state.mu.
	want, told objects
	// devices are those to be guarded, by index; whole says that Set was called.
	devices map[int]string
	whole   bool
	// names are those of Set.
	names map[string]Endpoint
	// refused says that something of Set was refused.
	refused bool
	// saidAll and when, whether more may follow soon, and whether leftovers are gone.
	saidAll time.Time
	pending bool
	done    bool
	// unpruned says that their removal failed.
	unpruned bool

	troubles map[string]string
	mends    map[string]*mend
	// running are the subjects at whose mends an attempt is under way, with what is closed
	// at its end.
	running map[string]chan struct{}

	// wake has run try again.
	wake       pace.Signal
	cancel     context.CancelFunc
	background sync.WaitGroup
}

// Close ends what the owner tries again. What it wants stays.
func (o *Owner) Close() {
	o.cancel()
	o.background.Wait()
}

// ExpectNetwork says that the owner is going to want a network, by an edit: it is no
// leftover meanwhile. Its subnets are taken by that edit only: of two stored networks
// that overlap one works.
func (o *Owner) ExpectNetwork(n Network) {
	o.state.mu.Lock()
	defer o.state.mu.Unlock()
	o.want.networks[n.ID] = n
}

// ExpectEndpoint is ExpectNetwork for an endpoint with its published ports.
func (o *Owner) ExpectEndpoint(e datapath.Endpoint, ports []datapath.Port) {
	o.state.mu.Lock()
	defer o.state.mu.Unlock()
	o.want.endpoints[e.ID], o.want.ports[e.ID] = e, ports
}

// edit records a wish and tells the datapath of it.
func (o *Owner) edit(wish, tell func() error, taken func()) error {
	s := o.state
	s.edits.RLock()
	defer s.edits.RUnlock()
	s.mu.Lock()
	err := ErrStopped
	if !s.stopped {
		err = wish()
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if err := tell(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	taken()
	return nil
}

// remove has the datapath forget something, and forgets the wish after that.
func (o *Owner) remove(tell func() error, gone func()) error {
	s := o.state
	s.edits.RLock()
	defer s.edits.RUnlock()
	if err := tell(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	gone()
	return nil
}

// PutNetwork wants a network, or wants it otherwise than before. A subnet that overlaps
// another network's is refused (request.ErrConflict), whoever's that is.
func (o *Owner) PutNetwork(ctx context.Context, n Network) error {
	return o.edit(func() error {
		if err := o.state.claim(&n.Network); err != nil {
			return err
		}
		o.want.networks[n.ID] = n
		return nil
	}, func() error {
		if n.Told == nil {
			return nil
		}
		return o.state.Datapath.EnsureNetwork(ctx, *n.Told)
	}, func() { o.told.networks[n.ID] = n })
}

// claim takes the network's subnets. It needs mu.
func (s *State) claim(n *model.Network) error {
	if err := policy.Overlap(n, maps.Values(s.claims)); err != nil {
		return request.Mark(request.ErrConflict, err)
	}
	s.claims[n.ID] = n
	return nil
}

// DeleteNetwork ends the wish for a network. Endpoints go before it: one that the datapath
// still has, as its device can't be removed, keeps its network.
func (o *Owner) DeleteNetwork(ctx context.Context, id string) error {
	return o.remove(func() error {
		if e := o.endpointOn(id); e != "" {
			return fmt.Errorf("endpoint %s is still there", e)
		}
		return o.state.Datapath.DeleteNetwork(ctx, id)
	}, func() {
		delete(o.want.networks, id)
		delete(o.told.networks, id)
		delete(o.state.claims, id)
	})
}

// endpointOn returns an endpoint of the network that the datapath has, "" for none.
func (o *Owner) endpointOn(networkID string) string {
	o.state.mu.Lock()
	defer o.state.mu.Unlock()
	for id, e := range o.told.endpoints {
		if e.NetworkID == networkID {
			return id
		}
	}
	return ""
}

// PutEndpoint wants an endpoint, whose device the caller sets up after the call only.
func (o *Owner) PutEndpoint(ctx context.Context, e datapath.Endpoint) error {
	return o.edit(func() error {
		o.want.endpoints[e.ID] = e
		return nil
	}, func() error {
		return o.state.Datapath.EnsureEndpoint(ctx, e)
	}, func() { o.told.endpoints[e.ID] = e })
}

// DeleteEndpoint ends the wish for an endpoint and for its ports.
func (o *Owner) DeleteEndpoint(ctx context.Context, id string) error {
	return o.remove(func() error { return o.state.Datapath.DeleteEndpoint(ctx, id) }, func() {
		for _, all := range []objects{o.want, o.told} {
			delete(all.endpoints, id)
			delete(all.ports, id)
		}
	})
}

// Withdraw is DeleteEndpoint after remove has taken the endpoint's device away, so that
// nothing passes unguarded. While that can't be, the datapath keeps the endpoint, which is
// reported as a trouble of subject, and both are tried again (Mend). gone is called once
// they are done.
func (o *Owner) Withdraw(ctx context.Context, subject, id string, remove func(context.Context) error, gone func()) error {
	return o.Mend(ctx, subject, func(ctx context.Context) error {
		err := remove(ctx)
		if err == nil {
			err = o.DeleteEndpoint(ctx, id)
		}
		if err == nil {
			gone()
		}
		return err
	})
}

// PutPorts replaces the published ports of an endpoint.
func (o *Owner) PutPorts(ctx context.Context, endpointID string, ports []datapath.Port) error {
	return o.edit(func() error {
		o.want.ports[endpointID] = ports
		return nil
	}, func() error {
		return o.state.Datapath.EnsurePorts(ctx, endpointID, ports)
	}, func() { o.told.ports[endpointID] = ports })
}

// PutResolver wants what a sandbox asks 127.0.0.11 to go to a resolver.
func (o *Owner) PutResolver(ctx context.Context, r datapath.Resolver) error {
	return o.edit(func() error {
		o.want.resolvers[r.SandboxID] = r
		return nil
	}, func() error {
		return o.state.Datapath.EnsureResolver(ctx, r)
	}, func() {})
}

// DeleteResolver ends the wish for a sandbox's resolver.
func (o *Owner) DeleteResolver(ctx context.Context, sandboxID string) error {
	return o.remove(func() error { return o.state.Datapath.DeleteResolver(ctx, sandboxID) }, func() {
		delete(o.want.resolvers, sandboxID)
	})
}

// Ports returns the published ports of an endpoint that the datapath has. They aren't
// to be changed.
func (o *Owner) Ports(endpointID string) []datapath.Port {
	o.state.mu.Lock()
	defer o.state.mu.Unlock()
	return o.told.ports[endpointID]
}

// PortTrouble returns what was reported of the ports of the endpoint that has p in the
// datapath, "" for nothing.
func (o *Owner) PortTrouble(p model.PublishedPort) string {
	o.state.mu.Lock()
	defer o.state.mu.Unlock()
	for id, ports := range o.told.ports {
		text := o.troubles[PortsSubject(id)]
		if text != "" && slices.ContainsFunc(ports, func(have datapath.Port) bool { return have.PublishedPort == p }) {
			return text
		}
	}
	return ""
}

// EndpointAt returns the endpoint with the address that the datapath has, "" for none.
func (o *Owner) EndpointAt(a netip.Addr) (endpointID string) {
	o.state.mu.Lock()
	defer o.state.mu.Unlock()
	for id, e := range o.told.endpoints {
		if e.IPv4 == a || e.IPv6 == a {
			return id
		}
	}
	return ""
}
