// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/fairway-project/fairway/userspace/ipam"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
	"github.com/fairway-project/fairway/userspace/request"
)

// planNetwork turns a request into a network without subnets and the wish for
// them. It looks at nothing but the request.
func planNetwork(req request.NetworkCreate) (*model.Network, ipam.NetworkRequest, error) {
	n := &model.Network{
		ID: newID(), Name: req.Name, Driver: model.DriverBridge, Created: time.Now().UTC(),
		Internal: req.Internal, Options: maps.Clone(req.Options), Labels: maps.Clone(req.Labels),
	}
	want := ipam.NetworkRequest{ID: n.ID, Name: n.Name}
	if err := checkDriver(req.Driver); err != nil {
		return nil, want, err
	}
	if _, ok := req.Options[model.OptDefaultBridge]; ok {
		return nil, want, fmt.Errorf("option %q: reserved for the predefined network", model.OptDefaultBridge)
	}
	var enable6 *bool
	if req.EnableIPv6 {
		enable6 = &req.EnableIPv6
	}
	v4, v6, err := policy.Families(req.EnableIPv4, enable6, req.Options)
	if err != nil {
		return nil, want, err
	}
	if n.Bridge, err = policy.ParseBridge(n.ID, req.Options); err != nil {
		return nil, want, err
	}
	if err := policy.CheckBridge(n.Bridge, n.Internal, v4, v6); err != nil {
		return nil, want, err
	}
	want.IPv4, want.IPv6, err = planSubnets(req.IPAM, n.Bridge, v4, v6)
	return n, want, err
}

func checkDriver(d model.Driver) error {
	switch d {
	case "", model.DriverBridge:
		return nil
	case model.DriverHost, model.DriverNull:
		return fmt.Errorf("driver %q: only one instance of this network is allowed", d)
	}
	return fmt.Errorf("driver %q: unknown; want bridge", d)
}

// planSubnets gives each family that is on its pool, at most one as in Docker.
func planSubnets(pools []request.IPAMConfig, b model.Bridge, v4, v6 bool) (sub4, sub6 *ipam.SubnetRequest, err error) {
	if v4 {
		sub4 = &ipam.SubnetRequest{NoGateway: b.GatewayMode4 == model.GatewayIsolated}
	}
	if v6 {
		sub6 = &ipam.SubnetRequest{NoGateway: b.GatewayMode6 == model.GatewayIsolated}
	}
	seen := map[bool]bool{}
	for _, p := range pools {
		is6 := poolIsIPv6(p)
		sub, family := sub4, "IPv4"
		if is6 {
			sub, family = sub6, "IPv6"
		}
		if sub == nil {
			return nil, nil, fmt.Errorf("%s: %s is not enabled on this network", poolText(p), family)
		}
		if seen[is6] {
			return nil, nil, fmt.Errorf("%s: the bridge driver takes one %s subnet", poolText(p), family)
		}
		seen[is6] = true
		sub.Prefix, sub.Range, sub.Gateway, sub.Aux = p.Subnet, p.IPRange, p.Gateway, p.AuxAddresses
	}
	return sub4, sub6, nil
}

func poolIsIPv6(p request.IPAMConfig) bool {
	switch {
	case p.Subnet.IsValid():
		return p.Subnet.Addr().Is6()
	case p.IPRange.IsValid():
		return p.IPRange.Addr().Is6()
	case p.Gateway.IsValid():
		return p.Gateway.Is6()
	}
	for _, a := range p.AuxAddresses {
		return a.Is6()
	}
	return false
}

// poolText names a pool in errors by what was given of it.
func poolText(p request.IPAMConfig) string {
	switch {
	case p.Subnet.IsValid():
		return "subnet " + p.Subnet.String()
	case p.IPRange.IsValid():
		return "ip-range " + p.IPRange.String()
	case p.Gateway.IsValid():
		return "gateway " + p.Gateway.String()
	}
	return "aux-address of " + strconv.Itoa(len(p.AuxAddresses)) + " entries"
}

// defaultNetwork is the predefined network bridge, as made at the first start.
func defaultNetwork() (*model.Network, ipam.NetworkRequest) {
	id := newID()
	n := &model.Network{
		ID: id, Name: model.NetworkBridge, Driver: model.DriverBridge, Created: time.Now().UTC(),
		Options: map[string]string{
			model.OptDefaultBridge: "true", model.OptBridgeName: DefaultBridge, model.OptICC: "true", model.OptMasquerade: "true",
			model.OptHostBinding: "0.0.0.0", model.OptMTU: strconv.Itoa(policy.DefaultMTU),
		},
		Bridge: policy.DefaultBridge(DefaultBridge),
	}
	return n, ipam.NetworkRequest{ID: id, Name: n.Name, Default: true, IPv4: new(ipam.SubnetRequest)}
}

// predefined makes the networks host and none, which have no device.
func predefined(name string, d model.Driver) *model.Network {
	return &model.Network{ID: newID(), Name: name, Driver: d, Created: time.Now().UTC()}
}
