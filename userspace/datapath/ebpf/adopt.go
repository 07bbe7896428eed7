// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"net/netip"

	"github.com/fairway-project/fairway/maps/endpoint"
	"github.com/fairway-project/fairway/maps/network"
	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/userspace/model"
)

// adopt reads what the maps hold, and repairs what a crash may have left: bits of
// the port bitmap that don't follow from the entries.
func (d *Datapath) adopt() error {
	s := state{
		lost:          make(map[netip.Addr]bool),
		moved:         make(map[model.Port]bool),
		closed:        make(map[model.Port]bool),
		networkSlots:  newSlots("network", network.MaxSlots),
		endpointSlots: newSlots("endpoint", endpoint.MaxSlots),
		networks:      make(map[string]*networkState),
		endpoints:     make(map[string]*endpointState),
		own:           make(map[netip.Addr]bool),
		resolvers:     make(map[string]uint64),
		leaving:       make(map[int]bool),
		withoutXDP:    make(map[string]string),
		frameless:     make(map[string]*frameless),
	}
	var err error
	if s.orphanNetworks, err = d.tables.networks.All(); err != nil {
		return err
	}
	if s.orphanEndpoints, err = d.tables.endpoints.All(); err != nil {
		return err
	}
	for slot := range s.orphanNetworks {
		s.networkSlots.take(slot)
	}
	for slot := range s.orphanEndpoints {
		s.endpointSlots.take(slot)
	}
	if s.subnets, err = d.tables.networks.Subnets(); err != nil {
		return err
	}
	if s.addresses, err = d.tables.host.Addresses(); err != nil {
		return err
	}
	if s.trusts, err = d.tables.networks.Trusts(); err != nil {
		return err
	}
	if s.uplinks, err = d.tables.host.Uplinks(); err != nil {
		return err
	}
	if s.links, err = d.tables.links.All(); err != nil {
		return err
	}
	if s.cookies, err = d.tables.resolvers.All(); err != nil {
		return err
	}
	d.state = s
	return d.adoptPorts()
}

func (d *Datapath) adoptPorts() error {
	all, err := d.tables.ports.All()
	if err != nil {
		return err
	}
	s := &d.state
	s.ports = make(map[publish.Key]publish.Entry, len(all))
	s.portsOf = make(map[uint16]map[publish.Key]bool)
	s.bits = make(map[model.Port]int)
	for k, e := range all {
		s.record(k, e)
	}
	var set []model.Port
	err = d.tables.ports.Bits(func(proto model.Proto, port uint16) {
		set = append(set, model.Port{Num: port, Proto: proto})
	})
	if err != nil {
		return err
	}
	for _, p := range set {
		if s.bits[p] == 0 {
			if err := d.tables.ports.SetBit(p.Proto, p.Num, false); err != nil {
				return err
			}
		}
	}
	for p := range s.bits {
		if err := d.tables.ports.SetBit(p.Proto, p.Num, true); err != nil {
			return err
		}
	}
	return nil
}
