// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"net/netip"

	"github.com/fairway-project/fairway/userspace/request"
)

// poolFlags are the address flags of network create as they were given.
type poolFlags struct {
	subnets, ranges []netip.Prefix
	gateways        []netip.Addr
	aux             []namedAddr
}

// config matches ranges, gateways and auxiliary addresses with the subnet that
// contains them, as Docker does. Without a subnet of a family they make an
// entry of their own, which the daemon refuses or fills in.
func (p poolFlags) config() ([]request.IPAMConfig, error) {
	var pools []request.IPAMConfig
	for _, s := range p.subnets {
		for _, other := range pools {
			if other.Subnet.Overlaps(s) {
				return nil, request.Errorf(request.ErrInvalid, "subnet %s: overlaps subnet %s", s, other.Subnet)
			}
		}
		pools = append(pools, request.IPAMConfig{Subnet: s})
	}
	for _, r := range p.ranges {
		pool, err := poolOf(&pools, r.Addr(), "ip-range", r)
		if err != nil {
			return nil, err
		}
		if pool.IPRange.IsValid() {
			return nil, request.Errorf(request.ErrInvalid, "ip-range %s: subnet %s has one already, %s", r, pool.Subnet, pool.IPRange)
		}
		pool.IPRange = r
	}
	for _, g := range p.gateways {
		pool, err := poolOf(&pools, g, "gateway", g)
		if err != nil {
			return nil, err
		}
		if pool.Gateway.IsValid() {
			return nil, request.Errorf(request.ErrInvalid, "gateway %s: subnet %s has one already, %s", g, pool.Subnet, pool.Gateway)
		}
		pool.Gateway = g
	}
	return pools, p.addAux(&pools)
}

func (p poolFlags) addAux(pools *[]request.IPAMConfig) error {
	for _, a := range p.aux {
		pool, err := poolOf(pools, a.addr, "aux-address", a.name+"="+a.addr.String())
		if err != nil {
			return err
		}
		if pool.AuxAddresses == nil {
			pool.AuxAddresses = make(map[string]netip.Addr)
		}
		pool.AuxAddresses[a.name] = a.addr
	}
	return nil
}

// poolOf returns the pool with addr. Where no subnet of the family was given it
// is the family's only pool, made if need be.
func poolOf(pools *[]request.IPAMConfig, addr netip.Addr, flag string, given any) (*request.IPAMConfig, error) {
	sameFamily := false
	for i := range *pools {
		pool := &(*pools)[i]
		if pool.Subnet.IsValid() && pool.Subnet.Contains(addr) {
			return pool, nil
		}
		sameFamily = sameFamily || pool.Subnet.IsValid() && pool.Subnet.Addr().Is4() == addr.Is4()
	}
	if sameFamily {
		return nil, request.Errorf(request.ErrInvalid, "%s %v: in none of the subnets given", flag, given)
	}
	return nil, request.Errorf(request.ErrInvalid, "%s %v: needs the --subnet that it is in", flag, given)
}
