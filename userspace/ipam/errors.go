// SPDX-License-Identifier: Apache-2.0

package ipam

import "errors"

// Errors to be tested with errors.Is; what is returned names the object and the value.
var (
	// ErrInvalid is a request that can't be granted whatever else exists.
	ErrInvalid = errors.New("not valid")
	// ErrOverlap is a subnet that shares addresses with another network or a host route.
	ErrOverlap = errors.New("pool overlaps with other one on this address space")
	// ErrNoPool means that every default pool is taken or shadowed by a host route.
	ErrNoPool = errors.New("all predefined address pools have been fully subnetted")
	// ErrInUse is an address that an endpoint has or that is reserved.
	ErrInUse = errors.New("already in use")
	// ErrExhausted means that no address is left for automatic assignment.
	ErrExhausted = errors.New("no available addresses")
	// ErrUnknownNetwork is a network that has no addresses of the family here.
	ErrUnknownNetwork = errors.New("no such address pool")
)
