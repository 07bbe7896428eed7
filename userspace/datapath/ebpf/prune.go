// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"errors"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/userspace/datapath"
)

// Prune implements datapath.Datapath. What is wanted has been ensured before, so
// that the maps are complete when older programs are replaced at the end.
func (d *Datapath) Prune(_ context.Context, want datapath.Desired) error {
	return d.edit(func() error { return d.prune(want) })
}

func (d *Datapath) prune(want datapath.Desired) error {
	err := errors.Join(
		d.pruneEndpoints(want),
		d.prunePorts(want),
		d.pruneLinks(),
		d.pruneNetworks(want),
		d.pruneResolvers(want),
		d.syncTrusted(),
		d.syncAddresses(),
		d.pruneDevices(),
	)
	d.collector.kick()
	if err != nil {
		return err
	}
	return d.loader.Switch()
}

func (d *Datapath) pruneEndpoints(want datapath.Desired) error {
	wanted := make(map[string]bool)
	for _, e := range want.Endpoints {
		wanted[e.ID] = true
	}
	var errs []error
	for id, st := range d.state.endpoints {
		if wanted[id] {
			continue
		}
		if err := d.vacate(st.slot, st.value); err != nil {
			errs = append(errs, err)
			continue
		}
		delete(d.state.endpoints, id)
	}
	for slot, e := range d.state.orphanEndpoints {
		if err := d.vacate(slot, e); err != nil {
			errs = append(errs, err)
			continue
		}
		delete(d.state.orphanEndpoints, slot)
	}
	return errors.Join(append(errs, d.reshare())...)
}

func (d *Datapath) prunePorts(want datapath.Desired) error {
	var errs []error
	for id, st := range d.state.endpoints {
		if len(want.Ports[id]) == 0 {
			errs = append(errs, d.syncPorts(st.slot, nil))
		}
	}
	for slot := range d.state.portsOf {
		if !d.state.claimed(slot) {
			errs = append(errs, d.syncPorts(slot, nil))
		}
	}
	return errors.Join(errs...)
}

func (d *Datapath) pruneLinks() error {
	var errs []error
	for _, slot := range d.state.links {
		if !d.state.claimed(slot) {
			errs = append(errs, d.syncLinks(slot, nil))
		}
	}
	return errors.Join(errs...)
}

func (d *Datapath) pruneNetworks(want datapath.Desired) error {
	wanted := make(map[string]bool)
	for _, n := range want.Networks {
		wanted[n.ID] = true
	}
	var errs []error
	for id, st := range d.state.networks {
		if wanted[id] {
			continue
		}
		if err := d.dropNetworkSlot(st.slot); err != nil {
			errs = append(errs, err)
			continue
		}
		d.state.networkSlots.release(st.slot)
		delete(d.state.networks, id)
	}
	for slot := range d.state.orphanNetworks {
		if err := d.dropNetworkSlot(slot); err != nil {
			errs = append(errs, err)
			continue
		}
		d.state.networkSlots.release(slot)
		delete(d.state.orphanNetworks, slot)
	}
	return errors.Join(append(errs, d.pruneSubnets())...)
}

// pruneSubnets removes those that a crash left without a network.
func (d *Datapath) pruneSubnets() error {
	slots := make(map[uint16]bool)
	for _, st := range d.state.networks {
		slots[st.slot] = true
	}
	var errs []error
	for _, slot := range d.state.subnets {
		if !slots[slot] {
			errs = append(errs, d.syncSubnets(slot, nil))
		}
	}
	return errors.Join(errs...)
}

func (d *Datapath) pruneResolvers(want datapath.Desired) error {
	wanted := make(map[string]bool)
	for _, r := range want.Resolvers {
		wanted[r.SandboxID] = true
	}
	cookies := make(map[uint64]bool)
	for id, cookie := range d.state.resolvers {
		if wanted[id] {
			cookies[cookie] = true
		} else {
			delete(d.state.resolvers, id)
		}
	}
	var errs []error
	for cookie := range d.state.cookies {
		if !cookies[cookie] {
			errs = append(errs, d.dropResolver(cookie))
		}
	}
	return errors.Join(errs...)
}

// pruneDevices looks at what is attached, which includes what an earlier process
// attached. Programs of endpoints stay on devices that exist: a device without an
// endpoint is to send and receive nothing.
func (d *Datapath) pruneDevices() error {
	attached, err := d.loader.Attachments()
	if err != nil {
		return err
	}
	wanted := make(map[int]bool)
	for _, st := range d.state.endpoints {
		wanted[st.value.Index] = true
	}
	for _, a := range attached {
		if (a.Program == loader.FromContainer || a.Program == loader.ToContainer) && !wanted[a.Index] {
			d.state.leaving[a.Index] = true
		}
	}
	return d.forgetGoneDevices()
}
