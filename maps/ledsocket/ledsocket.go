// SPDX-License-Identifier: Apache-2.0

// Package ledsocket reads what programs keep of sockets that they have led to an endpoint in the
// place of what it asked for. Of TCP it lies with the socket and goes with it; whoever lists
// sockets is given it (package sockdiag). Of the host's UDP sockets it is in a map by the
// socket's cookie, which forgets what was used longest ago.
package ledsocket

import (
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/wire"
)

// Led is what is kept with a socket.
type Led struct {
	// Origin is what it asked for, Target what it was connected to.
	Origin, Target netip.AddrPort
	// Endpoint is the target's slot in package endpoint, Generation that of its owner. Both are 0
	// where nobody on this host is behind the target, and where an earlier layout didn't have them.
	Endpoint, Generation uint16
}

// Table is the maps.
type Table struct{ led, origins *ebpf.Map }

// New returns the table in these maps, which stay the caller's.
func New(m *object.DatapathMaps) *Table { return &Table{led: m.LedSockets, origins: m.SocketOrigins} }

// TCP is the map of what lies with sockets of TCP, which stays the table's.
func (t *Table) TCP() *ebpf.Map { return t.led }

// UDP returns what is kept of a socket of the host's by its cookie and what it is connected to;
// ok is false if it wasn't led there.
func (t *Table) UDP(cookie uint64, target netip.AddrPort) (led Led, ok bool, err error) {
	k := object.DatapathSocketKey{Cookie: cookie, Addr: wire.Mapped(target.Addr()), Port: wire.Port(target.Port())}
	var v object.DatapathSocketOrigin
	err = t.origins.Lookup(&k, &v)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return Led{}, false, nil
	}
	if err != nil {
		return Led{}, false, fmt.Errorf("origin of socket %d: %w", cookie, err)
	}
	return ledTo(target, &v), true, nil
}

// Parse reads what lies with a socket as the kernel gives it out; ok is false for another size.
func Parse(raw []byte) (led Led, ok bool) {
	var v object.DatapathLedSocket
	if len(raw) != int(unsafe.Sizeof(v)) {
		return Led{}, false
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&v)), unsafe.Sizeof(v)), raw)
	return ledTo(netip.AddrPortFrom(wire.Addr(v.Addr), wire.Port(v.Port)), &v.Origin), true
}

func ledTo(target netip.AddrPort, v *object.DatapathSocketOrigin) Led {
	return Led{
		Origin: netip.AddrPortFrom(wire.Addr(v.Addr), wire.Port(v.Port)), Target: target,
		Endpoint: v.Endpoint, Generation: v.Generation,
	}
}
