// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"
	"time"
)

// EndpointMode says what a service's name stands for, in Docker's words.
type EndpointMode string

const (
	// EndpointModeVIP gives the service an address of its own in each of its networks.
	EndpointModeVIP EndpointMode = "vip"
	// EndpointModeDNSRR has the name stand for the addresses of the backends.
	EndpointModeDNSRR EndpointMode = "dnsrr"
)

// Scheduler says how a backend is chosen for a new flow.
type Scheduler string

const (
	// SchedulerMaglev chooses by consistent hashing: few clients change their backend
	// when another one comes or goes (Eisenbud et al., NSDI 2016).
	SchedulerMaglev Scheduler = "maglev"
	// SchedulerRandom draws one for each flow.
	SchedulerRandom Scheduler = "random"
)

// AffinityKind says what a client's flows have in common.
type AffinityKind string

const (
	// AffinityNone lets each flow of a client go to another backend.
	AffinityNone AffinityKind = "none"
	// AffinityClientIP keeps the flows of one address at one backend.
	AffinityClientIP AffinityKind = "client-ip"
)

// Affinity keeps a client at a backend.
type Affinity struct {
	Kind AffinityKind `json:"kind"`
	// Timeout is how long a client that opens no flow is remembered.
	Timeout time.Duration `json:"timeout,omitempty"`
}

// HealthKind says how a backend is asked whether it serves.
type HealthKind string

const (
	// HealthNone takes every backend for healthy whose sandbox runs.
	HealthNone HealthKind = "none"
	// HealthTCP connects, HealthHTTP gets a path and wants a status of 2xx or 3xx.
	HealthTCP  HealthKind = "tcp"
	HealthHTTP HealthKind = "http"
)

// Health is a service's check of its backends.
type Health struct {
	Kind HealthKind `json:"kind"`
	// Path is what HealthHTTP gets.
	Path string `json:"path,omitempty"`
	// Port is the backend's; 0 for the target of the service's first TCP port.
	Port uint16 `json:"port,omitempty"`
	// Interval is from the end of a check to the next one; Timeout that of one check.
	Interval time.Duration `json:"interval,omitempty"`
	Timeout  time.Duration `json:"timeout,omitempty"`
	// Rise and Fall are how many checks in a row have to agree before a backend is
	// taken for healthy, and for unhealthy.
	Rise int `json:"rise,omitempty"`
	Fall int `json:"fall,omitempty"`
}

// ServicePort is a port of a service's address and the backends' port behind it.
type ServicePort struct {
	Port   Port   `json:"port"`
	Target uint16 `json:"target"`
}

// ServiceBackend is a backend that the user named.
type ServiceBackend struct {
	// Name is a sandbox's; Addr that of something outside of Fairway. One of both is set.
	Name string     `json:"name,omitempty"`
	Addr netip.Addr `json:"addr,omitzero"`
	// Port is 0 for the targets of the service's ports.
	Port uint16 `json:"port,omitempty"`
	// Weight is from 1 to MaxWeight.
	Weight int `json:"weight"`
}

// MaxWeight bounds the weight of a backend.
const MaxWeight = 256

// ServiceNetwork is a network that a service is in.
type ServiceNetwork struct {
	NetworkID string `json:"networkID"`
	// Internal is the network's: it has no outside.
	Internal bool `json:"internal,omitempty"`
	// IPv4 and IPv6 are the service's addresses there; the zero Addr where the network
	// hasn't the family, and with EndpointModeDNSRR.
	IPv4 netip.Addr `json:"ipv4,omitzero"`
	IPv6 netip.Addr `json:"ipv6,omitzero"`
	// Requested4 and Requested6 are set where the user asked for the address.
	Requested4 bool `json:"requested4,omitempty"`
	Requested6 bool `json:"requested6,omitempty"`
}

// Service is a name and an address in front of backends.
type Service struct {
	// ID is 64 lower-case hex digits.
	ID      string            `json:"id"`
	Name    string            `json:"name"`
	Created time.Time         `json:"created"`
	Labels  map[string]string `json:"labels,omitempty"`

	// Networks are at least one, in the order that the user gave.
	Networks     []ServiceNetwork `json:"networks"`
	EndpointMode EndpointMode     `json:"endpointMode"`
	Ports        []ServicePort    `json:"ports,omitempty"`
	// Specs are the publications asked for; their Port is one of Ports. Published are
	// those in force.
	Specs     []PortSpec      `json:"specs,omitempty"`
	Published []PublishedPort `json:"published,omitempty"`

	// Selector picks the sandboxes that have all of these labels; Backends are named
	// ones. One of both is empty.
	Selector map[string]string `json:"selector,omitempty"`
	Backends []ServiceBackend  `json:"backends,omitempty"`
	// Drained are the sandboxes, by ID, and the addresses that get no new flows.
	Drained []string `json:"drained,omitempty"`

	Scheduler Scheduler `json:"scheduler"`
	Affinity  Affinity  `json:"affinity"`
	Health    Health    `json:"health"`
	// Passive says whether the datapath passes over backends that refuse clients. nil: where it can.
	Passive *bool `json:"passive,omitempty"`
	// Drain is how long the flows of a backend that leaves go on.
	Drain time.Duration `json:"drain"`
	// Sources may use the service; empty for everybody.
	Sources []netip.Prefix `json:"sources,omitempty"`
}

// JudgedByAnswers reports whether new flows are to pass over backends that refuse clients.
func (s *Service) JudgedByAnswers() bool { return s.Passive == nil || *s.Passive }

// BackendState says what a backend gets.
type BackendState string

const (
	// BackendActive backends get new flows.
	BackendActive BackendState = "active"
	// BackendDraining backends keep the flows that they have and get no new ones.
	BackendDraining BackendState = "draining"
	// BackendDown backends have no flows.
	BackendDown BackendState = "down"
)
