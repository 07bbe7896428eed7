// SPDX-License-Identifier: Apache-2.0

package api

import (
	"math"
	"net/netip"
	"time"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// NetworkInspect is Docker's network document (GET /networks/{id} of API 1.52).
type NetworkInspect struct {
	Name       string
	ID         string `json:"Id"`
	Created    time.Time
	Scope      string
	Driver     model.Driver
	EnableIPv4 bool
	EnableIPv6 bool
	IPAM       IPAM
	Internal   bool
	Attachable bool
	Ingress    bool
	ConfigFrom ConfigFrom
	ConfigOnly bool
	Options    map[string]string
	Labels     map[string]string
	// Containers by sandbox ID, and endpoints without a sandbox here by "ep-" and their own, as in Docker.
	Containers map[string]EndpointResource
	Status     NetworkStatus
}

// IPAM is a network's addresses as they were given out.
type IPAM struct {
	Driver  string
	Options map[string]string
	Config  []IPAMPool
}

// IPAMPool is one subnet.
type IPAMPool struct {
	Subnet             string
	IPRange            string            `json:",omitempty"`
	Gateway            string            `json:",omitempty"`
	AuxiliaryAddresses map[string]string `json:",omitempty"`
}

// ConfigFrom names a configuration network; there are none here.
type ConfigFrom struct{ Network string }

// EndpointResource is one endpoint in Containers.
type EndpointResource struct {
	Name        string
	EndpointID  string
	MacAddress  string
	IPv4Address string
	IPv6Address string
}

// NetworkStatus tells how full the pools are, by subnet.
type NetworkStatus struct {
	IPAM struct{ Subnets map[string]SubnetStatus }
}

// SubnetStatus counts addresses; both stay at the largest uint64 where they
// would pass it.
type SubnetStatus struct {
	IPsInUse            uint64
	DynamicIPsAvailable uint64
}

func inspectNetwork(n request.NetworkView) NetworkInspect {
	doc := NetworkInspect{
		Name: n.Name, ID: n.ID, Created: n.Created, Scope: ScopeLocal, Driver: n.Driver,
		EnableIPv4: n.IPv4 != nil, EnableIPv6: n.IPv6 != nil, Internal: n.Internal,
		IPAM:    IPAM{Driver: "default", Options: map[string]string{}, Config: []IPAMPool{}},
		Options: orEmpty(n.Options), Labels: orEmpty(n.Labels),
		Containers: make(map[string]EndpointResource),
	}
	doc.Status.IPAM.Subnets = make(map[string]SubnetStatus)
	for _, s := range []*model.Subnet{n.IPv4, n.IPv6} {
		if s != nil {
			doc.IPAM.Config = append(doc.IPAM.Config, ipamPool(*s))
			doc.Status.IPAM.Subnets[s.Prefix.String()] = subnetStatus(*s, n.Endpoints)
		}
	}
	for _, e := range n.Endpoints {
		doc.Containers[containerKey(e)] = EndpointResource{
			Name: e.SandboxName, EndpointID: e.ID, MacAddress: e.MAC.String(),
			IPv4Address: prefixText(e.IPv4), IPv6Address: prefixText(e.IPv6),
		}
	}
	return doc
}

func containerKey(e request.NetworkEndpoint) string {
	if e.Host != "" {
		return "ep-" + e.ID
	}
	return e.SandboxID
}

func ipamPool(s model.Subnet) IPAMPool {
	p := IPAMPool{Subnet: s.Prefix.String(), IPRange: prefixText(s.Range), Gateway: text(s.Gateway)}
	for name, addr := range s.Aux {
		if p.AuxiliaryAddresses == nil {
			p.AuxiliaryAddresses = make(map[string]string)
		}
		p.AuxiliaryAddresses[name] = addr.String()
	}
	return p
}

// subnetStatus counts what is taken as Docker does: the network's own address,
// an IPv4 subnet's broadcast address, gateway, auxiliary addresses, endpoints.
func subnetStatus(s model.Subnet, endpoints []request.NetworkEndpoint) SubnetStatus {
	used := map[netip.Addr]bool{s.Prefix.Addr(): true}
	if s.Prefix.Addr().Is4() {
		used[lastAddr(s.Prefix)] = true
	}
	if s.Gateway.IsValid() {
		used[s.Gateway] = true
	}
	for _, a := range s.Aux {
		used[a] = true
	}
	for _, e := range endpoints {
		for _, p := range []netip.Prefix{e.IPv4, e.IPv6} {
			if s.Prefix.Contains(p.Addr()) {
				used[p.Addr()] = true
			}
		}
	}
	dynamic := s.Prefix
	if s.Range.IsValid() {
		dynamic = s.Range
	}
	free := size(dynamic)
	for a := range used {
		if dynamic.Contains(a) && free != math.MaxUint64 {
			free--
		}
	}
	return SubnetStatus{IPsInUse: uint64(len(used)), DynamicIPsAvailable: free}
}

func size(p netip.Prefix) uint64 {
	if host := p.Addr().BitLen() - p.Bits(); host < 64 {
		return 1 << host
	}
	return math.MaxUint64
}

// lastAddr is the highest address of an IPv4 prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	a := p.Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		a[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(a)
}

func prefixText(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}
