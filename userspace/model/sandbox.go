// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"
	"time"
)

// NetworkMode says where a sandbox gets its network namespace from.
type NetworkMode string

const (
	// ModeNetworks gives the sandbox a namespace of its own with one endpoint
	// per network; none at all is Docker's network "none".
	ModeNetworks NetworkMode = "networks"
	// ModeHost uses the daemon's namespace.
	ModeHost NetworkMode = "host"
	// ModeContainer shares the namespace of another sandbox.
	ModeContainer NetworkMode = "container"
)

// Status of a sandbox, in Docker's words.
type Status string

const (
	StatusCreated Status = "created"
	StatusRunning Status = "running"
	StatusExited  Status = "exited"
)

// Link is Docker's legacy --link NAME:ALIAS.
type Link struct {
	// Sandbox is the name of the sandbox linked to.
	Sandbox string `json:"sandbox"`
	Alias   string `json:"alias"`
}

// Sandbox is a network namespace with the process, if any, that Fairway runs in it.
type Sandbox struct {
	// ID is 64 lower-case hex digits.
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Hostname string    `json:"hostname"`
	Created  time.Time `json:"created"`

	Mode NetworkMode `json:"mode"`
	// SharedWith is the ID of the sandbox whose namespace is used in ModeContainer.
	SharedWith string `json:"sharedWith,omitempty"`
	// Netns is the path of the namespace; empty in ModeHost.
	Netns string `json:"netns,omitempty"`
	// Adopted marks a namespace that existed before and outlives the sandbox.
	Adopted bool `json:"adopted,omitempty"`
	// NetnsCookie and NetnsBoot tell an adopted namespace from another that Netns may
	// name later: its cookie, and the boot (/proc/sys/kernel/random/boot_id) that the
	// cookie is of. Empty where the kernel has no cookies.
	NetnsCookie uint64 `json:"netnsCookie,omitempty"`
	NetnsBoot   string `json:"netnsBoot,omitempty"`

	Command    []string          `json:"command,omitempty"`
	AutoRemove bool              `json:"autoRemove,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`

	DNS        []netip.Addr `json:"dns,omitempty"`
	DNSSearch  []string     `json:"dnsSearch,omitempty"`
	DNSOptions []string     `json:"dnsOptions,omitempty"`
	ExtraHosts []ExtraHost  `json:"extraHosts,omitempty"`
	Links      []Link       `json:"links,omitempty"`

	Exposed    []Port     `json:"exposed,omitempty"`
	Specs      []PortSpec `json:"specs,omitempty"`
	PublishAll bool       `json:"publishAll,omitempty"`
	// Published holds the publications in force; they belong to the gateway endpoint.
	Published []PublishedPort `json:"published,omitempty"`
	// Former are the networks that a sandbox which has ended was attached to when
	// it did, in the order of its interfaces.
	Former []FormerEndpoint `json:"former,omitempty"`

	State State `json:"state"`
}

// ExtraHost is one --add-host entry.
type ExtraHost struct {
	Name string     `json:"name"`
	Addr netip.Addr `json:"addr"`
}

// State of a sandbox's process.
type State struct {
	Status Status `json:"status"`
	// Pid in the daemon's PID namespace; 0 when no process runs.
	Pid int `json:"pid,omitempty"`
	// StartTime of Pid in clock ticks since boot (proc_pid_stat(5) field 22):
	// tells the process from a later one with the same number. Boot is the one that it
	// began in (/proc/sys/kernel/random/boot_id); empty in records of an earlier version.
	StartTime  uint64    `json:"startTime,omitempty"`
	Boot       string    `json:"boot,omitempty"`
	StartedAt  time.Time `json:"startedAt,omitzero"`
	FinishedAt time.Time `json:"finishedAt,omitzero"`
	// ExitCode is nil until the process has ended, and after that where the
	// daemon wasn't there to see it.
	ExitCode *int   `json:"exitCode,omitempty"`
	Error    string `json:"error,omitempty"`
}

// FormerEndpoint is what is remembered of an endpoint: what the user asked for. The
// network may be gone.
type FormerEndpoint struct {
	NetworkID string `json:"networkID"`
	Network   string `json:"network"`
	// IPv4 and IPv6 are the addresses that the user asked for.
	IPv4       netip.Addr `json:"ipv4,omitzero"`
	IPv6       netip.Addr `json:"ipv6,omitzero"`
	Aliases    []string   `json:"aliases,omitempty"`
	GwPriority int        `json:"gwPriority,omitempty"`
}

// Endpoint is the attachment of one sandbox to one network.
type Endpoint struct {
	ID        string `json:"id"`
	NetworkID string `json:"networkID"`
	SandboxID string `json:"sandboxID"`
	// Host is the one that it lives on, "" for this one. Another host's has neither a
	// sandbox nor a device here, only its addresses.
	Host string `json:"host,omitempty"`
	// IPv4 and IPv6 are the address with the subnet's prefix length.
	IPv4 netip.Prefix `json:"ipv4,omitzero"`
	IPv6 netip.Prefix `json:"ipv6,omitzero"`
	// Requested4 and Requested6 are set where the user asked for the address.
	Requested4 bool `json:"requested4,omitempty"`
	Requested6 bool `json:"requested6,omitempty"`
	// MAC of the interface inside the sandbox.
	MAC     MAC      `json:"mac"`
	Aliases []string `json:"aliases,omitempty"`
	// GwPriority orders the endpoints of a sandbox in the choice of its default
	// route; the highest wins (Docker 28's --gw-priority).
	GwPriority int `json:"gwPriority,omitempty"`
	// HostIf and IfName are the names of the veth's two ends.
	HostIf string `json:"hostIf"`
	IfName string `json:"ifName"`
}
