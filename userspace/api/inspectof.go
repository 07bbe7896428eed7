// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

func inspectSandbox(v request.SandboxView) SandboxInspect {
	doc := SandboxInspect{
		ID: v.ID, Name: v.Name, Created: v.Created, Args: []string{},
		SandboxKey: v.Netns, Adopted: v.Adopted,
		State:      inspectState(v.State),
		HostConfig: hostConfig(v),
		Config:     Config{Hostname: v.Hostname, Cmd: v.Command, Labels: orEmpty(v.Labels)},
		NetworkSettings: NetworkSettings{
			SandboxID: v.ID, SandboxKey: v.Netns,
			Ports: portMap(v), Networks: endpointMap(v),
		},
	}
	if len(v.Command) > 0 {
		doc.Path, doc.Args = v.Command[0], v.Command[1:]
	}
	if v.Dir != "" {
		doc.ResolvConfPath = filepath.Join(v.Dir, "resolv.conf")
		doc.HostnamePath = filepath.Join(v.Dir, "hostname")
		doc.HostsPath = filepath.Join(v.Dir, "hosts")
		doc.LogPath = filepath.Join(v.Dir, logName)
	}
	for _, p := range v.Exposed {
		if doc.Config.ExposedPorts == nil {
			doc.Config.ExposedPorts = make(map[string]struct{})
		}
		doc.Config.ExposedPorts[p.String()] = struct{}{}
	}
	return doc
}

func inspectState(s model.State) InspectState {
	doc := InspectState{
		Status: s.Status, Running: s.Status == model.StatusRunning, Pid: s.Pid,
		Error: s.Error, StartedAt: s.StartedAt, FinishedAt: s.FinishedAt,
	}
	if s.ExitCode != nil {
		doc.ExitCode = *s.ExitCode
	}
	return doc
}

func hostConfig(v request.SandboxView) HostConfig {
	c := HostConfig{
		NetworkMode: networkMode(v), PortBindings: make(map[string][]HostBinding),
		AutoRemove: v.AutoRemove, DNS: texts(v.DNS),
		DNSOptions: append([]string{}, v.DNSOptions...),
		DNSSearch:  append([]string{}, v.DNSSearch...),
		ExtraHosts: []string{}, Links: []string{}, PublishAllPorts: v.PublishAll,
	}
	for _, s := range v.Specs {
		key := s.Port.String()
		c.PortBindings[key] = append(c.PortBindings[key], requested(s))
	}
	for _, h := range v.ExtraHosts {
		c.ExtraHosts = append(c.ExtraHosts, h.Name+":"+h.Addr.String())
	}
	for _, l := range v.Links {
		c.Links = append(c.Links, l.Sandbox+":"+l.Alias)
	}
	return c
}

func requested(s model.PortSpec) HostBinding {
	b := HostBinding{HostIP: text(s.HostIP)}
	switch {
	case s.HostPort == 0:
	case s.HostPort == s.HostPortEnd:
		b.HostPort = strconv.Itoa(int(s.HostPort))
	default:
		b.HostPort = fmt.Sprintf("%d-%d", s.HostPort, s.HostPortEnd)
	}
	return b
}

func networkMode(v request.SandboxView) string {
	switch {
	case v.Mode == model.ModeHost:
		return model.NetworkHost
	case v.Mode == model.ModeContainer:
		return request.ContainerPrefix + v.SharedWith
	case len(v.Endpoints) == 0 && len(v.Former) > 0:
		return v.Former[0].Network
	case len(v.Endpoints) == 0:
		return model.NetworkNone
	}
	return v.Endpoints[0].NetworkName
}

func portMap(v request.SandboxView) map[string][]HostBinding {
	ports := make(map[string][]HostBinding)
	for _, b := range bindings(v) {
		key := model.Port{Num: b.ContainerPort, Proto: b.Proto}.String()
		if b.HostPort == 0 {
			ports[key] = nil
			continue
		}
		ports[key] = append(ports[key], HostBinding{
			HostIP: b.HostIP.String(), HostPort: strconv.Itoa(int(b.HostPort)),
		})
	}
	for _, list := range ports {
		slices.SortFunc(list, func(a, b HostBinding) int {
			return cmp.Or(cmp.Compare(len(a.HostPort), len(b.HostPort)), cmp.Compare(a.HostPort, b.HostPort))
		})
	}
	return ports
}

func endpointMap(v request.SandboxView) map[string]EndpointInspect {
	networks := make(map[string]EndpointInspect)
	if mode := networkMode(v); len(v.Endpoints)+len(v.Former) == 0 && v.Mode != model.ModeContainer {
		networks[mode] = EndpointInspect{}
	}
	for _, f := range v.Former {
		networks[f.Network] = inspectFormer(f)
	}
	for _, e := range v.Endpoints {
		networks[e.NetworkName] = inspectEndpoint(e)
	}
	return networks
}

func inspectEndpoint(e request.SandboxEndpoint) EndpointInspect {
	doc := EndpointInspect{
		Aliases: e.Aliases, GwPriority: e.GwPriority, DNSNames: e.DNSNames,
		NetworkID: e.NetworkID, EndpointID: e.ID, MacAddress: e.MAC.String(),
		Gateway: text(e.Gateway4), IPAddress: text(e.IPv4.Addr()),
		IPv6Gateway: text(e.Gateway6), GlobalIPv6Address: text(e.IPv6.Addr()),
		IPPrefixLen: max(e.IPv4.Bits(), 0), GlobalIPv6PrefixLen: max(e.IPv6.Bits(), 0),
	}
	if e.Requested4 || e.Requested6 {
		doc.IPAMConfig = &EndpointIPAM{}
	}
	if e.Requested4 {
		doc.IPAMConfig.IPv4Address = doc.IPAddress
	}
	if e.Requested6 {
		doc.IPAMConfig.IPv6Address = doc.GlobalIPv6Address
	}
	return doc
}

// inspectFormer is what is left of an endpoint: its network and what was asked for.
func inspectFormer(f model.FormerEndpoint) EndpointInspect {
	doc := EndpointInspect{NetworkID: f.NetworkID, Aliases: f.Aliases, GwPriority: f.GwPriority}
	if f.IPv4.IsValid() || f.IPv6.IsValid() {
		doc.IPAMConfig = &EndpointIPAM{IPv4Address: text(f.IPv4), IPv6Address: text(f.IPv6)}
	}
	return doc
}

// text is addr in words, empty for the zero Addr.
func text(addr netip.Addr) string {
	if !addr.IsValid() {
		return ""
	}
	return addr.String()
}

func texts(addrs []netip.Addr) []string {
	list := []string{}
	for _, a := range addrs {
		list = append(list, a.String())
	}
	return list
}
