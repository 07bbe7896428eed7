// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"errors"

	"github.com/fairway-project/fairway/userspace/datapath"
)

// wanted says by ID what stays.
type wanted struct {
	network, endpoint, resolver func(id string) bool
	// ports says of which endpoints publications stay.
	ports func(endpointID string) bool
}

// Prune implements datapath.Datapath. What is wanted has been ensured before, so
// that the maps are complete when older programs are replaced at the end.
func (d *Datapath) Prune(_ context.Context, want datapath.Desired) error {
	return d.edit(func() error {
		return d.prune(wanted{
			network:  among(want.Networks, func(n datapath.Network) string { return n.ID }),
			endpoint: among(want.Endpoints, func(e datapath.Endpoint) string { return e.ID }),
			resolver: among(want.Resolvers, func(r datapath.Resolver) string { return r.SandboxID }),
			ports:    func(id string) bool { return len(want.Ports[id]) > 0 },
		})
	})
}

func (d *Datapath) prune(want wanted) error {
	err := errors.Join(
		d.endpoints.prune(want.endpoint),
		d.shares.divide(d.endpoints.count()),
		d.ports.prune(func(slot uint16) bool {
			id := d.endpoints.id(slot)
			return id == "" || !want.ports(id)
		}),
		d.links.prune(d.endpoints.claimed),
		d.networks.prune(want.network),
		d.resolvers.prune(want.resolver),
		d.followNetworks(),
		d.programs.prune(d.endpoints.indexes()),
	)
	d.collector.kick()
	if err != nil {
		return err
	}
	return d.programs.switchOver()
}

func among[T any](all []T, id func(T) string) func(string) bool {
	set := make(map[string]bool, len(all))
	for _, v := range all {
		set[id(v)] = true
	}
	return func(id string) bool { return set[id] }
}
