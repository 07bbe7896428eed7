// SPDX-License-Identifier: Apache-2.0

// Package datapath is the seam between the control plane and what carries the
// packets. The engine says what is wanted in the values of this package; an
// implementation makes the kernel do it. There are two: package ebpf, and
// package iptables, which is the oracle of every behaviour test.
//
// The contract that both keep:
//
//   - Every call is idempotent: ensuring twice is a no-op, deleting what is gone
//     is not an error. A call that fails may be repeated.
//   - Ensure* replaces what was said before under the same ID, without a moment
//     in which less is refused than before or after.
//   - Devices are the caller's: a network's exists before EnsureNetwork, veths exist,
//     enslaved and down, before EnsureEndpoint. The caller sets them up only
//     after the call returned, so that no packet passes an endpoint unguarded.
//   - Prune gets everything that is wanted and removes the rest, leftovers of an
//     earlier daemon among it; it never touches what Fairway did not make.
//   - Close releases the process's own resources (file descriptors, goroutines)
//     and changes nothing about the traffic. Uninstall removes every trace.
//
// Calls for different IDs may run at the same time.
package datapath

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"time"

	"github.com/fairway-project/fairway/userspace/model"
)

// Mode names an implementation, as --datapath does.
type Mode string

// The two datapaths.
const (
	EBPF     Mode = "ebpf"
	IPTables Mode = "iptables"
)

// Netfilter says whether the host's own netfilter rules judge containers' traffic.
type Netfilter string

const (
	// NetfilterBypass takes all of it past them.
	NetfilterBypass Netfilter = "bypass"
	// NetfilterFirstPacket shows them the first packets of each connection with the
	// outside, and one per second and direction after that.
	NetfilterFirstPacket Netfilter = "first-packet"
)

// Datapath carries the traffic of networks and endpoints.
type Datapath interface {
	Mode() Mode

	// EnsureHost says which devices lead outside and which addresses are the
	// host's own. It is called before the first network and on every change.
	EnsureHost(ctx context.Context, h model.Host) error

	EnsureNetwork(ctx context.Context, n Network) error
	DeleteNetwork(ctx context.Context, id string) error

	EnsureEndpoint(ctx context.Context, e Endpoint) error
	// DeleteEndpoint ends the endpoint's flows at once: a later endpoint with
	// the same address inherits none.
	DeleteEndpoint(ctx context.Context, id string) error

	// EnsurePorts replaces the published ports of an endpoint. UDP flows that
	// the change concerns are re-pointed at once; TCP connections through a
	// port that is no longer published go on, as with Docker.
	EnsurePorts(ctx context.Context, endpointID string, ports []Port) error

	// EnsureResolver sends what the processes in the network namespace netns
	// send to 127.0.0.11:53 to the resolver that listens on these ports of
	// 127.0.0.11 in that namespace.
	EnsureResolver(ctx context.Context, r Resolver) error
	DeleteResolver(ctx context.Context, sandboxID string) error

	Prune(ctx context.Context, want Desired) error

	// Flows lists the tracked connections, one Flow per connection.
	Flows(ctx context.Context) iter.Seq2[Flow, error]
	// Stats reads the counters. It returns what it could read along with the error.
	Stats(ctx context.Context) (Stats, error)
	// Status describes the datapath for an operator.
	Status(ctx context.Context) (Status, error)

	Close() error
	// Uninstall removes every kernel object of this instance, links last.
	Uninstall(ctx context.Context) error
}

// Network is what is to be carried between its endpoints and others.
type Network struct {
	ID   string
	Name string
	// Created orders rules: those of older networks stand first.
	Created time.Time
	// Device stands for the network on this host.
	Device Device
	// IPv4 and IPv6 are nil where the family is off.
	IPv4 *Subnet
	IPv6 *Subnet
	// Internal networks have no outside.
	Internal bool
	// ICC lets endpoints reach each other.
	ICC bool
	// Masquerade hides the endpoints' addresses behind the host's in modes that translate.
	Masquerade bool
	// HostGateway says that every network reaches the gateways: those of the default
	// network are what the name host-gateway stands for.
	HostGateway bool
	// MTU in bytes, of the device and of both ends of every endpoint's.
	MTU int
	// Trusted are the names of devices that reach endpoints by their own addresses.
	Trusted []string
}

