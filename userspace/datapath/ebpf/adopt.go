// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"

	"github.com/fairway-project/fairway/maps/attachment"
	"github.com/fairway-project/fairway/maps/counter"
	"github.com/fairway-project/fairway/maps/drop"
	"github.com/fairway-project/fairway/maps/endpoint"
	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/host"
	"github.com/fairway-project/fairway/maps/icc"
	"github.com/fairway-project/fairway/maps/network"
	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/maps/resolver"
	"github.com/fairway-project/fairway/maps/service"
	"github.com/fairway-project/fairway/maps/share"
)

// adopt makes the parts of what the maps hold.
func (d *Datapath) adopt(cfg Config) error {
	m := d.loader.Maps()
	var (
		hosts   = host.New(m)
		slots   = endpoint.New(m)
		flows   = flow.New(m)
		counts  = counter.New(m)
		sharing = share.New(m)
	)
	var errs [6]error
	d.programs = newPrograms(d.loader)
	d.networks, errs[0] = adoptNetworks(network.New(m))
	d.ports, errs[1] = adoptPorts(publish.New(m))
	d.links, errs[2] = adoptLinks(icc.New(m))
	d.addresses, errs[3] = adoptAddresses(hosts)
	d.uplinks, errs[4] = adoptUplinks(cfg, hosts, d.programs)
	d.resolvers, errs[5] = adoptResolvers(resolver.New(m))
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	var err error
	if d.endpoints, err = adoptEndpoints(slots, counts, d.ports, d.links, d.programs); err != nil {
		return err
	}
	d.relays = newRelays(d.endpoints)
	if d.services, err = adoptServices(service.New(m), d.ports); err != nil {
		return err
	}
	if d.attachments, err = adoptAttachments(attachment.New(m), d.ns); err != nil {
		return err
	}
	d.frames = newFrames(cfg, d.endpoints)
	d.collector = newCollector(cfg, d.loader, flows, slots, sharing)
	d.shares = newShares(cfg.EndpointReserve, sharing, flows, d.collector)
	d.meter = &meter{clock: d.loader.Clock(), collector: d.collector, flows: flows, counters: counts, drops: drop.New(m), shares: sharing}
	return nil
}
