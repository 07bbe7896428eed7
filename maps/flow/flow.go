// SPDX-License-Identifier: Apache-2.0

// Package flow accesses the two flow tables, IPv4 and IPv6, as one.
//
// Every connection owns two halves, one per direction, each with the whole
// verdict for the packets of its direction. The half of the direction that began
// the connection is the origin; the other is its twin.
//
// Be aware:
//   - a scan is no snapshot: halves that come or go meanwhile may be missed;
//   - halves are removed by package expired, not by Delete, wherever packets may
//     still match them.
package flow

import (
	"fmt"
	"net/netip"

	"github.com/fairway-project/fairway/maps/object"
)

// Names of the generated enums' types, for those who judge flows.
type (
	Zone   = object.DatapathZone
	Echo   = object.DatapathFlowEcho
	Action = object.DatapathFlowAction
	Kind   = object.DatapathFlowKind
	Flags  = object.DatapathFlowFlag
	State  = object.DatapathFlowState
)

// Key is what a packet has to look like to match a half.
type Key struct {
	// Src and Dst are as on the wire before translation. The ports hold the
	// identifier of ICMP echo, and 0 for protocols without ports.
	Src, Dst netip.AddrPort
	// Zone is where the packet comes from: the slot of the network whose container sent
	// it, or ZONE_WORLD.
	Zone  Zone
	Proto uint8
	// Echo tells requests and replies of ICMP echo apart, whatever their identifier.
	Echo Echo
}

// IPv6 reports which table the key is of.
func (k Key) IPv6() bool { return k.Src.Addr().Is6() }

func (k Key) String() string {
	zone := "world"
	if k.Zone != object.DatapathZoneZONE_WORLD {
		zone = fmt.Sprintf("network %d", k.Zone)
	}
	return fmt.Sprintf("%s proto %d %s -> %s", zone, k.Proto, k.Src, k.Dst)
}

// Half is one entry: its key and what is done with the packets.
type Half struct {
	Key
	// NATSrc and NATDst are Src and Dst after translation.
	NATSrc, NATDst netip.AddrPort
	// LastSeen is in jiffies, the low 32 bits.
	LastSeen uint32
	// Begun is when the first packet of this direction came, likewise; 0 if none has,
	// or it isn't known, and for TCP.
	Begun  uint32
	State  State
	Flags  Flags
	Action Action
	// OutIndex is the ifindex that packets are redirected to; 0 where they are delivered.
	OutIndex uint32
	// TwinZone is that of the other direction's half.
	TwinZone Zone
	// NextHop is a slot of the table of next hops, with its generation in the upper half;
	// 0 if the next packet is to ask the FIB.
	NextHop         uint32
	RouteGeneration uint16
	// Netfilter is the generation of rules that let this direction pass, shifted by
	// FLOW_RULES_SHIFT, and FLOW_SETTLED.
	Netfilter          uint16
	Endpoint           uint16
	EndpointGeneration uint16
}

// Origin reports whether h belongs to the direction that began the flow.
func (h *Half) Origin() bool { return h.Flags&object.DatapathFlowFlagFLOW_ORIGIN != 0 }

// Kind tells why the flow is tracked.
func (h *Half) Kind() Kind {
	return Kind(h.Flags >> object.DatapathFlowFlagFLOW_KIND_SHIFT)
}

// Twin returns the key of the other direction's half.
func (h *Half) Twin() Key {
	return Key{Src: h.NATDst, Dst: h.NATSrc, Proto: h.Proto, Echo: answer(h.Echo), Zone: h.TwinZone}
}

func answer(e Echo) Echo {
	switch e {
	case object.DatapathFlowEchoFLOW_ECHO_REQUEST:
		return object.DatapathFlowEchoFLOW_ECHO_REPLY
	case object.DatapathFlowEchoFLOW_ECHO_REPLY:
		return object.DatapathFlowEchoFLOW_ECHO_REQUEST
	}
	return e
}

func (h *Half) String() string {
	return fmt.Sprintf("%s => %s -> %s state %#x flags %#x action %d endpoint %d/%d out %d twin in %d seen %d",
		h.Key, h.NATSrc, h.NATDst, uint32(h.State), uint32(h.Flags), h.Action, h.Endpoint, h.EndpointGeneration, h.OutIndex, h.TwinZone, h.LastSeen)
}
