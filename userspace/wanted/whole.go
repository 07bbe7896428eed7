// SPDX-License-Identifier: Apache-2.0

package wanted

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/fairway-project/fairway/userspace/datapath"
)

// Endpoint is an endpoint with what its container and network are called.
type Endpoint struct {
	datapath.Endpoint
	Sandbox, Network string
}

// Whole is all that an owner wants.
type Whole struct {
	// Networks without a device wait for it.
	Networks  map[string]Network
	Endpoints map[string]Endpoint
	// Ports by endpoint ID.
	Ports map[string][]datapath.Port
	// Devices, by index, are closed while no endpoint has them.
	Devices map[int]string
}

// The names of things in troubles.
const (
	endpointPrefix = "endpoint "
	portsPrefix    = "ports of endpoint "
	devicePrefix   = "device "
	networkPrefix  = "network "
)

// PortsSubject is what the published ports of an endpoint are called in troubles.
func PortsSubject(endpointID string) string { return portsPrefix + endpointID }

// NetworkSubject is what a network is called in troubles.
func NetworkSubject(name string) string { return networkPrefix + name }

// Set replaces all that the owner wants, and tells the datapath the difference. What is
// refused is reported and said again later.
func (o *Owner) Set(ctx context.Context, all Whole) {
	o.saying.Lock()
	defer o.saying.Unlock()
	o.state.mu.Lock()
	for id := range o.want.networks {
		_, told := o.told.networks[id]
		if _, wanted := all.Networks[id]; !wanted && !told {
			delete(o.state.claims, id)
		}
	}
	o.whole, o.devices, o.names = true, all.Devices, all.Endpoints
	o.want.networks, o.want.ports = all.Networks, all.Ports
	o.want.endpoints = make(map[string]datapath.Endpoint, len(all.Endpoints))
	for id, e := range all.Endpoints {
		o.want.endpoints[id] = e.Endpoint
	}
	o.forgetGone()
	o.state.mu.Unlock()
	o.say(ctx)
}

// forgetGone drops the troubles of endpoints and devices that are gone.
func (o *Owner) forgetGone() {
	if len(o.troubles) == 0 {
		return
	}
	there := make(map[string]bool)
	for _, name := range o.devices {
		there[devicePrefix+name] = true
	}
	for id := range o.want.endpoints {
		there[endpointPrefix+id], there[portsPrefix+id] = true, true
	}
	maps.DeleteFunc(o.troubles, func(subject, _ string) bool {
		return !there[subject] && slices.ContainsFunc([]string{endpointPrefix, portsPrefix, devicePrefix},
			func(p string) bool { return strings.HasPrefix(subject, p) })
	})
}

func (o *Owner) sayAgain(ctx context.Context) {
	o.saying.Lock()
	defer o.saying.Unlock()
	o.say(ctx)
}

// round is one telling of the difference.
type round struct {
	*Owner
	ctx        context.Context
	want, told objects
	devices    map[int]string
	failed     bool
}

// say tells the datapath what it doesn't have. It needs saying.
func (o *Owner) say(ctx context.Context) {
	s := o.state
	s.edits.RLock()
	defer s.edits.RUnlock()
	s.mu.Lock()
	if s.stopped || !o.whole {
		s.mu.Unlock()
		return
	}
	// The maps of want are replaced by Set, never changed; those of told are changed
	// under saying only.
	r := round{Owner: o, ctx: ctx, want: o.want, told: o.told, devices: o.devices}
	s.mu.Unlock()
	r.dropOthers()
	r.networks()
	r.guard()
	r.endpoints()
	r.ports()
	s.mu.Lock()
	o.refused = r.failed
	s.mu.Unlock()
	if r.failed {
		o.wake.Raise()
	}
}

// heard says how telling of something went; taken is called if it was.
func (r *round) heard(subject string, err error, taken func()) {
	r.state.mu.Lock()
	defer r.state.mu.Unlock()
	r.report(subject, err)
	if err != nil {
		r.failed = true
		return
	}
	taken()
}

// dropOthers removes what isn't wanted any more before anything is added: what is new
// may have the same addresses.
func (r *round) dropOthers() {
	for _, id := range picked(r.told.endpoints, func(id string, e datapath.Endpoint) bool {
		now, wanted := r.want.endpoints[id]
		return !wanted || now.HostIndex != e.HostIndex
	}) {
		_, wanted := r.want.endpoints[id]
		r.heard(endpointPrefix+id, r.state.Datapath.DeleteEndpoint(r.ctx, id), func() {
			r.logDeleted(id, r.told.ports[id], wanted)
			delete(r.told.endpoints, id)
			delete(r.told.ports, id)
		})
	}
	for _, id := range picked(r.told.networks, func(id string, _ Network) bool { return r.want.networks[id].Told == nil }) {
		n := r.told.networks[id]
		r.heard(networkPrefix+n.Name, r.state.Datapath.DeleteNetwork(r.ctx, id), func() {
			r.logNetwork(n, false)
			delete(r.told.networks, id)
			delete(r.state.claims, id)
		})
	}
}

