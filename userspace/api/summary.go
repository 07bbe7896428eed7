// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net/netip"
	"time"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// NetworkSummary is a network in a list.
type NetworkSummary struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Driver   model.Driver      `json:"driver"`
	Scope    string            `json:"scope"`
	Created  time.Time         `json:"created"`
	IPv4     bool              `json:"ipv4"`
	IPv6     bool              `json:"ipv6"`
	Internal bool              `json:"internal"`
	Subnets  []netip.Prefix    `json:"subnets"`
	Labels   map[string]string `json:"labels"`
	// Sandboxes are the names of the sandboxes on the network.
	Sandboxes []string `json:"sandboxes"`
	// Owner is fairway, docker or docker-plugin.
	Owner model.Owner `json:"owner"`
}

// ScopeLocal is the scope of a network of one host.
const ScopeLocal = "local"

func summarizeNetwork(n request.NetworkView) NetworkSummary {
	s := NetworkSummary{
		ID: n.ID, Name: n.Name, Driver: n.Driver, Scope: ScopeLocal, Created: n.Created,
		IPv4: n.IPv4 != nil, IPv6: n.IPv6 != nil, Internal: n.Internal,
		Subnets: []netip.Prefix{}, Labels: orEmpty(n.Labels), Sandboxes: []string{}, Owner: ownerOf(n.Owner),
	}
	for _, sub := range []*model.Subnet{n.IPv4, n.IPv6} {
		if sub != nil {
			s.Subnets = append(s.Subnets, sub.Prefix)
		}
	}
	for _, e := range n.Endpoints {
		s.Sandboxes = append(s.Sandboxes, e.SandboxName)
	}
	return s
}

// SandboxSummary is a sandbox in a list.
type SandboxSummary struct {
	ID      string       `json:"id"`
	Name    string       `json:"name"`
	Status  model.Status `json:"status"`
	Pid     int          `json:"pid"`
	Adopted bool         `json:"adopted"`
	// ExitCode is null until the process has ended.
	ExitCode   *int              `json:"exit_code"`
	Created    time.Time         `json:"created"`
	StartedAt  time.Time         `json:"started_at"`
	FinishedAt time.Time         `json:"finished_at"`
	Command    []string          `json:"command"`
	Labels     map[string]string `json:"labels"`
	// NetworkMode is networks, host or container.
	NetworkMode model.NetworkMode `json:"network_mode"`
	// SharedWith is the name of the sandbox whose namespace is used in mode container.
	SharedWith string        `json:"shared_with,omitempty"`
	Networks   []Attachment  `json:"networks"`
	Ports      []PortBinding `json:"ports"`
	// Owner is fairway, docker or docker-plugin.
	Owner model.Owner `json:"owner"`
}

// Attachment is an endpoint in a SandboxSummary.
type Attachment struct {
	Network string     `json:"network"`
	IPv4    netip.Addr `json:"ipv4"`
	IPv6    netip.Addr `json:"ipv6"`
	MAC     model.MAC  `json:"mac_address"`
	// Interface is the name inside the sandbox.
	Interface string `json:"interface"`
}

// PortBinding is one published port, or one exposed port where HostPort is 0.
type PortBinding struct {
	ContainerPort uint16      `json:"container_port"`
	Proto         model.Proto `json:"proto"`
	HostIP        netip.Addr  `json:"host_ip"`
	HostPort      uint16      `json:"host_port"`
}

func summarizeSandbox(v request.SandboxView) SandboxSummary {
	s := SandboxSummary{
		ID: v.ID, Name: v.Name, Status: v.State.Status, Pid: v.State.Pid, Adopted: v.Adopted,
		ExitCode: v.State.ExitCode, Created: v.Created,
		StartedAt: v.State.StartedAt, FinishedAt: v.State.FinishedAt,
		Command: v.Command, Labels: orEmpty(v.Labels), NetworkMode: v.Mode, SharedWith: v.SharedWithName,
		Networks: []Attachment{}, Ports: bindings(v), Owner: ownerOf(v.Owner),
	}
	if s.Command == nil {
		s.Command = []string{}
	}
	for _, e := range v.Endpoints {
		s.Networks = append(s.Networks, Attachment{
			Network: e.NetworkName, IPv4: e.IPv4.Addr(), IPv6: e.IPv6.Addr(), MAC: e.MAC, Interface: e.IfName,
		})
	}
	return s
}

// bindings lists the published ports, then the exposed ones that aren't
// published; those only while the sandbox runs, as Docker shows them.
func bindings(v request.SandboxView) []PortBinding {
	list := []PortBinding{}
	published := make(map[model.Port]bool)
	for _, p := range v.Published {
		published[p.Port] = true
		list = append(list, PortBinding{
			ContainerPort: p.Port.Num, Proto: p.Port.Proto, HostIP: p.HostIP, HostPort: p.HostPort,
		})
	}
	if v.State.Status != model.StatusRunning {
		return list
	}
	for _, p := range v.Exposed {
		if !published[p] {
			list = append(list, PortBinding{ContainerPort: p.Num, Proto: p.Proto})
		}
	}
	return list
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
