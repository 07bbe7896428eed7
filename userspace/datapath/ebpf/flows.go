// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"iter"

	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/share"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/datapath/ebpf/expiry"
)

// Flows implements datapath.Datapath.
func (d *Datapath) Flows(ctx context.Context) iter.Seq2[datapath.Flow, error] {
	return func(yield func(datapath.Flow, error) bool) { d.meter.connections(ctx, d.endpointIDs(), yield) }
}

// connections tells of the connections in the flow tables, of one at a time.
func (m *meter) connections(ctx context.Context, ids map[owner]string, yield func(datapath.Flow, error) bool) {
	now, err := m.clock.Jiffies()
	if err != nil {
		yield(datapath.Flow{}, err)
		return
	}
	open, err := m.shares.Snapshot(share.All)
	if err != nil {
		yield(datapath.Flow{}, err)
		return
	}
	v4, v6 := m.collector.judges(now, share.IPv4, open), m.collector.judges(now, share.IPv6, open)
	for h, err := range m.flows.All() {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			yield(datapath.Flow{}, err)
			return
		}
		if !h.Origin() {
			continue
		}
		js := v4
		if h.IPv6() {
			js = v6
		}
		f, err := m.connection(&h, js, ids)
		if !yield(f, err) || err != nil {
			return
		}
	}
}

func (m *meter) connection(h *flow.Half, js *judges, ids map[owner]string) (datapath.Flow, error) {
	twin, found, err := m.flows.Lookup(h.Twin())
	if err != nil {
		return datapath.Flow{}, err
	}
	opener := ""
	if found {
		opener = openerID(h, &twin, ids)
	} else {
		twin.LastSeen = h.LastSeen
	}
	c, j := expiry.ConnectionOf(h, &twin), js.of(&twin)
	return datapath.Flow{
		Proto: h.Proto, Src: h.Src, Dst: h.Dst, NATSrc: h.NATSrc, NATDst: h.NATDst,
		State:      j.StateOf(c).Name,
		Kind:       kindName(h.Kind()),
		EndpointID: ids[owner{h.Endpoint, h.EndpointGeneration}],
		OpenerID:   opener,
		TargetID:   targetID(h, ids),
		Idle:       min(j.Idle(h.LastSeen), j.Idle(twin.LastSeen)),
		Expires:    max(0, j.Left(c)),
	}, nil
}

// openerID is the endpoint of the packets that begin in a container: the answers of
// a flow are delivered to it, so its twin has it.
func openerID(origin, twin *flow.Half, ids map[owner]string) string {
	if origin.Zone == object.DatapathZoneZONE_WORLD {
		return ""
	}
	return ids[owner{twin.Endpoint, twin.EndpointGeneration}]
}

// targetID is the endpoint that the answers come from.
func targetID(origin *flow.Half, ids map[owner]string) string {
	if origin.TwinZone == object.DatapathZoneZONE_WORLD {
		return ""
	}
	return ids[owner{origin.Endpoint, origin.EndpointGeneration}]
}

func kindName(k flow.Kind) string {
	switch k {
	case object.DatapathFlowKindFLOW_MASQUERADE:
		return "masquerade"
	case object.DatapathFlowKindFLOW_PUBLISHED:
		return "published"
	case object.DatapathFlowKindFLOW_HAIRPIN:
		return "hairpin"
	case object.DatapathFlowKindFLOW_RELAY:
		return "relay"
	}
	return "routed"
}
