// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/userspace/model"
)

// group is what has to get one and the same host port.
type group struct {
	port    model.Port
	choice  portRange
	targets []target
}

// target is one host address of the spec with that index.
type target struct {
	spec int
	ip   netip.Addr
	// optional targets are left out where the kernel lacks the family.
	optional bool
}

func (g *group) exact() bool { return !g.choice.any() && g.choice.len() == 1 }

func (g *group) has(ip netip.Addr) bool {
	return slices.ContainsFunc(g.targets, func(t target) bool { return t.ip == ip })
}

// reservations makes one per target, without sockets.
func (g *group) reservations(owner string, port uint16) []*reservation {
	list := make([]*reservation, 0, len(g.targets))
	for _, t := range g.targets {
		pub := model.PublishedPort{Port: g.port, HostIP: t.ip, HostPort: port}
		list = append(list, &reservation{PublishedPort: pub, owner: owner})
	}
	return list
}

// rank is Docker's order: exact ports, ranges, ephemeral ports.
func (g *group) rank() int {
	switch {
	case g.exact():
		return 0
	case !g.choice.any():
		return 1
	}
	return 2
}

// groupSpecs joins the specs that differ in their host address only.
func groupSpecs(specs []model.PortSpec, fam Families, def netip.Addr) []*group {
	type key struct {
		port   model.Port
		choice portRange
	}
	var groups []*group
	last := make(map[key]*group, len(specs))
	for i, spec := range specs {
		targets := targetsOf(i, spec, fam, def)
		if len(targets) == 0 {
			continue
		}
		k := key{spec.Port, portRange{int(spec.HostPort), int(spec.HostPortEnd)}}
		g := last[k]
		if g == nil || slices.ContainsFunc(targets, func(t target) bool { return g.has(t.ip) }) {
			g = &group{port: k.port, choice: k.choice}
			last[k] = g
			groups = append(groups, g)
		}
		g.targets = append(g.targets, targets...)
	}
	slices.SortStableFunc(groups, func(x, y *group) int { return cmp.Compare(x.rank(), y.rank()) })
	return groups
}

func targetsOf(i int, spec model.PortSpec, fam Families, def netip.Addr) []target {
	ip := spec.HostIP
	if !ip.IsValid() {
		ip = def
	}
	if spec.HostIP.IsValid() || def.IsValid() && def != netip.IPv4Unspecified() {
		return []target{{spec: i, ip: ip.Unmap()}}
	}
	var both []target
	if fam.IPv4 {
		both = append(both, target{spec: i, ip: netip.IPv4Unspecified()})
	}
	if fam.IPv6 {
		both = append(both, target{spec: i, ip: netip.IPv6Unspecified(), optional: true})
	}
	return both
}
