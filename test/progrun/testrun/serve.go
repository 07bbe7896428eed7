// SPDX-License-Identifier: Apache-2.0

package testrun

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/host"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/maps/service"
	"github.com/fairway-project/fairway/userspace/model"
)

// Backend returns an endpoint as an active backend.
func Backend(e Endpoint, v6 bool, port uint16) service.Backend {
	return service.Backend{
		Target: netip.AddrPortFrom(e.Addr(v6), port), Endpoint: e.Slot, Generation: Generation, State: service.Active,
	}
}

// PutPool fills a pool's slot. Its ring has each backend once, whatever its state; without
// any there is none.
func (h *Host) PutPool(slot uint16, s service.Settings, backends ...service.Backend) error {
	if h.pools == nil {
		h.pools = make(map[uint16]bool)
	}
	h.pools[slot] = true
	places := make([]uint16, len(backends))
	for i := range places {
		places[i] = uint16(i + 1)
	}
	return errors.Join(h.Services.PutPool(slot, s, backends), h.Services.PutRing(slot, places))
}

// CopyPool has slots share the backends and the ring of another one. They have them beyond
// Restore: nothing leads to them then.
func (h *Host) CopyPool(from uint16, to []uint16) error {
	if len(to) == 0 {
		return nil
	}
	keys := make([]uint32, len(to))
	for i, slot := range to {
		keys[i] = uint32(slot)
	}
	for _, outer := range []*ebpf.Map{h.Pools, h.Rings} {
		var inner *ebpf.Map
		if err := outer.Lookup(uint32(from), &inner); err != nil {
			return fmt.Errorf("pool %d: %w", from, err)
		}
		values := make([]uint32, len(keys))
		for i := range values {
			values[i] = uint32(inner.FD())
		}
		// In one step: the kernel waits for all CPUs after each.
		_, err := outer.BatchUpdate(keys, values, nil)
		if err := errors.Join(err, inner.Close()); err != nil {
			return fmt.Errorf("copies of pool %d: %w", from, err)
		}
	}
	return nil
}

// Front has an address and port lead to a pool. network is 0 for an address that is the
// host's for everybody; else the address is a service's in this network.
func (h *Host) Front(addr netip.Addr, port uint16, proto model.Proto, network, slot uint16) error {
	var err error
	if network != 0 {
		err = h.State.PutAddress(addr, host.Gateway(network))
	}
	k := publish.Key{Addr: addr, Port: port, Proto: proto, Network: network}
	return errors.Join(err, h.PublishEntry(k, publish.Entry{Service: true, Endpoint: slot}))
}

// ForgetClients makes so many jiffies pass for what a pool remembers of its clients.
func (h *Host) ForgetClients(slot uint16, jiffies uint32) error {
	var clients *ebpf.Map
	if err := h.Affinities.Lookup(uint32(slot), &clients); err != nil {
		return fmt.Errorf("clients of pool %d: %w", slot, err)
	}
	defer clients.Close()
	return changeArray(clients, func(_ int, set *object.DatapathAffinitySet) {
		for i := range set.Ways {
			set.Ways[i].Until -= jiffies
		}
	})
}

func (h *Host) clearPools() error {
	var errs []error
	sources, err := h.Services.Sources()
	errs = append(errs, err)
	for s := range sources {
		errs = append(errs, h.Services.DeleteSource(s))
	}
	for slot := range h.pools {
		errs = append(errs, h.Services.Clear(slot))
	}
	clear(h.pools)
	return errors.Join(errs...)
}

// AgePassedOver makes so many jiffies pass for the backends of a pool that are passed over.
func (h *Host) AgePassedOver(slot uint16, jiffies uint32) error {
	var backends *ebpf.Map
	if err := h.Pools.Lookup(uint32(slot), &backends); err != nil {
		return fmt.Errorf("backends of pool %d: %w", slot, err)
	}
	defer backends.Close()
	return changeArray(backends, func(i int, b *object.DatapathBackend) {
		if i > 0 {
			b.Until -= jiffies
		}
	})
}
