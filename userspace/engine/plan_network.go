// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/fairway-project/fairway/userspace/driver"
	"github.com/fairway-project/fairway/userspace/ipam"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
	"github.com/fairway-project/fairway/userspace/request"
)

// planNetwork turns a request into a network without subnets and the wish for
// them. It looks at nothing but the request.
func (e *Engine) planNetwork(req request.NetworkCreate) (*model.Network, ipam.NetworkRequest, error) {
	n := &model.Network{
		ID: newID(), Name: req.Name, Created: time.Now().UTC(),
		Internal: req.Internal, Options: maps.Clone(req.Options), Labels: maps.Clone(req.Labels),
	}
	want := ipam.NetworkRequest{ID: n.ID, Name: n.Name}
	d, err := e.Drivers.ForUsers(req.Driver)
	if err != nil {
		return nil, want, err
	}
	n.Driver = d.About().Name
	if _, ok := req.Options[model.OptDefaultBridge]; ok {
		return nil, want, fmt.Errorf("option %q: reserved for the predefined network", model.OptDefaultBridge)
	}
	var enable6 *bool
	if req.EnableIPv6 {
		enable6 = &req.EnableIPv6
	}
	w := driver.Wish{Network: n}
	if w.IPv4, w.IPv6, err = policy.Families(req.EnableIPv4, enable6, req.Options); err != nil {
		return nil, want, err
	}
	if err := d.Validate(&w); err != nil {
		return nil, want, err
	}
	want.IPv4, want.IPv6, err = planSubnets(req.IPAM, &w)
	return n, want, err
}

// planSubnets gives each family that is on its pool, at most one as in Docker.
func planSubnets(pools []request.IPAMConfig, w *driver.Wish) (sub4, sub6 *ipam.SubnetRequest, err error) {
	if w.IPv4 {
		sub4 = &ipam.SubnetRequest{NoGateway: w.NoGateway4}
	}
	if w.IPv6 {
		sub6 = &ipam.SubnetRequest{NoGateway: w.NoGateway6}
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
			return nil, nil, fmt.Errorf("%s: a network takes one %s subnet", poolText(p), family)
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
