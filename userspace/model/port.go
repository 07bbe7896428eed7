// SPDX-License-Identifier: Apache-2.0

package model

import (
	"fmt"
	"net/netip"
)

// Proto is an IP protocol number that ports can be published for.
type Proto uint8

// Protocols with ports, by their IANA numbers.
const (
	TCP  Proto = 6
	UDP  Proto = 17
	SCTP Proto = 132
)

// ParseProto returns the protocol named s, in lower case as Docker writes it.
func ParseProto(s string) (Proto, error) {
	switch s {
	case "tcp":
		return TCP, nil
	case "udp":
		return UDP, nil
	case "sctp":
		return SCTP, nil
	}
	return 0, fmt.Errorf("protocol %q: want tcp, udp or sctp", s)
}

func (p Proto) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case SCTP:
		return "sctp"
	}
	return fmt.Sprintf("proto-%d", uint8(p))
}

// MarshalText makes Proto "tcp", "udp" or "sctp" in JSON.
func (p Proto) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (p *Proto) UnmarshalText(b []byte) (err error) {
	*p, err = ParseProto(string(b))
	return err
}

// Port is a port of a sandbox, written 80/tcp.
type Port struct {
	Num   uint16 `json:"num"`
	Proto Proto  `json:"proto"`
}

func (p Port) String() string { return fmt.Sprintf("%d/%s", p.Num, p.Proto) }

// PortSpec is one requested publication: one container port and the host
// address and ports it may be reached on. A range in -p is expanded into one
// PortSpec per container port.
type PortSpec struct {
	Port Port `json:"port"`
	// HostIP is the zero Addr where the user gave none: the network's default
	// binding, else all addresses of both families.
	HostIP netip.Addr `json:"hostIP,omitzero"`
	// HostPort..HostPortEnd is the range to choose from; both 0 for any
	// ephemeral port, equal for one exact port.
	HostPort    uint16 `json:"hostPort,omitempty"`
	HostPortEnd uint16 `json:"hostPortEnd,omitempty"`
}

// PublishedPort is one publication in force: host side and container port.
type PublishedPort struct {
	Port Port `json:"port"`
	// HostIP is always set; 0.0.0.0 or :: stand for every address of the family.
	HostIP   netip.Addr `json:"hostIP"`
	HostPort uint16     `json:"hostPort"`
}

func (p PublishedPort) String() string {
	return fmt.Sprintf("%s->%s", netip.AddrPortFrom(p.HostIP, p.HostPort), p.Port)
}
