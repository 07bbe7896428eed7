// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"net/netip"

	"github.com/fairway-project/fairway/maps/endpoint"
	"github.com/fairway-project/fairway/maps/host"
	"github.com/fairway-project/fairway/maps/icc"
	"github.com/fairway-project/fairway/maps/network"
	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/maps/resolver"
	"github.com/fairway-project/fairway/userspace/model"
)

// state is what the process knows of the maps' content. It is read from them at
// the start and follows every write; Datapath.mu guards it.
type state struct {
	networkSlots, endpointSlots *slots
	// IDs are known for what this process has ensured.
	networks  map[string]*networkState
	endpoints map[string]*endpointState
	// orphans are slots in use whose ID isn't known (yet): an earlier process
	// filled them.
	orphanNetworks  map[uint16]network.Network
	orphanEndpoints map[uint16]endpoint.Endpoint

	subnets map[netip.Prefix]uint16
	// addresses is the map's content, own the part of it that EnsureHost said.
	addresses map[netip.Addr]uint32
	own       map[netip.Addr]bool
	// lost are former addresses of the host whose flows are still to be ended.
	lost map[netip.Addr]bool
	// moved are the UDP ports whose flows are still to be compared with what is
	// published now.
	moved map[model.Port]bool
	// closed are those that were taken away and not given to anybody: their flows are
	// ended in the background, so that a container's thousand ports, which Docker
	// closes one by one, cost a few walks and not a thousand.
	closed  map[model.Port]bool
	uplinks map[int]host.Uplink
	// uplinkNames are the indexes of the uplinks that are served.
	uplinkNames map[string]int
	// trusts is the map's content.
	trusts map[network.Trust]bool
	// l3Uplinks are the names of uplinks that can't be served.
	l3Uplinks []string
	// withoutXDP tells why uplinks don't run the XDP program that they should.
	withoutXDP map[string]string
	frameless  map[string]*frameless

	links map[icc.Hole]uint16

	ports map[publish.Key]publish.Entry
	// portsOf are the keys in ports by endpoint slot, bits how many of them
	// share a bit of the bitmap.
	portsOf map[uint16]map[publish.Key]bool
	bits    map[model.Port]int

	cookies   map[uint64]resolver.Ports
	resolvers map[string]uint64 // cookie by sandbox ID

	// leaving are devices without endpoint whose programs are still attached.
	leaving map[int]bool
}

type networkState struct {
	slot uint16
	// gateways in addresses.
	gateways []netip.Addr
	// everyones says that every network reaches the gateways: those of the default
	// network are what host-gateway stands for.
	everyones bool
	// trusted are the names of devices that may reach published ports directly.
	trusted []string
	name    string
	// bridge is the index of the network's device; 0 until its first EnsureNetwork
	// succeeded.
	bridge     int
	bridgeName string
}

type endpointState struct {
	slot    uint16
	network string
	value   endpoint.Endpoint
	// portsSaid is set once this process was told the endpoint's ports.
	portsSaid bool
}

// claimed reports whether an endpoint that is known by its ID has the slot.
func (s *state) claimed(slot uint16) bool {
	for _, e := range s.endpoints {
		if e.slot == slot {
			return true
		}
	}
	return false
}

func (s *state) endpointID(slot uint16) string {
	for id, e := range s.endpoints {
		if e.slot == slot {
			return id
		}
	}
	return ""
}