// Device is a bridge: its address is the endpoints' gateway, and it carries what the
// datapath doesn't.
type Device struct {
	Name  string
	Index int
	MAC   model.MAC
}

// Subnet is a network's in one family.
type Subnet struct {
	Prefix netip.Prefix
	// Gateway is the device's address; invalid where it has none.
	Gateway netip.Addr
	Mode    model.GatewayMode
	// Source takes the place of the uplink's address in masquerading, where it is valid.
	Source netip.Addr
}

// Endpoint is an endpoint with its host-side device.
type Endpoint struct {
	ID        string
	NetworkID string
	// HostIf is the host-side end of the veth, HostIndex its ifindex.
	HostIf    string
	HostIndex int
	// Netns is the path of the network namespace of the veth's other end; empty
	// where it isn't known, or is the host's still.
	Netns string
	// MAC, IPv4 and IPv6 are the only source addresses the endpoint may use,
	// beside the IPv6 link-local address made from MAC (EUI-64). An invalid
	// Addr means that the family is off.
	MAC  model.MAC
	IPv4 netip.Addr
	IPv6 netip.Addr
	// Links lets this endpoint reach the ports of others where icc=false
	// forbids it, and their replies come back.
	Links []Link
}

// Equal reports whether both say the same: of all endpoints, again whenever one is another.
func (e Endpoint) Equal(o Endpoint) bool {
	return e.ID == o.ID && e.NetworkID == o.NetworkID && e.HostIf == o.HostIf && e.HostIndex == o.HostIndex && e.Netns == o.Netns &&
		e.MAC == o.MAC && e.IPv4 == o.IPv4 && e.IPv6 == o.IPv6 && slices.EqualFunc(e.Links, o.Links, Link.equal)
}

func (l Link) equal(o Link) bool {
	return l.IPv4 == o.IPv4 && l.IPv6 == o.IPv6 && slices.Equal(l.Ports, o.Ports)
}

// CheckHere refuses an endpoint that has no device on this host: neither datapath carries
// packets to other hosts.
func CheckHere(e Endpoint) error {
	if e.HostIndex <= 0 {
		return fmt.Errorf("endpoint %s: it has no device on this host, and nothing leads to endpoints of other hosts", e.ID)
	}
	return nil
}

// Link is one hole in icc=false.
type Link struct {
	IPv4, IPv6 netip.Addr
	Ports      []model.Port
}

// Port is one publication of an endpoint.
type Port struct {
	model.PublishedPort
	// Target is the endpoint's address that the port leads to. Its family may
	// differ from HostIP's only for HostOnly ports.
	Target netip.Addr
	// HostOnly ports serve sockets of the host itself and nobody else: how
	// [::]:8080 reaches a container without IPv6.
	HostOnly bool
	// Routed ports translate nothing: they open Port on Target to direct access
	// (gateway mode routed). HostIP and HostPort are meaningless.
	Routed bool
}

// Resolver is an embedded DNS server.
type Resolver struct {
	SandboxID string
	// Netns is the path of the sandbox's network namespace.
	Netns            string
	UDPPort, TCPPort uint16
}

// Desired is all that a host should have.
type Desired struct {
	Networks  []Network
	Endpoints []Endpoint
	// Ports by endpoint ID.
	Ports     map[string][]Port
	Resolvers []Resolver
	// Services are nil where the datapath isn't Serving.
	Services []Service
	// Spare says of the index of a device whether what an earlier process left about it
	// stays: its owner hasn't said all. Resolvers, services and programs of an earlier
	// layout stay then, too. Nil if everybody has, and where the datapath isn't Guarding.
	Spare func(device int) bool
}
