// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"net/netip"
	"time"
)

// Flow is one tracked connection as its origin sees it and as it is after
// translation.
type Flow struct {
	// Proto is the IP protocol number.
	Proto uint8 `json:"proto"`
	// Src and Dst are the origin's packets before translation; ports are the
	// ICMP identifier for echo, 0 for protocols without ports.
	Src netip.AddrPort `json:"src"`
	Dst netip.AddrPort `json:"dst"`
	// NATSrc and NATDst are the same packets after translation.
	NATSrc netip.AddrPort `json:"natSrc"`
	NATDst netip.AddrPort `json:"natDst"`
	// State is netfilter's name for TCP; UNREPLIED, REPLIED or ASSURED otherwise.
	State string `json:"state"`
	// Kind is masquerade, published, hairpin, routed or relay.
	Kind string `json:"kind"`
	// EndpointID is the endpoint that the flow is translated or let through for:
	// the published port's, else the opener's, else the target's. Empty where it
	// isn't known.
	EndpointID string `json:"endpointID,omitempty"`
	// OpenerID and TargetID are the endpoints of the two ends, Src and NATDst;
	// empty for an end that isn't a container's, and where it isn't known.
	OpenerID string `json:"openerID,omitempty"`
	TargetID string `json:"targetID,omitempty"`
	// Idle is the time since the last packet, Expires the time left.
	Idle    time.Duration `json:"idle"`
	Expires time.Duration `json:"expires"`
}

// Counter is packets and bytes (from the network header on, GSO packets
// counted by their segments).
type Counter struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Path is how a packet was forwarded.
type Path string

const (
	// PathEBPF packets were redirected by a program, past the host's stack.
	PathEBPF Path = "ebpf"
	// PathStack packets were left to the kernel's bridge and IP stack.
	PathStack Path = "stack"
)

// Direction of a packet as seen from the container.
type Direction string

const (
	// Receive is towards a container.
	Receive Direction = "receive"
	// Transmit is from a container.
	Transmit Direction = "transmit"
)

// Drop counts the packets refused for one reason in one direction.
type Drop struct {
	Reason    string    `json:"reason"`
	Direction Direction `json:"direction"`
	Counter
}

// EndpointCounters are the packets of one endpoint, and its connections.
type EndpointCounters struct {
	EndpointID string  `json:"endpointID"`
	Receive    Counter `json:"receive"`
	Transmit   Counter `json:"transmit"`
	// Flows are the connections that it answers for: those it opened, and those that
	// were opened to it from outside.
	Flows uint64 `json:"flows"`
	// FlowsRefused are connections for which a flow table had no room, or kept what
	// it had for others; PortsRefused the same of source ports.
	FlowsRefused uint64 `json:"flowsRefused"`
	PortsRefused uint64 `json:"portsRefused"`
}

// Fill is how full a table is.
type Fill struct {
	Map     string `json:"map"`
	Entries uint64 `json:"entries"`
	Max     uint64 `json:"max"`
}

// Collection tells of the removal of expired flows.
type Collection struct {
	Runs     uint64        `json:"runs"`
	Expired  uint64        `json:"expired"`
	LastTime time.Duration `json:"lastTime"`
	Total    time.Duration `json:"total"`
}

// Stats are the datapath's counters. Missing facts are zero or nil.
type Stats struct {
	Forwarded map[Path]Counter   `json:"forwarded"`
	Drops     []Drop             `json:"drops"`
	Endpoints []EndpointCounters `json:"endpoints"`
	Flows     uint64             `json:"flows"`
	FlowLimit uint64             `json:"flowLimit"`
	// EarlyDropped counts connections that gave way to others in full tables.
	EarlyDropped uint64 `json:"earlyDropped"`
	// Parked counts fragments that came before the first one of their datagram and were
	// kept for it. Those for which it never came count as drops later.
	Parked     map[Direction]Counter `json:"parked,omitempty"`
	Maps       []Fill                `json:"maps"`
	Collection Collection            `json:"collection"`
	// Programs counts the runs of each program since it was attached, where known.
	Programs []ProgramStats `json:"programs,omitempty"`
}

// ProgramStats tells which verdicts a program gave.
type ProgramStats struct {
	Name string `json:"name"`
	// Runs is the sum of the others: packets sent on past the host's stack, left to
	// the next program and the stack, and refused or, as fragments, parked.
	Runs       uint64 `json:"runs"`
	Redirected uint64 `json:"redirected"`
	Passed     uint64 `json:"passed"`
	Dropped    uint64 `json:"dropped"`
}

// ServiceStats count the flows that were opened to a service.
type ServiceStats struct {
	ServiceID string `json:"serviceID"`
	// Flows were led to a backend, one that is gone among them.
	Flows uint64 `json:"flows"`
	// Refused found no backend, Strangers came from elsewhere than the service's sources.
	Refused   uint64 `json:"refused"`
	Strangers uint64 `json:"strangers"`
	// PassedOver is how often backends began to be passed over, since they refused clients.
	PassedOver uint64 `json:"passedOver"`
	// Backends are those that there are, in no order. One that is of several pools may be
	// there several times.
	Backends []BackendStats `json:"backends"`
}

// BackendStats count the flows that were led to a backend.
type BackendStats struct {
	Target netip.AddrPort `json:"target"`
	Flows  uint64         `json:"flows"`
	// PassedOver says that new flows pass it over now, of all clients or of one or two that it
	// refused.
	PassedOver bool `json:"passedOver,omitempty"`
}

// Feature is a capability of the kernel that was probed by trying.
type Feature struct {
	Name      string `json:"name"`
	Available bool   `json:"available"`
	// Since is the first kernel version that has it.
	Since string `json:"since"`
	// Used tells what is done with it or instead of it.
	Used string `json:"used"`
}

// Attachment is a program on a device.
type Attachment struct {
	Device  string `json:"device"`
	Program string `json:"program"`
	// How is tcx, clsact, xdp native, xdp generic or cgroup.
	How string `json:"how"`
}

// Status describes a datapath for an operator.
type Status struct {
	Mode Mode `json:"mode"`
	// Netfilter is what the host's own rules mean for what goes between containers
	// and outside.
	Netfilter   Netfilter    `json:"netfilter,omitempty"`
	Features    []Feature    `json:"features,omitempty"`
	Attachments []Attachment `json:"attachments,omitempty"`
	// Notes are facts that an operator should know, one sentence each.
	Notes []string `json:"notes,omitempty"`
}
