// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// made is a reservation with the index of the spec that it is for.
type made struct {
	*reservation
	spec int
}

func (a *Allocator) allocateGroup(owner string, g *group) ([]made, error) {
	if g.exact() {
		return a.try(owner, g, uint16(g.choice.first))
	}
	if !g.choice.any() {
		for port := g.choice.first; port <= g.choice.last; port++ {
			if list, err := a.try(owner, g, uint16(port)); err == nil || !isTaken(err) {
				return list, err
			}
		}
		return nil, fmt.Errorf("host ports %s of %s for port %s: %w", g.choice, g.targets[0].ip, g.port, ErrExhausted)
	}
	return a.allocateEphemeral(owner, g)
}

// allocateEphemeral takes the first free port behind the last one given out.
func (a *Allocator) allocateEphemeral(owner string, g *group) ([]made, error) {
	eph, err := readEphemeral()
	if err != nil {
		return nil, err
	}
	start := a.next[g.port.Proto]
	if start < eph.first || start > eph.last {
		start = eph.first
	}
	for i := range eph.len() {
		port := eph.first + (start-eph.first+i)%eph.len()
		if eph.isReserved(port) {
			continue
		}
		list, err := a.try(owner, g, uint16(port))
		if err == nil {
			a.next[g.port.Proto] = port + 1
		}
		if err == nil || !isTaken(err) {
			return list, err
		}
	}
	return nil, fmt.Errorf("ephemeral ports %s of %s for port %s: %w", eph.portRange, g.targets[0].ip, g.port, ErrExhausted)
}

func isTaken(err error) bool { return errors.Is(err, ErrAllocated) || errors.Is(err, ErrInUse) }

// try reserves one port at all addresses of the group, or at none.
func (a *Allocator) try(owner string, g *group, port uint16) ([]made, error) {
	for _, t := range g.targets {
		if err := a.checkTable(t.ip, slot{g.port.Proto, port}, g.exact()); err != nil {
			return nil, err
		}
	}
	list := g.reservations(owner, port)
	beside := slices.Concat(a.slots[slot{g.port.Proto, port}], list)
	var done []made
	for i, t := range g.targets {
		err := bind(list[i], beside, g.exact())
		if t.optional && errors.Is(err, errNoFamily) {
			continue
		}
		if err != nil {
			for _, r := range list {
				r.sock.release()
			}
			return nil, err
		}
		done = append(done, made{list[i], t.spec})
	}
	for _, m := range done {
		a.add(m.reservation)
	}
	return done, nil
}

// checkTable refuses what another publication has. Two publications may have
// the wildcard and a specific address of one port when both name the port.
func (a *Allocator) checkTable(ip netip.Addr, s slot, exact bool) error {
	for _, r := range a.slots[s] {
		if r.HostIP == ip || !exact && overlaps(r.HostIP, ip) {
			return &TakenError{HostIP: ip, HostPort: s.port, Proto: s.proto, Owner: r.owner}
		}
	}
	return nil
}
