// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net/netip"

	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/request"
)

// Tenant keeps networks of its own in the engine's datapath and host: those of a
// Docker Engine. The engine knows nothing about them but what these calls tell.
type Tenant interface {
	// Owns reports whether a device leads to the tenant's networks and so is no
	// uplink. Devices of Fairway's that the tenant owns are not the engine's to
	// remove, but for an uninstall.
	Owns(device string) bool
	// Reserved are subnets that the tenant is going to use, though nothing on the
	// host may show it yet. The engine gives them to nobody who didn't ask for them.
	Reserved() []netip.Prefix
	// Stop ends the tenant's work on the datapath for good. It is called before
	// the datapath is uninstalled.
	Stop()
	// Degraded tells what isn't as it should be, a sentence each.
	Degraded() []string
	// NamesOf returns the names that belong to an endpoint, empty if the tenant
	// doesn't know it.
	NamesOf(endpointID string) (container, network string)
	// Carried returns the tenant's networks and the containers on them.
	Carried(ctx context.Context) request.Carried
}

// RefreshHost looks at the host's devices and addresses, as when what a Tenant
// owns has changed.
func (e *Engine) RefreshHost(ctx context.Context) error { return e.refreshHost(ctx, false) }

func (e *Engine) scope() link.Scope {
	return link.Scope{Uplinks: e.Uplinks, Ignore: func(device string) bool {
		return e.facts.isAdopted(device) || e.tenantOwns(device)
	}}
}

func (e *Engine) tenantOwns(device string) bool { return e.Tenant != nil && e.Tenant.Owns(device) }

func (e *Engine) reserveForTenant() {
	if e.Tenant != nil {
		e.ipam.Reserve(e.Tenant.Reserved())
	}
}

func nobodys(string) bool { return false }

// Degraded has a sentence for each thing that isn't as it should be, the engine's own
// and the tenant's.
func (e *Engine) Degraded() []string {
	all := e.health.sentences()
	if e.Tenant != nil {
		all = append(all, e.Tenant.Degraded()...)
	}
	return all
}

// Carried implements api.Backend.
func (e *Engine) Carried(ctx context.Context) (request.Carried, error) {
	if e.Tenant == nil {
		return request.Carried{}, nil
	}
	return e.Tenant.Carried(ctx), nil
}

// namesOf returns whose endpoint it is.
func (e *Engine) namesOf(endpointID string) (owner, network string) {
	owner, network = e.state.namesOf(endpointID)
	if network == "" && e.Tenant != nil {
		return e.Tenant.NamesOf(endpointID)
	}
	return owner, network
}
