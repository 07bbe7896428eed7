// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/userspace/resolvconf"
)

// Addr is the address that the embedded resolver of every sandbox listens on.
var Addr = netip.AddrFrom4([4]byte{127, 0, 0, 11})

// Network is a network in whose scope a sandbox asks.
type Network struct {
	ID string
	// Name is what may be appended to a name: web.backend.
	Name string
}

// Link is an alias that one sandbox has for a name (--link on a user-defined
// network). The name is looked up when the alias is asked for, so the link
// outlives the sandbox that it leads to.
type Link struct {
	Alias string
	Name  string
}

// Config is what a resolver answers from. The zero Config knows no names and
// forwards nothing.
type Config struct {
	// Networks of the sandbox in the order in which they are searched; the
	// first that has the name answers.
	Networks []Network
	Links    []Link
	// Upstreams are asked in order; those after the third are ignored.
	Upstreams []resolvconf.Upstream
	// Forward is false for a sandbox on internal networks only: whatever isn't
	// a name of its networks gets SERVFAIL, and nothing is sent.
	Forward bool
	// NDotsSet keeps names of one label from the upstreams, so that the client
	// goes on to its search domains (see resolvconf.Embedded).
	NDotsSet bool
}

// normal returns a copy of c that shares nothing with it and holds no upstream
// that would be the resolver itself.
func (c Config) normal() *Config {
	c.Networks = slices.Clone(c.Networks)
	c.Links = slices.Clone(c.Links)
	c.Upstreams = slices.DeleteFunc(slices.Clone(c.Upstreams), func(u resolvconf.Upstream) bool {
		return !u.Addr.IsValid() || !u.FromHost && u.Addr.Unmap() == Addr
	})
	c.Upstreams = c.Upstreams[:min(len(c.Upstreams), maxUpstreams)]
	return &c
}
