// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"net/netip"
	"sync"

	"github.com/fairway-project/fairway/maps/endpoint"
	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/userspace/conntrack"
	"github.com/fairway-project/fairway/userspace/model"
)

// departed are addresses of endpoints that are gone, whose entries netfilter is still to be rid
// of. All methods do nothing on nil.
type departed struct {
	mu    sync.Mutex
	addrs map[netip.Addr]bool
}

func (d *departed) add(e endpoint.Endpoint) {
	if d == nil {
		return
	}
	d.put(e.IPv4, e.IPv6)
}

func (d *departed) put(addrs ...netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.addrs == nil {
		d.addrs = make(map[netip.Addr]bool)
	}
	for _, a := range addrs {
		if a.IsValid() {
			d.addrs[a] = true
		}
	}
}

func (d *departed) take() (addrs []netip.Addr) {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for a := range d.addrs {
		addrs = append(addrs, a)
	}
	d.addrs = nil
	return addrs
}

// forget removes netfilter's entries of endpoints that are gone and that went with no flow of
// theirs: a packet that comes before a pass removes a flow that is void, and leaves the entry. Who
// has such an address by now keeps all connections that have a flow. What fails is tried again by
// the next pass.
//
// It walks through netfilter's table, which may have a million entries: once for all that went
// since the last time, and as seldom as passes.
func (c *collector) forget() error {
	gone := c.departed.take()
	if len(gone) == 0 {
		return nil
	}
	err := c.forgetOf(gone)
	if err != nil {
		c.departed.put(gone...)
	}
	return err
}

func (c *collector) forgetOf(gone []netip.Addr) error {
	tracked, err := c.conntrack.ListOf(gone)
	if err != nil {
		return err
	}
	// Read after the entries: what they are of began before.
	owners, err := c.endpoints.All()
	if err != nil {
		return err
	}
	heirs := make(map[netip.Addr]uint16)
	for slot, o := range owners {
		if o.Ready {
			heirs[o.IPv4], heirs[o.IPv6] = slot, slot
		}
	}
	of := make(map[netip.Addr]bool, len(gone))
	for _, a := range gone {
		of[a] = true
	}
	var errs []error
	for i := range tracked {
		t := &tracked[i]
		if !lasts(t) {
			continue
		}
		used, err := c.used(t, of, heirs, owners)
		if err == nil && !used {
			err = c.conntrack.Remove(t)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// lasts reports whether an entry stays for days. Others end by themselves within minutes, and one
// of a handshake may be about to get its flow.
func lasts(t *conntrack.Connection) bool {
	return t.Orig.Proto == uint8(model.TCP) && t.TCPState >= conntrack.TCPEstablished
}

// used reports whether the connection is one that an endpoint which is there now has a flow for.
func (c *collector) used(t *conntrack.Connection, of map[netip.Addr]bool, heirs map[netip.Addr]uint16, owners map[uint16]endpoint.Endpoint) (bool, error) {
	for _, k := range []flow.Key{
		{Src: t.Orig.Src, Dst: t.Orig.Dst, Proto: t.Orig.Proto},
		{Src: t.Reply.Src, Dst: t.Reply.Dst, Proto: t.Orig.Proto},
	} {
		slot, alive := heirs[k.Src.Addr()]
		if !alive || !of[k.Src.Addr()] {
			continue
		}
		k.Zone = flow.Zone(owners[slot].Network)
		h, found, err := c.flows.Lookup(k)
		if err != nil {
			return false, err
		}
		if found && h.Endpoint == slot && h.EndpointGeneration == owners[slot].Generation {
			return true, nil
		}
	}
	return false, nil
}
