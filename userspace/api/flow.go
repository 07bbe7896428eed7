// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net/netip"

	"github.com/fairway-project/fairway/userspace/request"
)

// Flow is one tracked connection, as GET /v1/flows streams it.
type Flow struct {
	// Proto is the IP protocol number, ProtoName its name where it has one.
	Proto     uint8  `json:"proto"`
	ProtoName string `json:"proto_name"`
	// Kind is masquerade, published, hairpin, routed or relay.
	Kind string `json:"kind"`
	// State is netfilter's name for TCP; UNREPLIED, REPLIED or ASSURED otherwise.
	State string `json:"state"`
	// Src and Dst are the first packet's addresses before translation, NATSrc
	// and NATDst the same after it. Ports are 0 where the protocol has none,
	// the identifier for ICMP echo.
	Src    netip.AddrPort `json:"src"`
	Dst    netip.AddrPort `json:"dst"`
	NATSrc netip.AddrPort `json:"nat_src"`
	NATDst netip.AddrPort `json:"nat_dst"`
	// Sandbox, Network and EndpointID are empty where the endpoint isn't known.
	Sandbox    string `json:"sandbox"`
	Network    string `json:"network"`
	EndpointID string `json:"endpoint_id"`
	// Opener is the end that sent the first packet, Target the one that it was for
	// in the end. Sandbox is one of the two: the published port's, or the opener.
	Opener request.FlowEnd `json:"opener"`
	Target request.FlowEnd `json:"target"`
	// Service is the one whose address the connection was opened to; empty for none.
	Service string `json:"service"`
	// IdleSeconds is the time since the last packet, ExpiresSeconds the time left.
	IdleSeconds    float64 `json:"idle_seconds"`
	ExpiresSeconds float64 `json:"expires_seconds"`
}

func flowOf(v request.FlowView) Flow {
	return Flow{
		Proto: v.Proto, ProtoName: protoName(v.Proto), Kind: v.Kind, State: v.State,
		Src: v.Src, Dst: v.Dst, NATSrc: v.NATSrc, NATDst: v.NATDst,
		Sandbox: v.Sandbox, Network: v.Network, EndpointID: v.EndpointID,
		Opener: v.Opener, Target: v.Target, Service: v.Service,
		IdleSeconds: v.Idle.Seconds(), ExpiresSeconds: v.Expires.Seconds(),
	}
}

// protoName is the IANA keyword of an IP protocol, as /etc/protocols has it in
// lower case; empty for the less common ones.
func protoName(n uint8) string {
	switch n {
	case 1:
		return "icmp"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 47:
		return "gre"
	case 50:
		return "esp"
	case 58:
		return "icmpv6"
	case 132:
		return "sctp"
	}
	return ""
}
