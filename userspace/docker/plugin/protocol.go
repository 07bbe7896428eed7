// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"github.com/fairway-project/fairway/userspace/model"
)

// mediaType is what Docker accepts, and what answers say that they are.
const mediaType = "application/vnd.docker.plugins.v1.2+json"

// The messages of the protocol, named and spelt as in libnetwork's
// drivers/remote/api/api.go. Fields that nothing here needs are left out.

// empty is a message without content.
type empty struct{}

// failure is the answer to a call that failed.
type failure struct {
	Err string
}

type activation struct {
	Implements []string
}

type capabilities struct {
	Scope             string
	ConnectivityScope string
	// GwAllocChecker announces GwAllocCheck to Docker 28 and later.
	GwAllocChecker bool
}

// networkOptions are the options of a network. The generic ones are those that
// the user gave with -o.
type networkOptions struct {
	Generic  map[string]string `json:"com.docker.network.generic"`
	Internal bool              `json:"com.docker.network.internal"`
}

type createNetwork struct {
	NetworkID          string
	Options            networkOptions
	IPv4Data, IPv6Data []pool
}

// pool is what Docker's IPAM gave a network in one family. Addresses have the
// subnet's prefix length.
type pool struct {
	Pool         string
	Gateway      string
	AuxAddresses map[string]string
}

type gwAllocCheck struct {
	Options networkOptions
}

type gwAllocAnswer struct {
	SkipIPv4, SkipIPv6 bool
}

type networkRef struct {
	NetworkID string
}

type endpointRef struct {
	NetworkID, EndpointID string
}

// iface is an endpoint's interface. In a request empty fields are the driver's to
// choose; the answer has only those.
type iface struct {
	Address     string `json:",omitempty"`
	AddressIPv6 string `json:",omitempty"`
	MacAddress  string `json:",omitempty"`
}

type createEndpoint struct {
	endpointRef
	Interface *iface
}

type createEndpointAnswer struct {
	Interface iface
}

type join struct {
	endpointRef
	SandboxKey string
}

type interfaceName struct {
	SrcName, DstPrefix string
}

type joinAnswer struct {
	InterfaceName interfaceName
	Gateway       string `json:",omitempty"`
	GatewayIPv6   string `json:",omitempty"`
	// DisableGatewayService keeps Docker from adding its own bridge,
	// docker_gwbridge, where a network leads outside in no family.
	DisableGatewayService bool
}

type programConnectivity struct {
	endpointRef
	Options portOptions
}

// portOptions are what a container publishes, ranges of container ports spread out.
type portOptions struct {
	PortMap     []portBinding `json:"com.docker.network.portmap"`
	NoProxy6To4 bool          `json:"com.docker.network.driver.private.no_proxy_6to4"`
}

// portBinding asks for one container port. HostPort 0 is any.
type portBinding struct {
	Proto       uint8
	Port        uint16
	HostIP      string
	HostPort    uint16
	HostPortEnd uint16
}

type operInfo struct {
	Value operValue
}

// operValue is what the driver tells of an endpoint. Docker reads keys of its own
// only; these are for an operator who looks at the calls.
type operValue struct {
	HostInterface string                `json:"fairway.host_interface,omitempty"`
	Published     []model.PublishedPort `json:"fairway.published,omitempty"`
}
