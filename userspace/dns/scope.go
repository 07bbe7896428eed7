// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"net/netip"
	"strings"
)

// scope is what one sandbox can see of a registry.
type scope struct {
	*Config
	names *Registry
}

// hosts is the answer to a name: found without addresses means that the name
// exists in the scope and has none of that family.
type hosts struct {
	v4, v6 []netip.Addr
	found  bool
	// brief is set where the addresses change as backends of a service come and go.
	brief bool
}

func (h *hosts) add(a netip.Addr) {
	if a.Is4() {
		h.v4 = append(h.v4, a)
	} else {
		h.v6 = append(h.v6, a)
	}
}

// resolve looks name up, first as it is in all networks, then as name.network
// with every split that its dots allow, since both parts may hold dots. In each
// form a link goes before a name of the network, as in Docker.
func (s scope) resolve(name string) hosts {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if h := s.lookup(name, ""); h.found {
		return h
	}
	for i := strings.LastIndexByte(name, '.'); i > 0; i = strings.LastIndexByte(name[:i], '.') {
		if h := s.lookup(name[:i], name[i+1:]); h.found {
			return h
		}
	}
	return hosts{}
}

// lookup searches the networks called network, or all for "". The first network
// that has an address of a family settles that family.
func (s scope) lookup(name, network string) hosts {
	name = s.follow(name)
	var h hosts
	for _, n := range s.Networks {
		if network != "" && !strings.EqualFold(network, n.Name) {
			continue
		}
		on := s.names.byName(n.ID, name)
		h.found, h.brief = h.found || on.found, h.brief || on.brief
		if len(h.v4) == 0 {
			h.v4 = on.v4
		}
		if len(h.v6) == 0 {
			h.v6 = on.v6
		}
	}
	return h
}

// follow replaces a link's alias by the name it stands for.
func (s scope) follow(name string) string {
	for _, l := range s.Links {
		if strings.EqualFold(l.Alias, name) {
			return strings.ToLower(l.Name)
		}
	}
	return name
}

// reverse returns name.network of the endpoint with addr in one of the scope's networks.
func (s scope) reverse(addr netip.Addr) (string, bool) {
	for _, n := range s.Networks {
		if name, ok := s.names.byAddr(n.ID, addr); ok {
			return name + "." + n.Name, true
		}
	}
	return "", false
}
