// SPDX-License-Identifier: Apache-2.0

package request

import (
	"net/netip"

	"github.com/fairway-project/fairway/userspace/model"
)

// NetworkCreate asks for a network.
type NetworkCreate struct {
	Name string `json:"name"`
	// Driver is "bridge" where it is empty.
	Driver model.Driver `json:"driver,omitempty"`
	// EnableIPv4 is true where it is not given.
	EnableIPv4 *bool `json:"enable_ipv4,omitempty"`
	EnableIPv6 bool  `json:"enable_ipv6,omitempty"`
	Internal   bool  `json:"internal,omitempty"`
	// IPAM has at most one entry per address family. An entry without a subnet
	// leaves the choice to the daemon.
	IPAM []IPAMConfig `json:"ipam,omitempty"`
	// Options are driver options by Docker's keys.
	Options map[string]string `json:"options,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
}

// IPAMConfig is one address pool of a network.
type IPAMConfig struct {
	Subnet       netip.Prefix          `json:"subnet,omitzero"`
	IPRange      netip.Prefix          `json:"ip_range,omitzero"`
	Gateway      netip.Addr            `json:"gateway,omitzero"`
	AuxAddresses map[string]netip.Addr `json:"aux_addresses,omitempty"`
}

// EndpointSettings is the wish for one endpoint: of a sandbox that is being
// made, or in a connect.
type EndpointSettings struct {
	// Network is a network's name, ID or ID prefix. In a SandboxConfig it may
	// also be "host", "none" or "container:NAME", then as the only entry.
	Network string     `json:"network"`
	IPv4    netip.Addr `json:"ipv4,omitzero"`
	IPv6    netip.Addr `json:"ipv6,omitzero"`
	// MAC is the zero MAC for one of the daemon's choice.
	MAC        model.MAC `json:"mac_address,omitzero"`
	Aliases    []string  `json:"aliases,omitempty"`
	GwPriority int       `json:"gw_priority,omitempty"`
}

// Connect attaches a sandbox to the network that the path names.
type Connect struct {
	// Sandbox is a sandbox's name, ID or ID prefix.
	Sandbox    string     `json:"sandbox"`
	IPv4       netip.Addr `json:"ipv4,omitzero"`
	IPv6       netip.Addr `json:"ipv6,omitzero"`
	MAC        model.MAC  `json:"mac_address,omitzero"`
	Aliases    []string   `json:"aliases,omitempty"`
	GwPriority int        `json:"gw_priority,omitempty"`
}

// Settings returns c as the settings of an endpoint on network.
func (c Connect) Settings(network string) EndpointSettings {
	return EndpointSettings{
		Network: network, IPv4: c.IPv4, IPv6: c.IPv6,
		MAC: c.MAC, Aliases: c.Aliases, GwPriority: c.GwPriority,
	}
}

// Disconnect detaches a sandbox from the network that the path names.
type Disconnect struct {
	Sandbox string `json:"sandbox"`
	// Force detaches also what can't be detached in order, a sandbox whose
	// namespace is gone for one.
	Force bool `json:"force,omitempty"`
}

// ExtraHost is one --add-host entry.
type ExtraHost struct {
	Name string `json:"name"`
	// Address is an IP address, or "host-gateway" for the host's address as the
	// sandbox sees it.
	Address string `json:"address"`
}

// HostGateway is the address of an ExtraHost that stands for the host.
const HostGateway = "host-gateway"

// SandboxConfig is what run and add have in common.
type SandboxConfig struct {
	// Name is made up by the daemon where it is empty.
	Name string `json:"name,omitempty"`
	// Networks is empty for the default network "bridge". See NetworkMode.
	Networks   []EndpointSettings `json:"networks,omitempty"`
	Hostname   string             `json:"hostname,omitempty"`
	DNS        []netip.Addr       `json:"dns,omitempty"`
	DNSSearch  []string           `json:"dns_search,omitempty"`
	DNSOptions []string           `json:"dns_options,omitempty"`
	ExtraHosts []ExtraHost        `json:"extra_hosts,omitempty"`
	Links      []model.Link       `json:"links,omitempty"`
	// Expose holds PORT[-END][/PROTO]. See Exposed.
	Expose []string `json:"expose,omitempty"`
	// Publish holds Docker's -p values. See PortSpecs.
	Publish    []string          `json:"publish,omitempty"`
	PublishAll bool              `json:"publish_all,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
}

// Run asks for a sandbox with a process.
type Run struct {
	SandboxConfig
	// Command is the program, looked up in the PATH of Env, and its arguments.
	Command []string `json:"command"`
	// Env holds KEY=VALUE entries beside those that every sandbox gets.
	Env []string `json:"env,omitempty"`
	// Workdir is "/" where it is empty.
	Workdir string `json:"workdir,omitempty"`
	// AutoRemove removes the sandbox when its process ends.
	AutoRemove bool `json:"auto_remove,omitempty"`
	// TTY makes standard input, which has to be a terminal, the one that the
	// process is controlled by. Only with attach.
	TTY bool `json:"tty,omitempty"`
}

// Add asks for a sandbox around a network namespace that exists.
type Add struct {
	SandboxConfig
	// Netns is the absolute path of the namespace: /run/netns/NAME,
	// /proc/PID/ns/net or another bind mount.
	Netns string `json:"netns"`
}

// Exec asks for one more process in a sandbox.
type Exec struct {
	Command []string `json:"command"`
	Env     []string `json:"env,omitempty"`
	Workdir string   `json:"workdir,omitempty"`
	// TTY as of Run.
	TTY bool `json:"tty,omitempty"`
}

// Logs says how much of a sandbox's log to show.
type Logs struct {
	// Follow goes on until the sandbox's process ends.
	Follow bool
	// Tail is the number of last lines; negative for all.
	Tail int
}

// Stop asks for the end of a sandbox's process.
type Stop struct {
	// Signal is sent first: a name (TERM, SIGTERM) or a number; TERM where it is empty.
	Signal string `json:"signal,omitempty"`
	// Timeout is the time in seconds until SIGKILL; 10 where it is not given,
	// negative for never.
	Timeout *int `json:"timeout,omitempty"`
}
