// SPDX-License-Identifier: Apache-2.0

package request

import (
	"slices"
	"strings"

	"github.com/fairway-project/fairway/userspace/model"
)

// ContainerPrefix begins the network of a sandbox that shares the namespace of another.
const ContainerPrefix = "container:"

// NetworkMode tells where the sandbox gets its namespace from: in
// ModeContainer from the sandbox shared, in ModeNetworks with one endpoint per
// entry of the result, none for network "none". The default network is filled
// in. What Docker refuses to combine is ErrInvalid.
func (c *SandboxConfig) NetworkMode() (mode model.NetworkMode, shared string, endpoints []EndpointSettings, err error) {
	if len(c.Networks) == 0 {
		return model.ModeNetworks, "", []EndpointSettings{{Network: model.NetworkBridge}}, nil
	}
	i := slices.IndexFunc(c.Networks, func(e EndpointSettings) bool { return exclusive(e.Network) })
	if i < 0 {
		return model.ModeNetworks, "", c.Networks, distinct(c.Networks)
	}
	only := c.Networks[i]
	if len(c.Networks) > 1 {
		return "", "", nil, Errorf(ErrInvalid, "network %q: cannot be combined with other networks", only.Network)
	}
	if only.IPv4.IsValid() || only.IPv6.IsValid() || only.MAC != (model.MAC{}) || len(only.Aliases) > 0 {
		return "", "", nil, Errorf(ErrInvalid, "network %q: takes no address, MAC address or alias", only.Network)
	}
	if name, ok := strings.CutPrefix(only.Network, ContainerPrefix); ok {
		if name == "" {
			return "", "", nil, Errorf(ErrInvalid, "network %q: want container:NAME", only.Network)
		}
		return model.ModeContainer, name, nil, c.sharedConflicts(only.Network)
	}
	if only.Network == model.NetworkHost {
		return model.ModeHost, "", nil, nil
	}
	return model.ModeNetworks, "", nil, nil
}

func exclusive(network string) bool {
	return network == model.NetworkHost || network == model.NetworkNone || strings.HasPrefix(network, ContainerPrefix)
}

// sharedConflicts refuses what belongs to the owner of a shared namespace, as
// Docker does.
func (c *SandboxConfig) sharedConflicts(network string) error {
	for _, f := range []struct {
		given bool
		flag  string
	}{
		{c.Hostname != "", "a hostname"},
		{len(c.DNS)+len(c.DNSSearch)+len(c.DNSOptions) > 0, "DNS settings"},
		{len(c.ExtraHosts) > 0, "extra hosts"},
		{len(c.Links) > 0, "links"},
		{len(c.Publish) > 0 || c.PublishAll, "published ports"},
		{len(c.Expose) > 0, "exposed ports"},
	} {
		if f.given {
			return Errorf(ErrInvalid, "network %q: %s cannot be set, the namespace is another sandbox's", network, f.flag)
		}
	}
	return nil
}

func distinct(endpoints []EndpointSettings) error {
	for i, e := range endpoints {
		if e.Network == "" {
			return Errorf(ErrInvalid, "networks[%d]: network is missing", i)
		}
		for _, f := range endpoints[:i] {
			if f.Network == e.Network {
				return Errorf(ErrInvalid, "network %q: given twice", e.Network)
			}
		}
	}
	return nil
}
