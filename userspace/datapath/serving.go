// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"context"
	"net/netip"
	"time"

	"github.com/fairway-project/fairway/userspace/model"
)

// Serving is a datapath that has services: addresses and ports which lead to one of
// several backends, chosen when a flow opens.
type Serving interface {
	// EnsureService replaces what was said under the same ID in one step: no flow opens
	// by half of it. Flows that are open go on, except to backends that are down: their
	// TCP clients get a reset, and UDP flows go to another backend at once.
	//
	// The network's device has a front's address before the call, and the endpoints of
	// its backends were ensured; a backend whose endpoint is gone counts as down.
	EnsureService(ctx context.Context, s Service) error
	// DeleteService ends the service and the flows through it.
	DeleteService(ctx context.Context, id string) error
	// ServiceStats reads the counters of these services, or of all if none is named.
	// Services that the datapath hasn't are left out. It returns what it could read along
	// with the error.
	ServiceStats(ctx context.Context, ids ...string) ([]ServiceStats, error)
}

// Leading is a datapath that connects sockets to backends themselves. No flow is kept of these.
type Leading interface {
	// LedSockets lists those that are connected now, to services and to other published ports.
	LedSockets(ctx context.Context) ([]LedSocket, error)
}

// LedSocket is a socket that is connected to another address than the one it asked for.
type LedSocket struct {
	// Proto is the IP protocol number.
	Proto uint8
	// Origin is what it asked for, Target what it is connected to.
	Origin, Target netip.AddrPort
}

// Service is what a datapath is told of a service.
type Service struct {
	ID   string
	Name string
	// Fronts are what clients use. Each leads to the pool with its index.
	Fronts []Front
	Pools  []Pool
	// Random draws a backend for each flow; else clients keep theirs where they can
	// (consistent hashing).
	Random bool
	// Affinity is how long a client's address keeps its backend since its last new flow;
	// 0 for not at all.
	Affinity time.Duration
	// Sources may open flows; empty for everybody.
	Sources []netip.Prefix
	// Networks are those by which clients outside get to backends outside, the preferred one
	// first. They are known before the call; without any such clients don't get there.
	Networks []string
	// Passive has new flows pass over backends that refuse clients, where the datapath can.
	Passive bool
}

// Front is an address and port of a service. Its backends are of the same family, except
// where it is HostOnly.
type Front struct {
	// NetworkID is of the network whose device has Addr; it and the host may use the
	// front. Empty for a published port: Addr is then one of the host's or unspecified.
	NetworkID string
	Addr      netip.Addr
	Port      model.Port
	// HostOnly is as of Port.
	HostOnly bool
	// Pool is an index of Service.Pools.
	Pool int
}

// Pool is what a front leads to. It may be empty: then TCP clients are refused.
type Pool struct {
	Backends []Backend
}

// Backend is one of a pool.
type Backend struct {
	// EndpointID is empty for an address outside.
	EndpointID string
	Target     netip.AddrPort
	// Weight is from 1 to model.MaxWeight.
	Weight int
	State  model.BackendState
}
