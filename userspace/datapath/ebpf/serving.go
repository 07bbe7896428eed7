// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/host"
	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/maps/service"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

var _ datapath.Serving = (*Datapath)(nil)

// EnsureService implements datapath.Serving. It touches what differs only.
func (d *Datapath) EnsureService(_ context.Context, s datapath.Service) error {
	return d.edit(func() error { return d.ensureService(s) })
}

// DeleteService implements datapath.Serving.
func (d *Datapath) DeleteService(_ context.Context, id string) error {
	return d.edit(func() error {
		if st := d.services.byID[id]; st != nil {
			d.noteRelays(st.said, datapath.Service{})
		}
		return d.services.delete(id)
	})
}

func (d *Datapath) ensureService(s datapath.Service) error {
	at, err := d.frontsOf(s)
	if err == nil {
		err = checkPools(s)
	}
	if err != nil {
		return fmt.Errorf("service %s: %w", s.Name, err)
	}
	var former datapath.Service
	if st := d.services.byID[s.ID]; st != nil {
		former = st.said
	}
	relay, err := d.relaysOf(s)
	if err != nil {
		return fmt.Errorf("service %s: %w", s.Name, err)
	}
	if err := d.services.ensure(s, at, d.loader.Clock().HZ(), relaying{d, relay}); err != nil {
		return err
	}
	// Flows to those who left have ended before they did.
	if d.noteRelays(former, s); d.relays.fewer {
		if err := d.dropRelays(); err != nil {
			return err
		}
	}
	now := d.ownAddresses(s)
	if within(d.ownAddresses(former), now) {
		return d.addresses.add(now)
	}
	// All services' addresses are looked at only where some went.
	return d.syncAddresses()
}

// ownAddresses are those of what was said of a service, with what the programs are told of
// each.
func (d *Datapath) ownAddresses(s datapath.Service) map[netip.Addr]uint32 {
	all := make(map[netip.Addr]uint32)
	for _, f := range s.Fronts {
		if n := d.networks.byID[f.NetworkID]; n != nil {
			all[f.Addr] = host.Gateway(n.slot)
		}
	}
	return all
}

func within(some, all map[netip.Addr]uint32) bool {
	for a := range some {
		if _, is := all[a]; !is {
			return false
		}
	}
	return true
}

// serveWith says again what was said of the services with the endpoint, which has come, gone
// or got another address. What fails is the services' trouble and not the endpoint's: it is
// tried again.
func (d *Datapath) serveWith(endpointID string) {
	for _, s := range d.services.with(endpointID) {
		d.services.behind[s.ID] = true
	}
	if d.catchUp(); len(d.services.behind)+len(d.services.ended) > 0 {
		d.collector.wake.Raise()
	}
}

// serveBehind tries again what failed in serveWith.
func (d *Datapath) serveBehind() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.catchUp()
}

func (d *Datapath) catchUp() {
	for id := range d.services.behind {
		if st := d.services.byID[id]; st != nil && st.said.ID != "" {
			if err := d.ensureService(st.said); err != nil {
				d.log.Error("a service doesn't follow its backends yet", "service", st.said.Name, "err", err)
				continue
			}
		}
		delete(d.services.behind, id)
	}
}

// serveAll says all services again, after endpoints have gone.
func (d *Datapath) serveAll() error {
	var errs []error
	for _, st := range d.services.byID {
		if st.said.ID == "" {
			continue // refused until now
		}
		errs = append(errs, d.ensureService(st.said))
	}
	return errors.Join(errs...)
}

// frontsOf returns what leads to each of the service's pools, and refuses what others have.
func (d *Datapath) frontsOf(s datapath.Service) (fronts, error) {
	at := make(fronts, len(s.Pools))
	for _, f := range s.Fronts {
		if f.Pool < 0 || f.Pool >= len(s.Pools) {
			return nil, fmt.Errorf("front %s has pool %d, of %d", f.Port, f.Pool, len(s.Pools))
		}
		k := publish.Key{Addr: f.Addr, Port: f.Port.Num, Proto: f.Port.Proto}
		if f.NetworkID != "" {
			n := d.networks.byID[f.NetworkID]
			if n == nil {
				return nil, fmt.Errorf("network %s isn't known to the datapath", f.NetworkID)
			}
			k.Network = n.slot
		}
		if owner, taken := d.portOwner(k); taken && owner != "service "+s.ID {
			return nil, fmt.Errorf("published port %s: %s has it", k, owner)
		}
		if at[f.Pool] == nil {
			at[f.Pool] = make(map[publish.Key]publish.Entry)
		}
		at[f.Pool][k] = publish.Entry{HostOnly: f.HostOnly}
	}
	return at, nil
}

