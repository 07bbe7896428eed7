// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/userspace/datapath"
)

var _ datapath.Shared = (*Datapath)(nil)

// Guard implements datapath.Shared. Programs without an endpoint drop everything
// as unmanaged.
func (d *Datapath) Guard(_ context.Context, device string, index int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range []loader.Program{loader.FromContainer, loader.ToContainer} {
		err := d.loader.Attach(index, p)
		if errors.Is(err, unix.ENODEV) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("device %s: %w", device, err)
		}
	}
	for _, st := range d.state.endpoints {
		if st.value.Index == index {
			return nil
		}
	}
	d.state.leaving[index] = true
	return nil
}

// Sweep implements datapath.Shared: a Prune that wants all that this process knows.
func (d *Datapath) Sweep(context.Context) error {
	return d.edit(d.sweep)
}

func (d *Datapath) sweep() error {
	want := datapath.Desired{Ports: make(map[string][]datapath.Port)}
	for id := range d.state.networks {
		want.Networks = append(want.Networks, known(id))
	}
	for id, st := range d.state.endpoints {
		want.Endpoints = append(want.Endpoints, datapath.Endpoint{ID: id})
		if st.portsSaid {
			// Which they are doesn't matter: they were said.
			want.Ports[id] = make([]datapath.Port, 1)
		}
	}
	for id := range d.state.resolvers {
		want.Resolvers = append(want.Resolvers, datapath.Resolver{SandboxID: id})
	}
	return errors.Join(d.prune(want), d.retryFrames())
}

func known(networkID string) (n datapath.Network) {
	n.ID = networkID
	return n
}

// checkSubnets refuses a network that overlaps one of another owner: the engine
// and Docker each see to their own only. What an earlier process left may be
// taken over.
func (d *Datapath) checkSubnets(n datapath.Network) error {
	for _, p := range subnets(n) {
		for q, slot := range d.state.subnets {
			other := d.networkOf(slot)
			if p.Overlaps(q) && other != nil && other != d.state.networks[n.ID] {
				return fmt.Errorf("network %s: subnet %s overlaps with %s of network %s", n.Name, p, q, other.name)
			}
		}
	}
	return nil
}

// networkOf returns the network that is known to have the slot, or nil.
func (d *Datapath) networkOf(slot uint16) *networkState {
	for _, st := range d.state.networks {
		if st.slot == slot {
			return st
		}
	}
	return nil
}

// isBridge reports whether the device is the bridge of a network, of an earlier
// process too. Such a device is no uplink, though its name may not say so.
func (d *Datapath) isBridge(index int) bool {
	for _, st := range d.state.networks {
		if st.bridge == index {
			return true
		}
	}
	for _, n := range d.state.orphanNetworks {
		if n.BridgeIndex == index {
			return true
		}
	}
	return false
}
