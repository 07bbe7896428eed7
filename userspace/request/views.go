// SPDX-License-Identifier: Apache-2.0

package request

import (
	"net/netip"
	"time"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// NetworkView is a network with who is on it, as a Backend tells it.
type NetworkView struct {
	model.Network
	Endpoints []NetworkEndpoint
	// Owner is who made the network; empty for Fairway itself.
	Owner model.Owner
}

// NetworkEndpoint is an endpoint with the name of its sandbox.
type NetworkEndpoint struct {
	model.Endpoint
	SandboxName string
}

// SandboxView is a sandbox with its endpoints, as a Backend tells it.
type SandboxView struct {
	model.Sandbox
	// Endpoints are in the order of their interfaces (eth0, eth1, ...).
	Endpoints []SandboxEndpoint
	// SharedWithName is the name that belongs to SharedWith.
	SharedWithName string
	// Owner is who made the container; empty for Fairway itself.
	Owner model.Owner
	// Dir holds the sandbox's hosts, hostname, resolv.conf and log; empty where
	// it has none of its own.
	Dir string
}

// SandboxEndpoint is an endpoint with what the sandbox sees of its network.
type SandboxEndpoint struct {
	model.Endpoint
	NetworkName string
	// Gateway4 and Gateway6 are the network's gateways; the zero Addr on
	// internal networks and where the family is off.
	Gateway4, Gateway6 netip.Addr
	// DNSNames are the names that the endpoint answers to on its network, the
	// sandbox's own name first; empty on the default network.
	DNSNames []string
	// Default4 and Default6 mark the endpoint that has the sandbox's default route.
	Default4, Default6 bool
}

// FlowView is a connection with the names that belong to it.
type FlowView struct {
	datapath.Flow
	// Sandbox and Network are empty where the endpoint isn't known.
	Sandbox string
	Network string
	// Opener and Target are the two ends.
	Opener, Target FlowEnd
	// Service is the one that chose the target; empty for none.
	Service string
}

// FlowEnd is one end of a connection. All is empty for an end that is no sandbox's.
type FlowEnd struct {
	Sandbox    string `json:"sandbox"`
	Network    string `json:"network"`
	EndpointID string `json:"endpoint_id"`
}

// Status is what the daemon says of itself and of the datapath.
type Status struct {
	Version Version   `json:"version"`
	Pid     int       `json:"pid"`
	Started time.Time `json:"started"`
	Kernel  string    `json:"kernel"`
	// Root, RunDir and BPFFS are the directories that the daemon works in.
	Root   string `json:"root"`
	RunDir string `json:"run_dir"`
	BPFFS  string `json:"bpffs,omitempty"`
	// Metrics is the address of the Prometheus endpoint; empty if there is none.
	Metrics   string   `json:"metrics,omitempty"`
	Uplinks   []string `json:"uplinks"`
	Networks  int      `json:"networks"`
	Sandboxes int      `json:"sandboxes"`
	// Running counts the sandboxes whose process runs, and the adopted ones.
	Running   int `json:"running"`
	Endpoints int `json:"endpoints"`
	Ports     int `json:"ports"`
	Services  int `json:"services"`
	// Unserved are the names of services that have no backend which serves, others' among
	// them: their clients are refused.
	Unserved []string `json:"unserved,omitempty"`
	// ServiceConnections are those of all services that there are, others' among them.
	ServiceConnections ServiceConnections `json:"service_connections"`
	// Carried is what the daemon carries for others, which the counts above leave out.
	Carried  []CarriedCount  `json:"carried,omitempty"`
	Datapath datapath.Status `json:"datapath"`
	// Stats count since the datapath's tables, or rules, exist: restarts of the daemon
	// don't begin anew.
	Stats       datapath.Stats `json:"stats"`
	RecentDrops RecentDrops    `json:"recent_drops"`
	// Degraded has one sentence for each thing that is not as it should be.
	Degraded []string `json:"degraded,omitempty"`
}

// ServiceConnections sum what was counted of services' connections: those that were led to a
// backend, that found none, and that came from elsewhere than a service's sources.
type ServiceConnections struct {
	Opened    uint64 `json:"opened"`
	Refused   uint64 `json:"refused"`
	Strangers uint64 `json:"strangers"`
}

// RecentDrops are those of Stats.Drops that happened lately.
type RecentDrops struct {
	// Seconds is how far back they go: about a minute, and less after the daemon's start.
	Seconds float64 `json:"seconds"`
	// Drops leaves out what didn't happen.
	Drops []datapath.Drop `json:"drops"`
}

// Result of a Check.
type Result string

// The results of a check, best first.
const (
	OK   Result = "OK"
	Warn Result = "WARN"
	Fail Result = "FAIL"
)

// Check is one line of fairway doctor.
type Check struct {
	Name   string `json:"name"`
	Result Result `json:"result"`
	// Fact is what was found, in one line.
	Fact string `json:"fact"`
	// Fix is the command that mends it; empty for OK.
	Fix string `json:"fix,omitempty"`
}

// Version tells which build this is.
type Version struct {
	Version string `json:"version"`
	// Commit is empty where the build knew none.
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}
