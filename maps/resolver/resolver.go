// SPDX-License-Identifier: Apache-2.0

// Package resolver accesses the map of embedded DNS servers, by the cookie of
// the network namespace (SO_NETNS_COOKIE) that they listen in.
package resolver

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/table"
	"github.com/fairway-project/fairway/maps/wire"
)

// Ports of 127.0.0.11 that a resolver listens on.
type Ports struct{ UDP, TCP uint16 }

// Table is the map.
type Table struct{ m *ebpf.Map }

// New returns the table in these maps, which stay the caller's.
func New(m *object.DatapathMaps) *Table { return &Table{m: m.Resolvers} }

// Put adds or replaces the resolver of a namespace.
func (t *Table) Put(cookie uint64, p Ports) error {
	v := object.DatapathResolver{UdpPort: wire.Port(p.UDP), TcpPort: wire.Port(p.TCP)}
	if err := t.m.Put(cookie, &v); err != nil {
		return fmt.Errorf("resolver of namespace %d: %w", cookie, err)
	}
	return nil
}

// Delete removes a resolver; one that is gone is not an error.
func (t *Table) Delete(cookie uint64) error {
	return table.Delete(t.m, cookie, "resolver of namespace %d", cookie)
}

// All returns the resolvers by cookie.
func (t *Table) All() (map[uint64]Ports, error) {
	return table.All(t.m, "resolvers", table.Same[uint64], fromValue)
}

func fromValue(v *object.DatapathResolver) Ports {
	return Ports{UDP: wire.Port(v.UdpPort), TCP: wire.Port(v.TcpPort)}
}
