// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"errors"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/maps/counter"
	"github.com/fairway-project/fairway/maps/endpoint"
	"github.com/fairway-project/fairway/maps/network"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/share"
	"github.com/fairway-project/fairway/userspace/datapath"
)

// Stats implements datapath.Datapath. The numbers of flows are at most a second
// old.
func (d *Datapath) Stats(context.Context) (datapath.Stats, error) {
	var s datapath.Stats
	var f fill
	counted := d.collector.recount()
	early4, early6, pressure := d.tables.flows.EarlyDropped()
	s.EarlyDropped = early4 + early6
	s.Collection, f = d.collector.stats()
	max4, max6 := d.tables.flows.Limit()
	s.Flows, s.FlowLimit = f.origins, uint64(max4+max6)/2
	s.Maps = append(d.mapFill(),
		datapath.Fill{Map: object.DatapathMapFlows4, Entries: f.v4, Max: uint64(max4)},
		datapath.Fill{Map: object.DatapathMapFlows6, Entries: f.v6, Max: uint64(max6)})
	err := errors.Join(counted, pressure, d.readVerdicts(&s), d.readDrops(&s), d.readEndpoints(&s))
	return s, err
}

func (d *Datapath) readVerdicts(s *datapath.Stats) error {
	s.Forwarded = make(map[datapath.Path]datapath.Counter)
	for _, p := range []struct {
		number object.DatapathProgram
		name   loader.Program
		// container programs pass packets to the stack that are the container's;
		// uplinks pass the host's own.
		container bool
	}{
		{object.DatapathProgramPROG_FROM_CONTAINER, loader.FromContainer, true},
		{object.DatapathProgramPROG_TO_CONTAINER, loader.ToContainer, true},
		{object.DatapathProgramPROG_FROM_UPLINK, loader.FromUplink, false},
		{object.DatapathProgramPROG_TO_UPLINK, loader.ToUplink, false},
		{object.DatapathProgramPROG_UPLINK_XDP, loader.UplinkXDP, false},
	} {
		run := datapath.ProgramStats{Name: string(p.name)}
		for v := range object.DatapathVerdictVERDICT_MAX {
			c, err := d.tables.counters.Verdicts(p.number, v)
			if err != nil {
				return err
			}
			countRuns(&run, v, c.Packets)
			switch {
			case v == object.DatapathVerdictVERDICT_REDIRECT:
				s.Forwarded[datapath.PathEBPF] = add(s.Forwarded[datapath.PathEBPF], c)
			case v == object.DatapathVerdictVERDICT_PASS && p.container:
				s.Forwarded[datapath.PathStack] = add(s.Forwarded[datapath.PathStack], c)
			}
		}
		s.Programs = append(s.Programs, run)
	}
	return nil
}

func countRuns(s *datapath.ProgramStats, v object.DatapathVerdict, packets uint64) {
	s.Runs += packets
	switch v {
	case object.DatapathVerdictVERDICT_REDIRECT:
		s.Redirected += packets
	case object.DatapathVerdictVERDICT_PASS:
		s.Passed += packets
	case object.DatapathVerdictVERDICT_DROP:
		s.Dropped += packets
	}
}

func (d *Datapath) readDrops(s *datapath.Stats) error {
	counts, err := d.tables.drops.Counts()
	for _, c := range counts {
		direction := datapath.Receive
		if c.Direction == object.DatapathDirectionDIR_TRANSMIT {
			direction = datapath.Transmit
		}
		s.Drops = append(s.Drops, datapath.Drop{
			Reason: c.Reason.Name, Direction: direction, Counter: datapath.Counter(c.Counter),
		})
	}
	return err
}

func (d *Datapath) readEndpoints(s *datapath.Stats) error {
	for o, id := range d.endpointIDs() {
		c, err := d.tables.counters.Endpoint(o.slot)
		if err != nil {
			return err
		}
		open, err := d.tables.shares.Open(int(o.slot))
		if err != nil {
			return err
		}
		s.Endpoints = append(s.Endpoints, datapath.EndpointCounters{
			EndpointID:   id,
			Flows:        uint64(max(0, open[share.IPv4])) + uint64(max(0, open[share.IPv6])),
			FlowsRefused: c.FlowsRefused, PortsRefused: c.PortsRefused,
			Receive:  datapath.Counter(c.Receive),
			Transmit: datapath.Counter(c.Transmit),
		})
	}
	return nil
}

func (d *Datapath) mapFill() []datapath.Fill {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := &d.state
	m := d.loader.Maps()
	return []datapath.Fill{
		{Map: object.DatapathMapEndpoints, Entries: uint64(len(s.endpointSlots.used)), Max: uint64(endpoint.MaxSlots - 1)},
		{Map: object.DatapathMapNetworks, Entries: uint64(len(s.networkSlots.used)), Max: uint64(network.MaxSlots - 1)},
		{Map: object.DatapathMapPublishedPorts, Entries: uint64(len(s.ports)), Max: uint64(m.PublishedPorts.MaxEntries())},
		{Map: object.DatapathMapHostAddrs, Entries: uint64(len(s.addresses)), Max: uint64(m.HostAddrs.MaxEntries())},
		{Map: object.DatapathMapSubnets, Entries: uint64(len(s.subnets)), Max: uint64(m.Subnets.MaxEntries())},
		{Map: object.DatapathMapIccLinks, Entries: uint64(len(s.links)), Max: uint64(m.IccLinks.MaxEntries())},
		{Map: object.DatapathMapResolvers, Entries: uint64(len(s.cookies)), Max: uint64(m.Resolvers.MaxEntries())},
	}
}

func add(a datapath.Counter, b counter.Counter) datapath.Counter {
	return datapath.Counter{Packets: a.Packets + b.Packets, Bytes: a.Bytes + b.Bytes}
}
