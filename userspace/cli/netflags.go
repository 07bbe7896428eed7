// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/csv"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// sandboxFlags are what run and sandbox add have in common.
type sandboxFlags struct {
	config request.SandboxConfig
	// first holds the flags that belong to the first network.
	first request.EndpointSettings
}

func (s *sandboxFlags) define(f *pflag.FlagSet) {
	c := &s.config
	many(f, &c.Networks, "network", "", "NETWORK",
		"network, host, none or container:NAME; again for more, or name=NETWORK,ip=...,alias=...,gw-priority=...", parseNetwork)
	many(f, &c.Networks, "net", "", "NETWORK", "the same as --network", parseNetwork)
	one(f, &s.first.IPv4, "ip", "ADDRESS", "IPv4 address on the first network", parseIPv4)
	one(f, &s.first.IPv6, "ip6", "ADDRESS", "IPv6 address on the first network", parseIPv6)
	one(f, &s.first.MAC, "mac-address", "MAC", "MAC address on the first network", parseMAC)
	words(f, &s.first.Aliases, "alias", "", "NAME", "another name on the first network")
	words(f, &s.first.Aliases, "network-alias", "", "NAME", "the same as --alias")
	f.IntVar(&s.first.GwPriority, "gw-priority", 0, "the network with the highest has the default route")
	f.StringVar(&c.Hostname, "hostname", "", "host name")
	many(f, &c.ExtraHosts, "add-host", "", "NAME:ADDRESS", "line in /etc/hosts; the address host-gateway is the host", parseExtraHost)
	many(f, &c.DNS, "dns", "", "ADDRESS", "DNS server", parseAddr)
	words(f, &c.DNSSearch, "dns-search", "", "DOMAIN", "DNS search domain")
	words(f, &c.DNSOptions, "dns-option", "", "OPTION", "resolv.conf option")
	words(f, &c.DNSOptions, "dns-opt", "", "OPTION", "the same as --dns-option")
	many(f, &c.Links, "link", "", "NAME[:ALIAS]", "another sandbox to know under a name", parseLink)
	words(f, &c.Expose, "expose", "", "PORT", "port or range that links and -P use")
	words(f, &c.Publish, "publish", "p", "[[IP:]HOSTPORT:]PORT", "publish a port or range on the host")
	f.BoolVarP(&c.PublishAll, "publish-all", "P", false, "publish all exposed ports on free ports")
	pairs(f, &c.Labels, "label", "l", "label")
}

// result puts the flags of the first network where they belong and checks what
// the daemon would refuse.
func (s *sandboxFlags) result() (request.SandboxConfig, error) {
	c := s.config
	if len(c.Networks) == 0 {
		c.Networks = []request.EndpointSettings{{Network: model.NetworkBridge}}
	}
	first := &c.Networks[0]
	for _, conflict := range []struct {
		flag        string
		given, also bool
	}{
		{"ip", s.first.IPv4.IsValid(), first.IPv4.IsValid()},
		{"ip6", s.first.IPv6.IsValid(), first.IPv6.IsValid()},
		{"mac-address", s.first.MAC != model.MAC{}, first.MAC != model.MAC{}},
		{"gw-priority", s.first.GwPriority != 0, first.GwPriority != 0},
	} {
		if conflict.given && conflict.also {
			return c, request.Errorf(request.ErrInvalid, "--%s: given for network %q in --network too", conflict.flag, first.Network)
		}
	}
	if s.first.IPv4.IsValid() {
		first.IPv4 = s.first.IPv4
	}
	if s.first.IPv6.IsValid() {
		first.IPv6 = s.first.IPv6
	}
	if s.first.MAC != (model.MAC{}) {
		first.MAC = s.first.MAC
	}
	if s.first.GwPriority != 0 {
		first.GwPriority = s.first.GwPriority
	}
	first.Aliases = append(first.Aliases, s.first.Aliases...)
	return c, c.Validate()
}

// parseNetwork reads a name or Docker's long form.
func parseNetwork(s string) (request.EndpointSettings, error) {
	if !strings.Contains(s, "=") {
		if s == "" {
			return request.EndpointSettings{}, errors.New("want a network")
		}
		return request.EndpointSettings{Network: s}, nil
	}
	fields, err := csv.NewReader(strings.NewReader(s)).Read()
	if err != nil {
		return request.EndpointSettings{}, err
	}
	var e request.EndpointSettings
	for _, field := range fields {
		key, val, ok := strings.Cut(field, "=")
		if !ok {
			return e, fmt.Errorf("%q: want KEY=VALUE", field)
		}
		if err := setNetworkField(&e, strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(val)); err != nil {
			return e, fmt.Errorf("%s: %w", field, err)
		}
	}
	if e.Network == "" {
		return e, errors.New("name=NETWORK is missing")
	}
	return e, nil
}

func setNetworkField(e *request.EndpointSettings, key, val string) (err error) {
	switch key {
	case "name":
		e.Network = val
	case "ip":
		e.IPv4, err = parseIPv4(val)
	case "ip6":
		e.IPv6, err = parseIPv6(val)
	case "mac-address":
		e.MAC, err = parseMAC(val)
	case "alias":
		e.Aliases = append(e.Aliases, val)
	case "gw-priority":
		if e.GwPriority, err = strconv.Atoi(val); err != nil {
			err = errors.New("want a whole number")
		}
	default:
		err = errors.New("unknown key; want name, ip, ip6, mac-address, alias or gw-priority")
	}
	return err
}

// parseExtraHost reads NAME:ADDRESS or NAME=ADDRESS.
func parseExtraHost(s string) (request.ExtraHost, error) {
	name, addr, ok := strings.Cut(s, "=")
	if !ok {
		name, addr, ok = strings.Cut(s, ":")
	}
	if in, bracketed := strings.CutPrefix(addr, "["); bracketed {
		addr = strings.TrimSuffix(in, "]")
	}
	_, err := netip.ParseAddr(addr)
	if !ok || name == "" || err != nil && addr != request.HostGateway {
		return request.ExtraHost{}, errors.New("want NAME:ADDRESS, or NAME:host-gateway for the host")
	}
	return request.ExtraHost{Name: name, Address: addr}, nil
}

// parseLink reads NAME[:ALIAS].
func parseLink(s string) (model.Link, error) {
	name, alias, ok := strings.Cut(s, ":")
	if !ok {
		alias = name
	}
	if name == "" || alias == "" {
		return model.Link{}, errors.New("want NAME or NAME:ALIAS")
	}
	return model.Link{Sandbox: name, Alias: alias}, nil
}
