// SPDX-License-Identifier: Apache-2.0

package api

import (
	"time"

	"github.com/fairway-project/fairway/userspace/model"
)

// SandboxInspect is Docker's container document (GET /containers/{id}/json of
// API 1.52) as far as it says something about a sandbox. Name has no leading
// slash; SandboxKey is at the top too.
type SandboxInspect struct {
	ID              string    `json:"Id"`
	Created         time.Time `json:"Created"`
	Path            string    `json:"Path"`
	Args            []string  `json:"Args"`
	State           InspectState
	Name            string `json:"Name"`
	SandboxKey      string
	ResolvConfPath  string
	HostnamePath    string
	HostsPath       string
	LogPath         string
	Adopted         bool
	HostConfig      HostConfig
	Config          Config
	NetworkSettings NetworkSettings
}

// InspectState is the process's state.
type InspectState struct {
	Status     model.Status
	Running    bool
	Pid        int
	ExitCode   int
	Error      string
	StartedAt  time.Time
	FinishedAt time.Time
}

// HostConfig is what the user asked of the host.
type HostConfig struct {
	// NetworkMode is the first network's name, host, none or container:ID.
	NetworkMode string
	// PortBindings are the -p values by container port.
	PortBindings    map[string][]HostBinding
	AutoRemove      bool
	DNS             []string `json:"Dns"`
	DNSOptions      []string `json:"DnsOptions"`
	DNSSearch       []string `json:"DnsSearch"`
	ExtraHosts      []string
	Links           []string
	PublishAllPorts bool
}

// HostBinding is the host side of a port. Docker has both as strings.
type HostBinding struct {
	HostIP   string `json:"HostIp"`
	HostPort string `json:"HostPort"`
}

// Config is what the user asked of the process.
type Config struct {
	Hostname     string
	ExposedPorts map[string]struct{} `json:",omitempty"`
	Cmd          []string
	Labels       map[string]string
}

// NetworkSettings is the sandbox as the network sees it.
type NetworkSettings struct {
	SandboxID  string
	SandboxKey string
	// Ports has null for a port that is exposed and not published.
	Ports    map[string][]HostBinding
	Networks map[string]EndpointInspect
}

// EndpointInspect is one entry of NetworkSettings.Networks.
type EndpointInspect struct {
	// IPAMConfig has the addresses that the user asked for; null if none.
	IPAMConfig          *EndpointIPAM
	Links               []string
	Aliases             []string
	DriverOpts          map[string]string
	GwPriority          int
	NetworkID           string
	EndpointID          string
	Gateway             string
	IPAddress           string
	MacAddress          string
	IPPrefixLen         int
	IPv6Gateway         string
	GlobalIPv6Address   string
	GlobalIPv6PrefixLen int
	DNSNames            []string
}

// EndpointIPAM has the addresses that the user asked for.
type EndpointIPAM struct {
	IPv4Address string `json:",omitempty"`
	IPv6Address string `json:",omitempty"`
}
