// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"errors"
	"fmt"

	"github.com/fairway-project/fairway/maps/endpoint"
	"github.com/fairway-project/fairway/userspace/datapath"
)

// EnsureEndpoint implements datapath.Datapath. The endpoint becomes Ready last:
// until then its programs drop everything.
func (d *Datapath) EnsureEndpoint(_ context.Context, e datapath.Endpoint) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := datapath.CheckHere(e); err != nil {
		return err
	}
	n, ok := d.networks.byID[e.NetworkID]
	if !ok {
		return fmt.Errorf("endpoint %s: network %s isn't known to the datapath", e.ID, e.NetworkID)
	}
	want := endpoint.Endpoint{Index: e.HostIndex, IPv4: e.IPv4, IPv6: e.IPv6, MAC: e.MAC, Network: n.slot}
	if err := d.endpoints.check(e, want); err != nil {
		return err
	}
	_, known := d.endpoints.byID[e.ID]
	st, err := d.endpoints.state(e)
	if err != nil {
		return err
	}
	if err := d.admit(st, e, want); err != nil {
		err = fmt.Errorf("endpoint %s: %w", e.ID, err)
		if known {
			return err
		}
		// Its device may be gone, and who wanted it with that: nobody would delete it.
		return errors.Join(err, d.attachments.delete(e.ID), d.endpoints.giveBack(e.ID), d.shares.divide(d.answering()))
	}
	d.serveWith(e.ID)
	if len(d.endpoints.gone) > 0 {
		d.collector.wake.Raise()
	}
	return d.programs.forgetGone()
}

// admit makes an endpoint that has a slot ready.
func (d *Datapath) admit(st *endpointState, e datapath.Endpoint, want endpoint.Endpoint) error {
	if err := d.shares.divide(d.answering()); err != nil {
		return err
	}
	if err := d.fill(st, e, want); err != nil {
		return err
	}
	return d.endpoints.open(st, d.frames.take(e))
}

// fill writes all of an endpoint that its programs need, and attaches them.
func (d *Datapath) fill(st *endpointState, e datapath.Endpoint, want endpoint.Endpoint) error {
	if err := d.endpoints.own(st, want); err != nil {
		return err
	}
	if err := d.links.sync(st.slot, holes(e, want.Network)); err != nil {
		return err
	}
	if err := d.attachments.ensure(e, st); err != nil {
		return err
	}
	if err := configureBridgePort(e); err != nil {
		return err
	}
	return d.programs.guard(e.HostIndex)
}

// DeleteEndpoint implements datapath.Datapath.
func (d *Datapath) DeleteEndpoint(_ context.Context, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.endpoints.byID[id]; !ok {
		return d.programs.forgetGone()
	}
	// What fails leaves the rest for the next call, which has nothing to go by without an endpoint.
	if err := d.attachments.delete(id); err != nil {
		return err
	}
	if err := d.endpoints.delete(id); err != nil {
		return err
	}
	d.collector.wake.Raise()
	d.serveWith(id)
	return errors.Join(d.shares.divide(d.answering()), d.programs.forgetGone())
}

// endpointIDs returns the endpoints by what flows and counters name them.
func (d *Datapath) endpointIDs() map[owner]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.endpoints.owners()
}
