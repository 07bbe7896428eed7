// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"maps"
	"net/netip"

	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/userspace/model"
)

// edit changes the parts under the lock, and then ends the flows that
// this concerns. The walks through the flow tables, which may take long, are without
// the lock, so that no other edit waits for them. A flow is judged by what is in force
// at the moment that it is looked at: whatever other edits do meanwhile, a flow that
// is ended by mistake finds its way anew with its next packet, as all of these do. A socket
// doesn't: it is picked by the endpoint that it was led to, whoever has the address by now.
func (d *Datapath) edit(change func() error) error {
	d.mu.Lock()
	err := change()
	moved, lost, ended := d.ports.takeMoved(), d.addresses.takeLost(), d.services.takeEnded()
	closed, gone := len(d.ports.closed) > 0, d.endpoints.takeGone()
	d.mu.Unlock()
	if closed {
		d.collector.wake.Raise()
	}
	d.settle(moved, ended)
	d.endSocketsTo(gone)
	return errors.Join(err, d.repoint(moved), d.forgetSources(lost), d.endServices(ended))
}

// endClosed ends the flows of the ports that were closed since it was called last, and those
// of services that are to be ended since something else than an edit said so, or in vain.
func (d *Datapath) endClosed() error {
	d.mu.Lock()
	closed, ended, gone := d.ports.takeClosed(), d.services.takeEnded(), d.endpoints.takeGone()
	d.mu.Unlock()
	d.settle(closed, ended)
	d.endSocketsTo(gone)
	return errors.Join(d.repoint(closed), d.endServices(ended))
}

// settle waits, before flows are looked for, until no program opens one by what pools had.
func (d *Datapath) settle(ports map[model.Port]bool, ended []endedFlows) {
	if len(ports)+len(ended) > 0 {
		d.services.table.AllPending().Wait()
	}
}

// repoint removes the UDP flows to these ports that don't go where the publications
// send them now, so that their next packet finds its way anew. It must not be called
// under the lock, which comes after the collector's.
func (d *Datapath) repoint(ports map[model.Port]bool) error {
	if len(ports) == 0 {
		return nil
	}
	err := d.collector.purge(func(origin *flow.Half) bool {
		if origin.Proto != uint8(model.UDP) || !published(origin) || !ports[model.Port{Num: origin.Dst.Port(), Proto: model.UDP}] {
			return false
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		e := d.ports.leadsTo(origin)
		if e.Service {
			return !d.services.leadsTo(e.Endpoint, origin)
		}
		return e.Target != origin.NATDst || e.Endpoint != origin.Endpoint
	})
	if err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.ports.again(ports)
	}
	return err
}

// forgetSources ends the flows that were masqueraded with an address that isn't
// the host's any more, as netfilter's MASQUERADE does: no reply can come, and
// the next packet of the same socket finds the new address. Like repoint it is called
// without the lock.
func (d *Datapath) forgetSources(lost map[netip.Addr]bool) error {
	if len(lost) == 0 {
		return nil
	}
	err := d.collector.purge(func(origin *flow.Half) bool {
		a := origin.NATSrc.Addr()
		if !masqueraded(origin) || !lost[a] {
			return false
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		return !d.addresses.own[a]
	})
	if err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		maps.Copy(d.addresses.lost, lost)
	}
	return err
}

func published(h *flow.Half) bool {
	k := h.Kind()
	return k == object.DatapathFlowKindFLOW_PUBLISHED || k == object.DatapathFlowKindFLOW_HAIRPIN ||
		k == object.DatapathFlowKindFLOW_RELAY
}

// masqueraded reports whether a flow's source is an address of an uplink's.
func masqueraded(h *flow.Half) bool {
	k := h.Kind()
	return k == object.DatapathFlowKindFLOW_MASQUERADE || k == object.DatapathFlowKindFLOW_RELAY
}
