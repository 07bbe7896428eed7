// SPDX-License-Identifier: Apache-2.0

// Package drop names the reasons for which the programs drop packets, and reads
// how often they did. The table here follows enum drop_reason in bpf/types.h; a
// test compares the two. Metrics labels, command line text and docs come from it.
package drop

import "github.com/fairway-project/fairway/maps/object"

// Reason is one member of the enum.
type Reason struct {
	Value object.DatapathDropReason
	// Name is the metrics label.
	Name string
	// Help tells an operator what happened, in one line.
	Help string
}

// Reasons returns all reasons in the order of their numbers.
func Reasons() []Reason {
	return []Reason{
		{object.DatapathDropReasonDROP_MALFORMED, "malformed", "headers are cut short or contradict each other, or neighbour discovery isn't as it has to be"},
		{object.DatapathDropReasonDROP_UNMANAGED, "unmanaged", "the device has no endpoint yet, or no more"},
		{object.DatapathDropReasonDROP_SPOOFED_MAC, "spoofed_mac", "the source MAC isn't the endpoint's"},
		{object.DatapathDropReasonDROP_SPOOFED_ADDRESS, "spoofed_address", "the source address isn't the sender's to use"},
		{object.DatapathDropReasonDROP_SPOOFED_ARP, "spoofed_arp", "an ARP packet speaks for another's address, can't be read, or with icc=false has more behind it"},
		{object.DatapathDropReasonDROP_SPOOFED_ND, "spoofed_nd", "a router advertisement, a redirect, or a neighbour advertisement for another's address"},
		{object.DatapathDropReasonDROP_DHCP_SERVER, "dhcp_server", "a container answers as DHCP server"},
		{object.DatapathDropReasonDROP_FAMILY_DISABLED, "family_disabled", "the network doesn't have the packet's address family"},
		{object.DatapathDropReasonDROP_ISOLATED, "isolated", "to an endpoint or gateway of another network"},
		{object.DatapathDropReasonDROP_ICC, "icc", "to a peer of a network with icc=false"},
		{object.DatapathDropReasonDROP_INTERNAL, "internal", "out of, or into, an internal network"},
		{object.DatapathDropReasonDROP_DIRECT_ROUTING, "direct_routing", "from outside straight to a container address"},
		{object.DatapathDropReasonDROP_MARTIAN, "martian", "a loopback address on the wire, or a sender whose address can't be answered from another link"},
		{object.DatapathDropReasonDROP_NO_FLOW, "no_flow", "belongs to no tracked connection and can't begin one"},
		{object.DatapathDropReasonDROP_FLOW_TABLE_FULL, "flow_table_full", "no room for a new flow; existing ones are unharmed"},
		{object.DatapathDropReasonDROP_NO_PORT, "no_port", "no free source port towards this destination, or the host holds the tuple or the protocol"},
		{object.DatapathDropReasonDROP_NO_ROUTE, "no_route", "no route, or one that leads to no uplink"},
		{object.DatapathDropReasonDROP_NO_ADDRESS, "no_address", "the uplink has no address to masquerade with"},
		{object.DatapathDropReasonDROP_FRAGMENT, "fragment", "a fragment whose first part wasn't seen; one that waited for it counts when its place is needed"},
		{object.DatapathDropReasonDROP_UNSUPPORTED, "unsupported", "a header chain or protocol that can't be translated"},
		{object.DatapathDropReasonDROP_ENDPOINT_GONE, "endpoint_gone", "the destination endpoint was removed"},
		{object.DatapathDropReasonDROP_PRIVATE_SOURCE, "private_source", "a container address about to leave an uplink"},
		{object.DatapathDropReasonDROP_REWRITE_FAILED, "rewrite_failed", "the kernel refused to change the packet"},
		{object.DatapathDropReasonDROP_FLOW_EXPIRING, "flow_expiring", "met a flow in the moment of its collection"},
		{object.DatapathDropReasonDROP_HOST_PORT_IN_USE, "host_port_in_use", "a host connection reuses a masqueraded tuple"},
		{object.DatapathDropReasonDROP_FLOW_SHARE, "flow_share", "the room left in the flow table is kept for endpoints that have less"},
		{object.DatapathDropReasonDROP_PORT_SHARE, "port_share", "the source ports left towards this destination are kept for endpoints that have less"},
		{object.DatapathDropReasonDROP_INCOMPLETE, "incomplete", "a program of the datapath that had to go on with the packet wasn't there"},
		{object.DatapathDropReasonDROP_NO_BACKEND, "no_backend", "a service has no backend that serves; the sender is told, as by netfilter's REJECT"},
		{object.DatapathDropReasonDROP_SERVICE_SOURCE, "service_source", "a service that is only for others than the sender"},
		{object.DatapathDropReasonDROP_ANSWER_RATE, "answer_rate", "would be answered with an ICMP error, but its sender, or all outside together, had enough of these within a second"},
	}
}
