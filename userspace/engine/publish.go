// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"math"
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
)

// publication is one port specification with the host addresses that it is
// published on now. All of them get the same host port, as in Docker.
type publication struct {
	spec    model.PortSpec
	hostIPs []netip.Addr
}

// choice is the number of host ports to choose from.
func (p publication) choice() int {
	if p.spec.HostPort == 0 {
		return math.MaxUint16
	}
	return int(p.spec.HostPortEnd) - int(p.spec.HostPort) + 1
}

// publications says where the ports of sb are to be published when g carries
// its default routes. listen6 tells whether the host can listen on IPv6.
func publications(sb *model.Sandbox, g policy.Gateways, listen6 bool) []publication {
	var out []publication
	for _, spec := range wantedSpecs(sb) {
		if ips := policy.HostAddresses(spec, g, listen6); len(ips) > 0 {
			out = append(out, publication{spec, ips})
		}
	}
	return out
}

// wantedSpecs returns the -p specifications, and with -P one for any host port
// for each exposed port that has none.
func wantedSpecs(sb *model.Sandbox) []model.PortSpec {
	specs := slices.Clone(sb.Specs)
	if !sb.PublishAll {
		return specs
	}
	// A range of exposed ports may have all that there are.
	has := make(map[model.Port]bool, len(specs))
	for _, s := range specs {
		has[s.Port] = true
	}
	for _, p := range sb.Exposed {
		if !has[p] {
			has[p] = true
			specs = append(specs, model.PortSpec{Port: p})
		}
	}
	return specs
}

// derivePorts turns the publications in force and the routed ones into what
// the datapath is to do, by endpoint ID. Every endpoint has an entry.
func derivePorts(sb *model.Sandbox, all []attachment) map[string][]datapath.Port {
	g, openings := elect(all), policy.Openings(wantedSpecs(sb))
	out := make(map[string][]datapath.Port, len(all))
	for _, a := range all {
		out[a.ep.ID] = policy.Routed(a.net, a.ep.IPv4.Addr(), a.ep.IPv6.Addr(), openings)
	}
	for _, p := range sb.Published {
		id, port := policy.Carrier(p, g)
		if id != "" {
			out[id] = append(out[id], port)
		}
	}
	return out
}

// keep splits the publications in force into those that pubs still asks for and
// those to give up, and adds to each publication the host port it had, so that
// a change of the gateway doesn't renumber ports (moby#44137).
func keep(published []model.PublishedPort, pubs []publication) (kept, released []model.PublishedPort, missing []publication) {
	// By container port: a sandbox may have thousands.
	left := make(map[model.Port][]model.PublishedPort)
	for _, p := range published {
		left[p.Port] = append(left[p.Port], p)
	}
	// Those with the least choice first, so that none takes another's number.
	ordered := slices.SortedStableFunc(slices.Values(pubs), func(a, b publication) int { return cmp.Compare(a.choice(), b.choice()) })
	for _, pub := range ordered {
		var held []model.PublishedPort
		held, left[pub.spec.Port] = takeHeld(left[pub.spec.Port], pub)
		if len(held) == 0 {
			missing = append(missing, pub)
			continue
		}
		kept = append(kept, held...)
		rest := publication{spec: pub.spec}
		rest.spec.HostPort, rest.spec.HostPortEnd = held[0].HostPort, held[0].HostPort
		for _, ip := range pub.hostIPs {
			if !slices.ContainsFunc(held, func(p model.PublishedPort) bool { return p.HostIP == ip }) {
				rest.hostIPs = append(rest.hostIPs, ip)
			}
		}
		if len(rest.hostIPs) > 0 {
			missing = append(missing, rest)
		}
	}
	for _, p := range left {
		released = append(released, p...)
	}
	return kept, released, missing
}

// takeHeld splits the publications of one container port into those that serve
// pub, all with one host port, and the rest.
func takeHeld(all []model.PublishedPort, pub publication) (held, rest []model.PublishedPort) {
	for _, p := range all {
		if !serves(p, pub) || (len(held) > 0 && (held[0].HostPort != p.HostPort || hasIP(held, p.HostIP))) {
			rest = append(rest, p)
			continue
		}
		held = append(held, p)
	}
	return held, rest
}

func serves(p model.PublishedPort, pub publication) bool {
	if p.Port != pub.spec.Port || !slices.Contains(pub.hostIPs, p.HostIP) {
		return false
	}
	return pub.spec.HostPort == 0 || (p.HostPort >= pub.spec.HostPort && p.HostPort <= pub.spec.HostPortEnd)
}

func hasIP(held []model.PublishedPort, ip netip.Addr) bool {
	return slices.ContainsFunc(held, func(p model.PublishedPort) bool { return p.HostIP == ip })
}

// explicitSpecs writes publications as one specification per host address;
// package ports gives those that differ in it only the same host port.
func explicitSpecs(pubs []publication) []model.PortSpec {
	var out []model.PortSpec
	for _, pub := range pubs {
		for _, ip := range pub.hostIPs {
			spec := pub.spec
			spec.HostIP = ip
			out = append(out, spec)
		}
	}
	return out
}
