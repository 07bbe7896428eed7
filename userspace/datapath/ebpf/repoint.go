// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"net/netip"

	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/userspace/model"
)

// repoint removes the UDP flows that went by the former entries, or by a less
// specific one than those of want, so that their next packet finds its way anew.
// TCP connections go on, as with Docker. Only changes that can concern a flow cost
// a walk through the flow table.
func (d *Datapath) repoint(former, want map[publish.Key]publish.Entry) error {
	changed := make(map[model.Port]bool)
	for k, e := range former {
		if k.Proto == model.UDP && !e.Routed && !e.HostOnly {
			changed[bit(k)] = true
		}
	}
	for k, e := range want {
		if k.Proto == model.UDP && !e.Routed && !e.HostOnly && d.state.bits[bit(k)] > 1 && !k.Addr.IsUnspecified() {
			changed[bit(k)] = true
		}
	}
	if len(changed) == 0 {
		return nil
	}
	return d.collector.purge(func(origin *flow.Half) bool {
		if origin.Proto != uint8(model.UDP) || !published(origin) {
			return false
		}
		if !changed[model.Port{Num: origin.Dst.Port(), Proto: model.UDP}] {
			return false
		}
		return d.leadsTo(origin) != origin.NATDst
	})
}

// leadsTo returns where the publications in force send a flow, the zero AddrPort
// if nowhere.
func (d *Datapath) leadsTo(origin *flow.Half) netip.AddrPort {
	k := publish.Key{Addr: origin.Dst.Addr(), Port: origin.Dst.Port(), Proto: model.UDP}
	e, ok := d.state.ports[k]
	if !ok && k.Addr.Is4() {
		k.Addr = netip.IPv4Unspecified()
		e = d.state.ports[k]
	} else if !ok {
		k.Addr = netip.IPv6Unspecified()
		e = d.state.ports[k]
	}
	return e.Target
}

func published(h *flow.Half) bool {
	k := h.Kind()
	return k == object.DatapathFlowKindFLOW_PUBLISHED || k == object.DatapathFlowKindFLOW_HAIRPIN
}
