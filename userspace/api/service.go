// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"net/netip"
	"time"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// ServiceSummary is a service in a list.
type ServiceSummary struct {
	ID           string             `json:"id"`
	Name         string             `json:"name"`
	Created      time.Time          `json:"created"`
	EndpointMode model.EndpointMode `json:"endpoint_mode"`
	Networks     []ServiceAddress   `json:"networks"`
	Ports        []ServicePort      `json:"ports"`
	Published    []ServicePublished `json:"published"`
	BackendCount BackendCount       `json:"backend_count"`
	Labels       map[string]string  `json:"labels"`
	// Warnings say what keeps the service from serving as it is.
	Warnings []string `json:"warnings"`
	// Owner is fairway, docker or docker-plugin.
	Owner model.Owner `json:"owner"`
	// Connections is there where it was asked for.
	Connections *ServiceConnections `json:"connections,omitempty"`
}

// ServiceConnections are a service's connections: those that were opened, that are open now,
// that found no backend, and that came from elsewhere than its source ranges. PassedOver is how
// often a backend that refused clients began to be passed over.
type ServiceConnections struct {
	Opened     uint64 `json:"opened"`
	Open       uint64 `json:"open"`
	Refused    uint64 `json:"refused"`
	Strangers  uint64 `json:"strangers"`
	PassedOver uint64 `json:"passed_over"`
}

// BackendConnections are those of a service that a backend got, and has. PassedOver says that it
// gets no new ones, or none of some clients, since it refused them.
type BackendConnections struct {
	Opened     uint64 `json:"opened"`
	Open       uint64 `json:"open"`
	PassedOver bool   `json:"passed_over"`
}

// ServiceAddress is a network that a service is in, with its addresses there.
type ServiceAddress struct {
	Network string `json:"network"`
	// IPv4 and IPv6 are "" where the service has none.
	IPv4 netip.Addr `json:"ipv4"`
	IPv6 netip.Addr `json:"ipv6"`
}

// ServicePort is a port of a service and the backends' behind it.
type ServicePort struct {
	Port   uint16      `json:"port"`
	Proto  model.Proto `json:"proto"`
	Target uint16      `json:"target"`
}

// ServicePublished is a port of the host that leads to a port of a service.
type ServicePublished struct {
	Port     uint16      `json:"port"`
	Proto    model.Proto `json:"proto"`
	HostIP   netip.Addr  `json:"host_ip"`
	HostPort uint16      `json:"host_port"`
}

// BackendCount counts the backends of a service by their state.
type BackendCount struct {
	Active   int `json:"active"`
	Draining int `json:"draining"`
	Down     int `json:"down"`
	Total    int `json:"total"`
}

// BackendSummary is a backend as it is now.
type BackendSummary struct {
	// Sandbox and SandboxID are empty for an address outside.
	Sandbox   string     `json:"sandbox"`
	SandboxID string     `json:"sandbox_id"`
	IPv4      netip.Addr `json:"ipv4"`
	IPv6      netip.Addr `json:"ipv6"`
	// Port is 0 for the targets of the service's ports.
	Port   uint16             `json:"port"`
	Weight int                `json:"weight"`
	State  model.BackendState `json:"state"`
	// Reason says why the state isn't active, or, where connections are shown, that the backend is
	// passed over; else empty.
	Reason string `json:"reason"`
	// Connections is there where it was asked for.
	Connections *BackendConnections `json:"connections,omitempty"`
}

// ServiceInspect is a service in full.
type ServiceInspect struct {
	ServiceSummary
	// Spec is the service in the words of a create, with all defaults. Its labels are
	// the service's.
	Spec request.ServiceSpec `json:"spec"`
	// Drained are the backends that get no new flows because somebody said so: sandboxes
	// by ID, and addresses.
	Drained  []string         `json:"drained"`
	Backends []BackendSummary `json:"backends"`
}

func summarizeService(v request.ServiceView) ServiceSummary {
	s := ServiceSummary{
		ID: v.ID, Name: v.Name, Created: v.Created, EndpointMode: v.EndpointMode,
		Networks: []ServiceAddress{}, Ports: []ServicePort{}, Published: []ServicePublished{},
		BackendCount: countBackends(v.Backends), Labels: orEmpty(v.Labels),
		Warnings: append([]string{}, v.Warnings...), Owner: ownerOf(v.Owner),
	}
	for _, n := range v.Networks {
		s.Networks = append(s.Networks, ServiceAddress{Network: cmp.Or(n.Name, n.NetworkID), IPv4: n.IPv4, IPv6: n.IPv6})
	}
	for _, p := range v.Ports {
		s.Ports = append(s.Ports, ServicePort{Port: p.Port.Num, Proto: p.Port.Proto, Target: p.Target})
	}
	for _, p := range v.Published {
		s.Published = append(s.Published, ServicePublished{Port: p.Port.Num, Proto: p.Port.Proto, HostIP: p.HostIP, HostPort: p.HostPort})
	}
	s.Connections = connectionsOf(v.Counts)
	return s
}

func connectionsOf(c *request.ServiceCounts) *ServiceConnections {
	if c == nil {
		return nil
	}
	return &ServiceConnections{Opened: c.Opened, Open: c.Open, Refused: c.Refused, Strangers: c.Strangers, PassedOver: c.PassedOver}
}

func countBackends(all []request.ServiceBackendView) BackendCount {
	c := BackendCount{Total: len(all)}
	for _, b := range all {
		switch b.State {
		case model.BackendActive:
			c.Active++
		case model.BackendDraining:
			c.Draining++
		case model.BackendDown:
			c.Down++
		}
	}
	return c
}

func inspectService(v request.ServiceView) ServiceInspect {
	doc := ServiceInspect{
		ServiceSummary: summarizeService(v), Spec: specOf(v.Service),
		Drained: append([]string{}, v.Drained...), Backends: []BackendSummary{},
	}
	for _, b := range v.Backends {
		doc.Backends = append(doc.Backends, summarizeBackend(b, v.Counts))
	}
	return doc
}

// passedOver is the reason of a backend that is active and gets no new connections for now.
const passedOver = "passed over for some seconds: it refused clients"

// summarizeBackend has no connections where counts is nil.
func summarizeBackend(b request.ServiceBackendView, counts *request.ServiceCounts) BackendSummary {
	s := BackendSummary{
		Sandbox: b.Name, SandboxID: b.SandboxID, IPv4: b.IPv4, IPv6: b.IPv6,
		Port: b.Port, Weight: b.Weight, State: b.State, Reason: b.Reason,
	}
	if counts != nil {
		c := counts.Of(&b)
		s.Connections = &BackendConnections{Opened: c.Opened, Open: c.Open, PassedOver: c.PassedOver}
		if c.PassedOver {
			s.Reason = cmp.Or(s.Reason, passedOver)
		}
	}
	return s
}

// backendName is a sandbox's name, else the address.
func backendName(b request.ServiceBackendView) string {
	return cmp.Or(b.Name, text(b.IPv4), text(b.IPv6))
}
