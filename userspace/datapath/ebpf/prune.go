// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"errors"

	"github.com/fairway-project/fairway/userspace/datapath"
)

// Prune implements datapath.Datapath. What is wanted has been ensured before, so
// that the maps are complete when older programs are replaced at the end.
func (d *Datapath) Prune(_ context.Context, want datapath.Desired) error {
	err := d.edit(func() error { return d.prune(want) })
	if err != nil || want.Spare != nil {
		return err
	}
	return d.switchOver()
}

func (d *Datapath) prune(want datapath.Desired) error {
	spare := want.Spare
	if spare == nil {
		spare = func(int) bool { return false }
	}
	services := among(want.Services, func(s datapath.Service) string { return s.ID })
	networks := among(want.Networks, func(n datapath.Network) string { return n.ID })
	err := errors.Join(
		d.endpoints.prune(among(want.Endpoints, func(e datapath.Endpoint) string { return e.ID }), spare),
		d.attachments.prune(d.endpoints.known, d.endpoints.used),
		d.services.prune(services, want.Spare == nil),
		d.serveAll(),
		d.shares.divide(d.answering()),
		// Slots that are in use still are those that were spared.
		d.ports.prune(func(slot uint16) bool {
			id := d.endpoints.id(slot)
			return !d.endpoints.used(slot) || id != "" && len(want.Ports[id]) == 0
		}),
		d.links.prune(d.endpoints.used),
		// Nor does the network of an endpoint go, whose device may be gone for a while: its
		// slot would be another's.
		d.networks.prune(func(id string) bool { _, used := d.endpoints.on(id); return used || networks(id) }, spare),
		d.dropRelays(),
		d.followNetworks(),
		d.programs.prune(d.endpoints.devices()),
	)
	d.collector.wake.Raise()
	if err != nil || want.Spare != nil {
		return err
	}
	return errors.Join(
		d.resolvers.prune(among(want.Resolvers, func(r datapath.Resolver) string { return r.SandboxID })),
		d.frames.retry(),
	)
}

// switchOver ends the use of tables with another layout. Nothing is collected meanwhile: half
// a connection whose other half is still to be carried over would be taken for an orphan. It
// must not be called under the lock, which comes after the collector's.
func (d *Datapath) switchOver() error {
	if !d.programs.versions().switching {
		return nil
	}
	d.collector.working.Lock()
	err := d.programs.switchOver()
	d.collector.working.Unlock()
	d.collector.wake.Raise()
	return err
}

func among[T any](all []T, id func(T) string) func(string) bool {
	set := make(map[string]bool, len(all))
	for _, v := range all {
		set[id(v)] = true
	}
	return func(id string) bool { return set[id] }
}
