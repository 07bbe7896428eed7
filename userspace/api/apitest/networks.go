// SPDX-License-Identifier: Apache-2.0

package apitest

import (
	"context"
	"slices"
	"strings"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

func matches(ref, id, name string) bool {
	return ref == name || len(ref) >= 4 && strings.HasPrefix(id, ref)
}

func (f *Fake) network(ref string) (int, error) {
	i := slices.IndexFunc(f.networks, func(n request.NetworkView) bool { return matches(ref, n.ID, n.Name) })
	if i < 0 {
		return i, request.Errorf(request.ErrNotFound, "network %s not found", ref)
	}
	return i, nil
}

// CreateNetwork implements api.Backend.
func (f *Fake) CreateNetwork(_ context.Context, req request.NetworkCreate) (model.Network, error) {
	f.mu.Lock()
	f.LastCreate = req
	_, err := f.network(req.Name)
	f.mu.Unlock()
	if err == nil {
		return model.Network{}, request.Errorf(request.ErrConflict, "network with name %s already exists", req.Name)
	}
	n := model.Network{Name: req.Name, Driver: req.Driver, Internal: req.Internal, Options: req.Options, Labels: req.Labels}
	if n.Driver == "" {
		n.Driver = model.DriverBridge
	}
	for _, p := range req.IPAM {
		s := &model.Subnet{Prefix: p.Subnet, Gateway: p.Gateway, Range: p.IPRange, Aux: p.AuxAddresses}
		if p.Subnet.Addr().Is4() {
			n.IPv4 = s
		} else {
			n.IPv6 = s
		}
	}
	return f.AddNetwork(n), nil
}

// Networks implements api.Backend.
func (f *Fake) Networks(context.Context) ([]request.NetworkView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.networks), nil
}

// Network implements api.Backend.
func (f *Fake) Network(_ context.Context, ref string) (request.NetworkView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, err := f.network(ref)
	if err != nil {
		return request.NetworkView{}, err
	}
	return f.networks[i], nil
}

// RemoveNetwork implements api.Backend.
func (f *Fake) RemoveNetwork(_ context.Context, ref string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, err := f.network(ref)
	switch {
	case err != nil:
		return err
	case f.networks[i].Predefined():
		return request.Errorf(request.ErrInvalid, "%s is a pre-defined network and cannot be removed", ref)
	case len(f.networks[i].Endpoints) > 0:
		return request.Errorf(request.ErrConflict, "error while removing network: network %s has active endpoints", ref)
	}
	f.networks = slices.Delete(f.networks, i, i+1)
	return nil
}

// PruneNetworks implements api.Backend.
func (f *Fake) PruneNetworks(_ context.Context, match func(model.Network) bool) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	f.networks = slices.DeleteFunc(f.networks, func(n request.NetworkView) bool {
		if n.Predefined() || len(n.Endpoints) > 0 || !match(n.Network) {
			return false
		}
		names = append(names, n.Name)
		return true
	})
	return names, nil
}

// Connect implements api.Backend.
func (f *Fake) Connect(_ context.Context, sandbox string, s request.EndpointSettings) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.LastEdge = s
	if _, err := f.sandbox(sandbox); err != nil {
		return err
	}
	_, err := f.network(s.Network)
	return err
}

// Disconnect implements api.Backend.
func (f *Fake) Disconnect(_ context.Context, network, sandbox string, _ bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.network(network); err != nil {
		return err
	}
	_, err := f.sandbox(sandbox)
	return err
}
