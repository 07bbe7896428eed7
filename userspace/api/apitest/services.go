// SPDX-License-Identifier: Apache-2.0

package apitest

import (
	"context"
	"iter"
	"slices"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
	"github.com/fairway-project/fairway/userspace/request"
)

// AddService puts v into the fake, with its ID and time filled in.
func (f *Fake) AddService(v request.ServiceView) request.ServiceView {
	f.mu.Lock()
	defer f.mu.Unlock()
	v.ID, v.Created = ID("service", v.Name), Epoch
	f.services = append(f.services, v)
	return v
}

func (f *Fake) service(ref string) (int, error) {
	i := slices.IndexFunc(f.services, func(v request.ServiceView) bool { return matches(ref, v.ID, v.Name) })
	if i < 0 {
		return i, request.Errorf(request.ErrNotFound, "service %s not found", ref)
	}
	return i, nil
}

// CreateService implements api.Backend. A service without a backend gets a warning.
func (f *Fake) CreateService(_ context.Context, req request.ServiceCreate) (request.ServiceView, error) {
	f.mu.Lock()
	f.LastService = req
	v, err := f.newService(req)
	f.mu.Unlock()
	if err != nil {
		return v, err
	}
	return f.AddService(v), nil
}

// newService needs the lock.
func (f *Fake) newService(req request.ServiceCreate) (v request.ServiceView, err error) {
	s, err := req.Service()
	if err != nil {
		return v, err
	}
	if _, err := f.service(req.Name); err == nil {
		return v, request.Errorf(request.ErrConflict, "service name %q: already in use", req.Name)
	}
	v.Service = *s
	for _, ref := range req.Networks {
		i, err := f.network(ref)
		if err != nil {
			return v, err
		}
		v.Networks = append(v.Networks, request.ServiceNetworkView{
			Name: f.networks[i].Name, ServiceNetwork: model.ServiceNetwork{NetworkID: f.networks[i].ID},
		})
	}
	f.gather(&v)
	return v, nil
}

// gather makes the backends of v those that it names or selects, all active. It needs
// the lock.
func (f *Fake) gather(v *request.ServiceView) {
	v.Backends, v.Warnings = nil, nil
	for _, b := range v.Service.Backends {
		v.Backends = append(v.Backends, request.ServiceBackendView{Name: b.Name, IPv4: b.Addr, Port: b.Port, Weight: b.Weight, State: model.BackendActive})
	}
	for _, e := range f.sandboxes {
		if policy.Selects(v.Selector, e.view.Labels) {
			v.Backends = append(v.Backends, request.ServiceBackendView{SandboxID: e.view.ID, Name: e.view.Name, Weight: 1, State: model.BackendActive})
		}
	}
	if len(v.Backends) == 0 {
		v.Warnings = []string{"no sandbox that runs has these labels"}
	}
}

// UpdateService implements api.Backend.
func (f *Fake) UpdateService(_ context.Context, ref string, req request.ServiceUpdate) (request.ServiceView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.LastUpdate = req
	i, err := f.service(ref)
	if err != nil {
		return request.ServiceView{}, err
	}
	s, err := req.Apply(&f.services[i].Service)
	if err != nil {
		return request.ServiceView{}, err
	}
	f.services[i].Service = *s
	f.gather(&f.services[i])
	return f.services[i], nil
}

// RemoveService implements api.Backend.
func (f *Fake) RemoveService(_ context.Context, ref string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, err := f.service(ref)
	if err != nil {
		return err
	}
	f.services = slices.Delete(f.services, i, i+1)
	return nil
}

// Services implements api.Backend.
func (f *Fake) Services(context.Context) iter.Seq[request.ServiceView] {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Values(slices.Clone(f.services))
}

// Service implements api.Backend.
func (f *Fake) Service(_ context.Context, ref string) (request.ServiceView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, err := f.service(ref)
	if err != nil {
		return request.ServiceView{}, err
	}
	return f.services[i], nil
}

// CountServices implements api.Backend, of what SetCounts set.
func (f *Fake) CountServices(_ context.Context, ids ...string) (map[string]request.ServiceCounts, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make(map[string]request.ServiceCounts)
	for _, id := range ids {
		if c, is := f.counts[id]; is {
			all[id] = c
		}
	}
	return all, f.CountsError
}

// SetCounts sets the connections of the service with a name.
func (f *Fake) SetCounts(name string, c request.ServiceCounts) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counts == nil {
		f.counts = make(map[string]request.ServiceCounts)
	}
	f.counts[ID("service", name)] = c
}

// DrainService implements api.Backend.
func (f *Fake) DrainService(_ context.Context, ref string, req request.ServiceDrain) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.LastDrain = req
	i, err := f.service(ref)
	if err != nil {
		return err
	}
	backends := slices.Clone(f.services[i].Backends)
	n := slices.IndexFunc(backends, func(b request.ServiceBackendView) bool {
		return b.Name != "" && matches(req.Backend, b.SandboxID, b.Name) || req.Backend == b.IPv4.String()
	})
	if n < 0 {
		return request.Errorf(request.ErrNotFound, "service %s: backend %s not found", ref, req.Backend)
	}
	backends[n].State = model.BackendDraining
	if req.Undo {
		backends[n].State = model.BackendActive
	}
	f.services[i].Backends = backends
	return nil
}