func checkPools(s datapath.Service) error {
	for _, p := range s.Pools {
		targets := make(map[string]bool, len(p.Backends))
		for _, b := range p.Backends {
			target := b.Target.String()
			switch {
			case targets[target]:
				return fmt.Errorf("backend %s is in one pool twice", target)
			case b.Weight < 1 || b.Weight > model.MaxWeight:
				return fmt.Errorf("backend %s has weight %d, not from 1 to %d", target, b.Weight, model.MaxWeight)
			}
			targets[target] = true
		}
	}
	return nil
}

// backend is as the programs know it. One whose endpoint is gone, or has another address, is
// down.
func (d *Datapath) backend(b datapath.Backend) service.Backend {
	v := service.Backend{Target: b.Target, State: service.Down}
	if b.EndpointID == "" {
		v.Outside, v.State = true, stateOfBackend(b.State)
		return v
	}
	st := d.endpoints.byID[b.EndpointID]
	if st == nil || st.value.IPv4 != b.Target.Addr() && st.value.IPv6 != b.Target.Addr() {
		return v
	}
	v.Endpoint, v.Generation, v.State = st.slot, st.value.Generation, stateOfBackend(b.State)
	return v
}

// networkOf implements finder.
func (d *Datapath) networkOf(all []datapath.Backend) (network uint16) {
	for _, b := range all {
		if d.backend(b).State != service.Active {
			continue
		}
		st := d.endpoints.byID[b.EndpointID]
		if st == nil || network != 0 && network != st.value.Network {
			return 0
		}
		network = st.value.Network
	}
	return network
}

// relaying is a finder that knows by which relay clients outside get to backends outside, for IPv6
// or not; those without don't get there.
type relaying struct {
	*Datapath
	relay map[bool]*endpointState
}

func (r relaying) backend(b datapath.Backend) service.Backend {
	v := r.Datapath.backend(b)
	if st := r.relay[b.Target.Addr().Is6()]; v.Outside && st != nil {
		v.Endpoint, v.Generation = st.slot, st.value.Generation
	}
	return v
}

func stateOfBackend(s model.BackendState) service.State {
	switch s {
	case model.BackendActive:
		return service.Active
	case model.BackendDraining:
		return service.Draining
	}
	return service.Down
}

// endServices ends flows to backends that are down, and of services that are gone. Their
// clients' next packets begin anew. It must not be called under the lock, which comes after
// the collector's.
func (d *Datapath) endServices(ended []endedFlows) error {
	if len(ended) == 0 {
		return nil
	}
	ended = d.stillEnded(ended)
	sockets := d.endSocketsOf(ended)
	all := byTarget(ended)
	err := d.collector.purge(func(origin *flow.Half) bool { return all.has(origin, d.isPublished) })
	d.mu.Lock()
	defer d.mu.Unlock()
	if sockets != nil {
		d.stayOpen(sockets)
	}
	var done []endedFlows
	for _, e := range ended {
		if e.tries++; err != nil || sockets != nil && e.tries < socketTries {
			d.services.ended = append(d.services.ended, e)
		} else {
			done = append(done, e)
		}
	}
	if err != nil {
		return err
	}
	gone, err := d.services.haveEnded(done)
	if gone {
		err = errors.Join(err, d.syncAddresses())
		if d.relays.fewer {
			err = errors.Join(err, d.dropRelays())
		}
	}
	return err
}

// stillEnded leaves out what serves again since it was to be ended the last time, in vain.
func (d *Datapath) stillEnded(ended []endedFlows) (still []endedFlows) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range ended {
		if e.tries > 0 {
			e = e.without()
		}
		still = append(still, e)
	}
	return still
}
