// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/maps/endpoint"
	"github.com/fairway-project/fairway/maps/object"
)

// fillers say what members become that entries of a group's revision lack, or that meant
// something else in it, by table and path. They stay as long as a version with such a
// revision may be the one that is replaced. They may ask where endpoints are.
func fillers(revision int, at whereabouts) map[string]filler {
	all := make(map[string]filler)
	// Its table is of the group and begins empty, so the name may be another hop's by now.
	for _, table := range []string{object.DatapathMapFlows4, object.DatapathMapFlows6} {
		all[table+".value.flow.nexthop"] = fillNothing
	}
	// Nobody knows any more which endpoint had the address then.
	all[object.DatapathMapSocketOrigins+".value.endpoint"] = fillNothing
	all[object.DatapathMapSocketOrigins+".value.generation"] = fillNothing
	if revision < 2 {
		all[object.DatapathMapEndpointAddrs+".key.network"] = at.fillAddress
		all[object.DatapathMapIccLinks+".key.network"] = at.fillLink
		all[object.DatapathMapPublishedPorts+".key.network"] = at.fillPublished
		for _, table := range []string{object.DatapathMapFlows4, object.DatapathMapFlows6} {
			all[table+".key.zone"] = at.fillZone
			all[table+".value.flow.oif"] = at.fillTwinZone
		}
	}
	if revision < 1 {
		all[object.DatapathMapFlows4+".key.echo"] = fillEcho
		all[object.DatapathMapFlows6+".key.echo"] = fillEcho
	}
	return all
}

// unfillers make of a key what it was in a group's revision, as far as members meant
// something else.
func unfillers(revision int) (all []func(key, oldKey view)) {
	if revision < 2 {
		all = append(all, unfillZone)
	}
	return all
}

// whereabouts are the networks of endpoints, as far as this version's tables know them: by
// slot and by address. Before revision 2 nothing had a network but endpoints and MACs, and
// no two networks of a host had the same addresses.
type whereabouts struct {
	bySlot map[uint64]uint64
	byAddr map[netip.Addr]uint64
}

func (l *Loader) whereabouts() (whereabouts, error) {
	all, err := endpoint.New(l.Maps()).All()
	at := whereabouts{make(map[uint64]uint64), make(map[netip.Addr]uint64)}
	for slot, e := range all {
		at.bySlot[uint64(slot)] = uint64(e.Network)
		at.byAddr[e.IPv4], at.byAddr[e.IPv6] = uint64(e.Network), uint64(e.Network)
	}
	return at, err
}

func (at whereabouts) fillAddress(e entry) { e.key.set("network", at.bySlot[e.value.uint("")]) }

func (at whereabouts) fillLink(e entry) { e.key.set("network", at.bySlot[e.value.uint("")]) }

// fillPublished leaves the host's addresses to no network.
func (at whereabouts) fillPublished(e entry) {
	if e.value.uint("flags")&uint64(object.DatapathPublishedFlagPUBLISHED_ROUTED) != 0 {
		e.key.set("network", at.bySlot[e.value.uint("endpoint")])
	}
}

// Zones before revision 2.
const (
	oldContainer = 0
	oldWorld     = 1
)

// nowhere is the zone of packets of an endpoint that is gone: none has it.
const nowhere = 0xffff

// fillZone gives packets of containers the network of their sender as the zone. Where they
// are delivered to another container the half's endpoint is the receiver.
func (at whereabouts) fillZone(e entry) {
	if e.oldKey.uint("zone") == oldWorld {
		e.key.set("zone", uint64(object.DatapathZoneZONE_WORLD))
		return
	}
	network, known := at.bySlot[e.oldValue.uint("flow.endpoint")]
	if e.oldValue.uint("flow.action") == uint64(object.DatapathFlowActionFLOW_DELIVER) {
		network, known = at.byAddr[addrOf(e.oldKey, "saddr")]
	}
	if !known {
		network = nowhere
	}
	e.key.set("zone", network)
}

// fillTwinZone knows that a half whose twin isn't outside's is delivered to the sender of
// its twin's packets, and had a device that it didn't use.
func (at whereabouts) fillTwinZone(e entry) {
	out := e.oldValue.uint("flow.oif")
	if e.oldValue.uint("flow.flags")&uint64(object.DatapathFlowFlagFLOW_TWIN_WORLD) == 0 {
		network, known := at.bySlot[e.oldValue.uint("flow.endpoint")]
		if out = network; !known {
			out = nowhere
		}
	}
	e.value.set("flow.oif", out)
}

func unfillZone(key, oldKey view) {
	if key.uint("zone") == uint64(object.DatapathZoneZONE_WORLD) {
		oldKey.set("zone", oldWorld)
	} else {
		oldKey.set("zone", oldContainer)
	}
}

// addrOf returns an address of either family, which has one word or four.
func addrOf(v view, path string) netip.Addr {
	if f, ok := v.fields[path]; ok {
		return netip.AddrFrom4([4]byte(v.raw[f.at:]))
	}
	return netip.AddrFrom16([16]byte(v.raw[v.fields[path+".0"].at:]))
}

// fillNothing leaves 0. Packets of a flow without a next hop ask the FIB for it.
func fillNothing(entry) {}

// fillEcho tells an echo's request and reply: flows of ICMP were begun by requests, but
// for other queries to routed containers, which have no identifier.
func fillEcho(e entry) {
	proto, flags := e.key.uint("proto"), e.value.uint("flow.flags")
	if proto != unix.IPPROTO_ICMP && proto != unix.IPPROTO_ICMPV6 {
		return
	}
	kind := flags >> uint64(object.DatapathFlowFlagFLOW_KIND_SHIFT) & 3
	if kind == uint64(object.DatapathFlowKindFLOW_ROUTED) && e.key.uint("sport") == 0 && e.key.uint("dport") == 0 {
		return
	}
	if flags&uint64(object.DatapathFlowFlagFLOW_ORIGIN) != 0 {
		e.key.set("echo", uint64(object.DatapathFlowEchoFLOW_ECHO_REQUEST))
	} else {
		e.key.set("echo", uint64(object.DatapathFlowEchoFLOW_ECHO_REPLY))
	}
}
