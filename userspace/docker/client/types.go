// SPDX-License-Identifier: Apache-2.0

package client

import (
	"encoding/json"
	"maps"
	"strings"
)

// Network is what Docker says of a network, as far as it matters here. Lists
// leave Containers empty; only the inspection of one network has them.
type Network struct {
	ID         string `json:"Id"`
	Name       string
	Driver     string
	Scope      string
	Created    string
	EnableIPv4 *bool // absent before API 1.48, where IPv4 is always on
	EnableIPv6 bool
	Internal   bool
	IPAM       IPAM
	// Containers by container ID, or by "ep-" and the endpoint's ID while no
	// sandbox is known for the endpoint.
	Containers map[string]Endpoint
	Options    map[string]string
}

// IPAM lists the subnets of a network.
type IPAM struct {
	Config []Pool
}

// Pool is one subnet. Gateway is empty where Docker chose it itself.
type Pool struct {
	Subnet, IPRange, Gateway string
}

// Endpoint is what a network's inspection says of one of its endpoints.
type Endpoint struct {
	Name       string
	EndpointID string
	MacAddress string
	// Addresses have a prefix length and are empty for a family that is off.
	IPv4Address, IPv6Address string
}

// Container is an entry of the list of containers.
type Container struct {
	ID      string `json:"Id"`
	Names   []string
	State   string
	Created int64
	// Labels are those that matter here.
	Labels          Labels
	Ports           []Port
	NetworkSettings struct {
		// Networks by name.
		Networks map[string]Attachment
	}
}

// Name is the container's own; links have others in other containers.
func (c *Container) Name() string {
	for _, n := range c.Names {
		if own, is := strings.CutPrefix(n, "/"); is && !strings.Contains(own, "/") {
			return own
		}
	}
	return ""
}

// LabelPrefix begins the labels that are Fairway's; ProjectLabel is Compose's for the
// name of a project.
const (
	LabelPrefix  = "fairway."
	ProjectLabel = "com.docker.compose.project"
)

// Labels of a container without those that nobody here asks for, which may be many.
type Labels map[string]string

// UnmarshalJSON implements json.Unmarshaler.
func (l *Labels) UnmarshalJSON(raw []byte) error {
	var all map[string]string
	if err := json.Unmarshal(raw, &all); err != nil {
		return err
	}
	maps.DeleteFunc(all, func(key, _ string) bool { return key != ProjectLabel && !strings.HasPrefix(key, LabelPrefix) })
	*l = all
	return nil
}

// Port is one publication, or an exposed port that isn't published: PublicPort
// is 0 then.
type Port struct {
	IP                      string
	PrivatePort, PublicPort uint16
	Type                    string
}

// Wanted is what a container's inspection says of the ports that were asked for;
// it never changes.
type Wanted struct {
	Config struct {
		// ExposedPorts by port, like "80/tcp".
		ExposedPorts map[string]struct{}
		// StopSignal is "" where the engine's default counts, else a name or a number.
		StopSignal string
	}
	HostConfig struct {
		PortBindings    map[string][]Binding
		PublishAllPorts bool
	}
}

// Binding is one -p of a port. Both may be empty; HostPort may be a range.
type Binding struct {
	HostIP   string `json:"HostIp"`
	HostPort string
}

// Attachment is a container's endpoint as the list of containers has it.
type Attachment struct {
	NetworkID, EndpointID string
	GwPriority            int
}

// Event is one line of the event stream.
type Event struct {
	Type, Action string
	Actor        struct {
		ID         string
		Attributes map[string]string
	}
}

// Version is what the engine says of itself.
type Version struct {
	Version, APIVersion string
}
