// SPDX-License-Identifier: Apache-2.0

package request

import (
	"iter"
	"net/netip"

	"github.com/fairway-project/fairway/userspace/model"
)

// ServiceCreate asks for a service.
type ServiceCreate struct {
	Name string `json:"name"`
	// Networks are names, IDs or ID prefixes; the first is the default for backends.
	Networks []string `json:"networks"`
	// IPv4 and IPv6 are addresses wanted in the first network.
	IPv4 netip.Addr `json:"ipv4,omitzero"`
	IPv6 netip.Addr `json:"ipv6,omitzero"`
	// EndpointMode is "vip" where it is empty.
	EndpointMode model.EndpointMode `json:"endpoint_mode,omitempty"`
	ServiceSpec
}

// ServiceSpec is what can be changed of a service.
type ServiceSpec struct {
	// Ports hold PORT[:TARGET][/PROTO], Publish [[IP:]HOSTPORT:]PORT[/PROTO].
	Ports   []string `json:"ports,omitempty"`
	Publish []string `json:"publish,omitempty"`
	// Selector picks sandboxes by labels, Backends hold NAME|ADDRESS[:PORT][,weight=N].
	Selector map[string]string `json:"selector,omitempty"`
	Backends []string          `json:"backends,omitempty"`
	// Scheduler is "maglev" where it is empty.
	Scheduler model.Scheduler `json:"scheduler,omitempty"`
	// Affinity is none or client-ip[,timeout=DURATION].
	Affinity string `json:"affinity,omitempty"`
	// Health is none, tcp or http:PATH, with [,port=,interval=,timeout=,rise=,fall=].
	Health string `json:"health,omitempty"`
	// Passive has new flows pass over backends that refuse clients, or not; where nothing is said
	// they do if the datapath can.
	Passive *bool `json:"passive,omitempty"`
	// Drain is a duration as time.ParseDuration reads it; 30s where it is empty.
	Drain   string            `json:"drain,omitempty"`
	Sources []netip.Prefix    `json:"sources,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
}

// ServiceUpdate changes a service: what is nil stays as it is.
type ServiceUpdate struct {
	Ports     *[]string          `json:"ports,omitempty"`
	Publish   *[]string          `json:"publish,omitempty"`
	Selector  *map[string]string `json:"selector,omitempty"`
	Backends  *[]string          `json:"backends,omitempty"`
	Scheduler *model.Scheduler   `json:"scheduler,omitempty"`
	Affinity  *string            `json:"affinity,omitempty"`
	Health    *string            `json:"health,omitempty"`
	Passive   *bool              `json:"passive,omitempty"`
	Drain     *string            `json:"drain,omitempty"`
	Sources   *[]netip.Prefix    `json:"sources,omitempty"`
	Labels    *map[string]string `json:"labels,omitempty"`
}

// ServiceDrain has a backend get no new flows, or get them again.
type ServiceDrain struct {
	// Backend is a sandbox's name or ID, or an address.
	Backend string `json:"backend"`
	// Undo ends the draining.
	Undo bool `json:"undo,omitempty"`
}

// ServiceView is a service with its backends.
type ServiceView struct {
	model.Service
	// Owner is who made the service; empty for Fairway itself.
	Owner    model.Owner
	Networks []ServiceNetworkView
	Backends []ServiceBackendView
	// Warnings say what keeps the service from serving: a selector that matches
	// nothing, a backend that is in none of its networks, a port that is taken.
	Warnings []string
	// Counts are nil where nobody asked for them.
	Counts *ServiceCounts
}

// ServiceCounts are the connections of a service, of all since its tables or rules exist.
type ServiceCounts struct {
	// Opened were led to a backend; Open are those of them that are open now.
	Opened, Open uint64
	// Refused found no backend, Strangers came from elsewhere than the service's sources.
	Refused, Strangers uint64
	// PassedOver is how often backends began to be passed over.
	PassedOver uint64
	// Backends are by their addresses.
	Backends map[netip.Addr]BackendCounts
}

// BackendCounts are the connections of a backend, as those of its service.
type BackendCounts struct {
	Opened, Open uint64
	// PassedOver says that new ones pass it over now, since it refused clients.
	PassedOver bool
}

// Of returns what was counted of a backend, at both of its addresses.
func (c *ServiceCounts) Of(b *ServiceBackendView) (sum BackendCounts) {
	for _, a := range []netip.Addr{b.IPv4, b.IPv6} {
		if a.IsValid() {
			sum.Opened += c.Backends[a].Opened
			sum.Open += c.Backends[a].Open
			sum.PassedOver = sum.PassedOver || c.Backends[a].PassedOver
		}
	}
	return sum
}

// ServiceNetworkView is a service's network with its name.
type ServiceNetworkView struct {
	model.ServiceNetwork
	Name string
}

// ServiceBackendView is a backend as it is now.
type ServiceBackendView struct {
	// SandboxID and Name are empty for an address outside.
	SandboxID string
	Name      string
	IPv4      netip.Addr
	IPv6      netip.Addr
	// Port is 0 for the targets of the service's ports.
	Port   uint16
	Weight int
	State  model.BackendState
	// Reason says why the state isn't active: the last check's error for one.
	Reason string
}

// Chain has what all of these have, one after another.
func Chain[T any](all ...iter.Seq[T]) iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, one := range all {
			for v := range one {
				if !yield(v) {
					return
				}
			}
		}
	}
}
