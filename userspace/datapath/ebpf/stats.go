// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"errors"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/maps/counter"
	"github.com/fairway-project/fairway/maps/drop"
	"github.com/fairway-project/fairway/maps/endpoint"
	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/network"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/share"
	"github.com/fairway-project/fairway/userspace/datapath"
)

// Stats implements datapath.Datapath. The numbers of flows are at most a second
// old.
func (d *Datapath) Stats(context.Context) (datapath.Stats, error) {
	s, err := d.meter.stats(d.endpointIDs())
	s.Maps = append(d.mapFill(), s.Maps...)
	return s, err
}

// meter reads what the programs count.
type meter struct {
	clock     *loader.Clock
	collector *collector
	flows     *flow.Table
	counters  *counter.Table
	drops     *drop.Table
	shares    *share.Table
}

// stats returns all but how full the tables of what is wanted are.
func (m *meter) stats(ids map[owner]string) (datapath.Stats, error) {
	var s datapath.Stats
	var f fill
	counted := m.collector.recount()
	early4, early6, pressure := m.flows.EarlyDropped()
	s.EarlyDropped = early4 + early6
	s.Collection, f = m.collector.stats()
	max4, max6 := m.flows.Limit()
	s.Flows, s.FlowLimit = f.origins, uint64(max4+max6)/2
	s.Maps = []datapath.Fill{
		{Map: object.DatapathMapFlows4, Entries: f.v4, Max: uint64(max4)},
		{Map: object.DatapathMapFlows6, Entries: f.v6, Max: uint64(max6)},
	}
	return s, errors.Join(counted, pressure, m.readVerdicts(&s), m.readDrops(&s), m.readParked(&s), m.readEndpoints(&s, ids))
}

func (m *meter) readVerdicts(s *datapath.Stats) error {
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
			c, err := m.counters.Verdicts(p.number, v)
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

func (m *meter) readDrops(s *datapath.Stats) error {
	counts, err := m.drops.Counts()
	for _, c := range counts {
		s.Drops = append(s.Drops, datapath.Drop{
			Reason: c.Reason.Name, Direction: directionOf(c.Direction), Counter: datapath.Counter(c.Counter),
		})
	}
	return err
}

func (m *meter) readParked(s *datapath.Stats) error {
	s.Parked = make(map[datapath.Direction]datapath.Counter)
	for d := range object.DatapathDirectionDIR_MAX {
		c, err := m.counters.Parked(d)
		if err != nil {
			return err
		}
		s.Parked[directionOf(d)] = datapath.Counter(c)
	}
	return nil
}

func directionOf(d object.DatapathDirection) datapath.Direction {
	if d == object.DatapathDirectionDIR_TRANSMIT {
		return datapath.Transmit
	}
	return datapath.Receive
}

func (m *meter) readEndpoints(s *datapath.Stats, ids map[owner]string) error {
	for o, id := range ids {
		c, err := m.counters.Endpoint(o.slot)
		if err != nil {
			return err
		}
		open, err := m.shares.Open(int(o.slot))
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
	m := d.loader.Maps()
	return []datapath.Fill{
		{Map: object.DatapathMapEndpoints, Entries: uint64(len(d.endpoints.slots.used)), Max: uint64(endpoint.MaxSlots - 1)},
		{Map: object.DatapathMapNetworks, Entries: uint64(len(d.networks.slots.used)), Max: uint64(network.MaxSlots - 1)},
		{Map: object.DatapathMapPublishedPorts, Entries: uint64(len(d.ports.entries)), Max: uint64(m.PublishedPorts.MaxEntries())},
		{Map: object.DatapathMapPools, Entries: uint64(len(d.services.slots.used)), Max: uint64(d.services.table.Limit())},
		{Map: object.DatapathMapHostAddrs, Entries: uint64(len(d.addresses.known)), Max: uint64(m.HostAddrs.MaxEntries())},
		{Map: object.DatapathMapSubnets, Entries: uint64(len(d.networks.subnets)), Max: uint64(m.Subnets.MaxEntries())},
		{Map: object.DatapathMapIccLinks, Entries: uint64(len(d.links.holes)), Max: uint64(m.IccLinks.MaxEntries())},
		{Map: object.DatapathMapResolvers, Entries: uint64(d.resolvers.count()), Max: uint64(m.Resolvers.MaxEntries())},
	}
}

func add(a datapath.Counter, b counter.Counter) datapath.Counter {
	return datapath.Counter{Packets: a.Packets + b.Packets, Bytes: a.Bytes + b.Bytes}
}