// picked returns the IDs that f says yes to, in their order. Of many objects few are others
// than before: all else about these is for them only.
func picked[V any](all map[string]V, f func(id string, v V) bool) (ids []string) {
	for id, v := range all {
		if f(id, v) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (r *round) networks() {
	for _, id := range picked(r.want.networks, func(id string, n Network) bool {
		have, known := r.told.networks[id]
		return n.Told != nil && (!known || !reflect.DeepEqual(have, n))
	}) {
		n := r.want.networks[id]
		_, known := r.told.networks[id]
		r.state.mu.Lock()
		err := r.state.claim(&n.Network)
		r.state.mu.Unlock()
		if err == nil {
			err = r.state.Datapath.EnsureNetwork(r.ctx, *n.Told)
		}
		r.heard(networkPrefix+n.Name, err, func() {
			if !known {
				r.logNetwork(n, true)
			}
			r.told.networks[id] = n
		})
	}
}

// guard closes the devices that it hasn't closed before.
func (r *round) guard() {
	for index := range r.guarded {
		if _, there := r.devices[index]; !there {
			delete(r.guarded, index)
		}
	}
	for index, name := range r.devices {
		r.guardOne(name, index)
	}
}

// Guard closes one device at once, before the next Set.
func (o *Owner) Guard(ctx context.Context, device string, index int) {
	o.saying.Lock()
	defer o.saying.Unlock()
	s := o.state
	s.edits.RLock()
	defer s.edits.RUnlock()
	if s.Stopped() {
		return
	}
	r := round{Owner: o, ctx: ctx}
	r.guardOne(device, index)
	if r.failed {
		// By the next one, whether anything else is new or not.
		s.mu.Lock()
		o.refused = true
		s.mu.Unlock()
		o.wake.Raise()
	}
}

func (r *round) guardOne(name string, index int) {
	if r.guarded[index] {
		return
	}
	var err error
	if guarding, can := r.state.Datapath.(datapath.Guarding); can {
		err = guarding.Guard(r.ctx, name, index)
	} else {
		err = fmt.Errorf("datapath %s can't carry networks of others", r.state.Datapath.Mode())
	}
	r.heard(devicePrefix+name, err, func() { r.guarded[index] = true })
}

func (r *round) endpoints() {
	for _, id := range picked(r.want.endpoints, func(id string, e datapath.Endpoint) bool {
		have, known := r.told.endpoints[id]
		return !known || !have.Equal(e)
	}) {
		e := r.want.endpoints[id]
		if _, known := r.told.networks[e.NetworkID]; !known {
			// Its network has been told as the trouble.
			continue
		}
		r.heard(endpointPrefix+id, r.state.Datapath.EnsureEndpoint(r.ctx, e), func() {
			r.told.endpoints[id] = e
			r.logEnsured(id)
		})
	}
}

// ports first closes what isn't wanted any more, then opens what is new: a port may
// move from one endpoint to another.
func (r *round) ports() {
	for _, id := range picked(r.told.ports, func(id string, have []datapath.Port) bool { return !slices.Equal(have, r.want.ports[id]) }) {
		have := r.told.ports[id]
		if kept := common(have, r.want.ports[id]); len(kept) < len(have) {
			r.setPorts(id, kept)
		}
	}
	for _, id := range picked(r.told.endpoints, func(id string, _ datapath.Endpoint) bool {
		have, said := r.told.ports[id]
		return !said || !slices.Equal(have, r.want.ports[id])
	}) {
		r.setPorts(id, r.want.ports[id])
	}
}

// common returns what of have is in want too. Containers have thousands of ports.
func common(have, want []datapath.Port) []datapath.Port {
	wanted := make(map[datapath.Port]bool, len(want))
	for _, p := range want {
		wanted[p] = true
	}
	return slices.DeleteFunc(slices.Clone(have), func(p datapath.Port) bool { return !wanted[p] })
}

func (r *round) setPorts(id string, ports []datapath.Port) {
	r.heard(portsPrefix+id, r.state.Datapath.EnsurePorts(r.ctx, id, ports), func() {
		r.logPorts(id, r.told.ports[id], ports)
		r.told.ports[id] = ports
	})
}
