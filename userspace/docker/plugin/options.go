// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fairway-project/fairway/userspace/docker/client"
	"github.com/fairway-project/fairway/userspace/docker/facts"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
)

// auxGateway4 and auxGateway6 are the names of addresses that containers use as
// their gateways instead of the bridge's (--aux-address).
const (
	auxGateway4 = "DefaultGatewayIPv4"
	auxGateway6 = "DefaultGatewayIPv6"
)

// planNetwork turns a request into a network. Docker tells no driver the name of
// a network: its short ID stands for it.
func planNetwork(r createNetwork) (*network, error) {
	if err := checkID("network", r.NetworkID); err != nil {
		return nil, err
	}
	c := client.Network{
		ID: r.NetworkID, Name: shortID(r.NetworkID), Internal: r.Options.Internal, Options: r.Options.Generic,
		EnableIPv6: len(r.IPv6Data) > 0,
	}
	if len(r.IPv4Data) > 1 || len(r.IPv6Data) > 1 || len(r.IPv4Data)+len(r.IPv6Data) == 0 {
		return nil, fmt.Errorf("%w: network %s: %d IPv4 and %d IPv6 subnets, want at most one of each, and one at least",
			errRequest, c.Name, len(r.IPv4Data), len(r.IPv6Data))
	}
	for _, p := range slices.Concat(r.IPv4Data, r.IPv6Data) {
		c.IPAM.Config = append(c.IPAM.Config, client.Pool{Subnet: p.Pool, Gateway: p.Gateway})
	}
	b, err := policy.ParseBridge(c.ID, c.Options)
	if err != nil {
		return nil, fmt.Errorf("%w: network %s: %w", errRequest, c.Name, err)
	}
	f, err := facts.BridgeNetwork(c, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRequest, err)
	}
	n := &network{Network: f.Network}
	n.Bridge, n.Created = b, time.Now().UTC()
	if err := n.takePools(r); err != nil {
		return nil, fmt.Errorf("%w: network %s: %w", errRequest, n.Name, err)
	}
	if err := policy.CheckBridge(b, n.Internal, n.IPv4 != nil, n.IPv6 != nil); err != nil {
		return nil, fmt.Errorf("%w: network %s: %w", errRequest, n.Name, err)
	}
	return n, nil
}

// takePools checks what the IPAM gave, and keeps the gateways of containers.
func (n *network) takePools(r createNetwork) error {
	for _, f := range []struct {
		pools  []pool
		subnet *model.Subnet
		aux    string
		is4    bool
	}{{r.IPv4Data, n.IPv4, auxGateway4, true}, {r.IPv6Data, n.IPv6, auxGateway6, false}} {
		if len(f.pools) == 0 {
			continue
		}
		s := f.subnet
		if s == nil || s.Prefix.Addr().Is4() != f.is4 || s.Prefix.Bits() == 0 {
			return fmt.Errorf("subnet %q: not one to share out", f.pools[0].Pool)
		}
		if s.Gateway.IsValid() && !s.Prefix.Contains(s.Gateway) {
			return fmt.Errorf("gateway %s: not in subnet %s", s.Gateway, s.Prefix)
		}
		text, ok := f.pools[0].AuxAddresses[f.aux]
		if !ok {
			continue
		}
		a, err := parseAddress(text)
		if err != nil || !s.Prefix.Contains(a.Addr()) {
			return fmt.Errorf("aux-address %s=%s: want an address in subnet %s", f.aux, text, s.Prefix)
		}
		s.Aux = map[string]netip.Addr{f.aux: a.Addr()}
	}
	return nil
}

// parseAddress reads an address, with or without the subnet's prefix length.
func parseAddress(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		return netip.PrefixFrom(a, a.BitLen()), err
	}
	return netip.ParsePrefix(s)
}

// idLength is the number of hex digits in Docker's IDs.
const idLength = 64

// checkID refuses what isn't one of Docker's IDs: names of devices are made of them.
func checkID(what, id string) error {
	if len(id) != idLength || strings.Trim(id, "0123456789abcdef") != "" {
		return fmt.Errorf("%w: %s id %q: want %d hex digits", errRequest, what, id, idLength)
	}
	return nil
}

func shortID(id string) string { return id[:min(12, len(id))] }
