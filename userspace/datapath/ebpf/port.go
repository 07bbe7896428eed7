// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/userspace/datapath"
)

// EnsurePorts implements datapath.Datapath. It touches what differs only, so its
// cost doesn't depend on what else is published.
func (d *Datapath) EnsurePorts(_ context.Context, endpointID string, ports []datapath.Port) error {
	return d.edit(func() error { return d.ensurePorts(endpointID, ports) })
}

func (d *Datapath) ensurePorts(endpointID string, ports []datapath.Port) error {
	st, ok := d.endpoints.byID[endpointID]
	if !ok {
		if len(ports) == 0 {
			return nil
		}
		return fmt.Errorf("published ports: endpoint %s isn't known to the datapath", endpointID)
	}
	want := make(map[publish.Key]publish.Entry, len(ports))
	for _, p := range append(slices.Clone(ports), d.directPorts(st, ports)...) {
		k, e := portEntry(p, st)
		if owner, taken := d.portOwner(k); taken && owner != "endpoint "+endpointID {
			return fmt.Errorf("published port %s: %s has it", k, owner)
		}
		want[k] = e
	}
	st.portsSaid = true
	return d.ports.sync(endpointHolder(st.slot), want)
}

// directPorts are those that devices which st's network trusts reach by the
// endpoint's own address, beside the translated ones.
func (d *Datapath) directPorts(st *endpointState, ports []datapath.Port) (direct []datapath.Port) {
	if n := d.networks.byID[st.network]; n == nil || len(n.trusted) == 0 {
		return nil
	}
	for _, p := range ports {
		if !p.HostOnly {
			p.Routed = true
			direct = append(direct, p)
		}
	}
	return direct
}

// portOwner returns the endpoint, or the service, that a port was published for by this
// process. What an earlier process published is taken over by whoever wants it.
func (d *Datapath) portOwner(k publish.Key) (owner string, taken bool) {
	e, ok := d.ports.entries[k]
	if !ok {
		return "", false
	}
	if e.Service {
		id := d.services.bySlot[e.Endpoint]
		return "service " + id, id != ""
	}
	id := d.endpoints.id(e.Endpoint)
	return "endpoint " + id, id != "" && d.endpoints.byID[id].portsSaid
}

func portEntry(p datapath.Port, st *endpointState) (publish.Key, publish.Entry) {
	e := publish.Entry{
		Target:     netip.AddrPortFrom(p.Target, p.Port.Num),
		Endpoint:   st.slot,
		Generation: st.value.Generation,
		HostOnly:   p.HostOnly,
		Routed:     p.Routed,
	}
	if p.Routed {
		return publish.Key{Addr: p.Target, Port: p.Port.Num, Proto: p.Port.Proto, Network: st.value.Network}, e
	}
	return publish.Key{Addr: p.HostIP, Port: p.HostPort, Proto: p.Port.Proto}, e
}
