// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"net/netip"
	"slices"
	"sync"

	"github.com/fairway-project/fairway/userspace/model"
)

// Allocator reserves ports of one host. Its methods may be called at the same
// time; the calling threads have to be in the host's network namespace.
type Allocator struct {
	mu     sync.Mutex
	slots  map[slot][]*reservation
	owners map[string][]*reservation
	// next is the ephemeral port that the next search starts at.
	next map[model.Proto]int
}

// slot is a host port whatever the address.
type slot struct {
	proto model.Proto
	port  uint16
}

// reservation is one published port with its socket; sock is nil where the
// table alone holds it.
type reservation struct {
	model.PublishedPort
	owner string
	sock  *socket
}

func (r *reservation) slot() slot { return slot{r.Port.Proto, r.HostPort} }

func (r *reservation) place() place { return place{slot: r.slot(), ip: r.HostIP} }

// Families says which wildcard addresses a port without host address is
// published at.
type Families struct{ IPv4, IPv6 bool }

// NewAllocator returns an Allocator without reservations. Close releases its sockets.
func NewAllocator() *Allocator {
	return &Allocator{
		slots:  map[slot][]*reservation{},
		owners: map[string][]*reservation{},
		next:   map[model.Proto]int{},
	}
}

// Allocate reserves host ports for all specs, or none when it returns an error:
// a *TakenError (ErrAllocated, ErrInUse), ErrExhausted, ErrNotLocal or
// ErrTooManyFiles. The owner, commonly an endpoint's ID and never empty, keeps
// what it has already.
//
// A spec without host address gets defaultHostIP or, where that is invalid or
// 0.0.0.0, the wildcard addresses of the families with one port for both; a
// kernel without IPv6 gets no [::]. Exact ports are taken first, then ranges,
// then ephemeral ports one after another from net.ipv4.ip_local_port_range
// without ip_local_reserved_ports. Specs that differ in the host address only
// get the same port. The result is in the order of the specs, IPv4 first.
func (a *Allocator) Allocate(owner string, specs []model.PortSpec, fam Families, defaultHostIP netip.Addr) ([]model.PublishedPort, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	published := make([][]model.PublishedPort, len(specs))
	var done []*reservation
	for _, g := range groupSpecs(specs, fam, defaultHostIP) {
		made, err := a.allocateGroup(owner, g)
		if err != nil {
			a.remove(done)
			return nil, err
		}
		for _, m := range made {
			published[m.spec] = append(published[m.spec], m.PublishedPort)
			done = append(done, m.reservation)
		}
	}
	return slices.Concat(published...), nil
}

// Release gives up all ports of the owner; the sockets are closed when it
// returns. Releasing what an owner doesn't have does nothing.
func (a *Allocator) Release(owner string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.remove(slices.Clone(a.owners[owner]))
}

// Published returns the ports that the owner has.
func (a *Allocator) Published(owner string) []model.PublishedPort {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []model.PublishedPort
	for _, r := range a.owners[owner] {
		list = append(list, r.PublishedPort)
	}
	return list
}

// Len returns the number of reservations.
func (a *Allocator) Len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, list := range a.owners {
		n += len(list)
	}
	return n
}

// Close closes all sockets and forgets all reservations.
func (a *Allocator) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for owner := range a.owners {
		a.remove(slices.Clone(a.owners[owner]))
	}
	return nil
}

// add puts r into the table.
func (a *Allocator) add(r *reservation) {
	a.slots[r.slot()] = append(a.slots[r.slot()], r)
	a.owners[r.owner] = append(a.owners[r.owner], r)
}

// remove gives up the sockets of list and takes it out of the table.
func (a *Allocator) remove(list []*reservation) {
	gone := make(map[*reservation]bool, len(list))
	for _, r := range list {
		gone[r] = true
		r.sock.release()
	}
	isGone := func(r *reservation) bool { return gone[r] }
	for _, r := range list {
		prune(a.slots, r.slot(), isGone)
	}
	for _, r := range list {
		if slices.ContainsFunc(a.owners[r.owner], isGone) {
			prune(a.owners, r.owner, isGone)
		}
	}
}

// prune deletes from the list at key, and the key with its last element.
func prune[K comparable](m map[K][]*reservation, key K, gone func(*reservation) bool) {
	if left := slices.DeleteFunc(m[key], gone); len(left) > 0 {
		m[key] = left
	} else {
		delete(m, key)
	}
}
