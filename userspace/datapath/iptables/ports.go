// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"context"
	"fmt"
	"slices"

	"github.com/fairway-project/fairway/userspace/datapath"
)

// EnsurePorts replaces the endpoint's published ports. Only the rules that
// differ are written, so that the cost grows with the change, not with what is
// published already (what iptables itself makes of it depends on the variant).
func (d *Datapath) EnsurePorts(ctx context.Context, endpointID string, ports []datapath.Port) error {
	return d.inside(ctx, func(ctx context.Context) error {
		if _, ok := d.state.endpoints[endpointID]; !ok {
			if len(ports) == 0 {
				return nil
			}
			return fmt.Errorf("endpoint %s: %w", endpointID, ErrUnknown)
		}
		if err := d.replacePorts(ctx, endpointID, slices.Clone(ports)); err != nil {
			return fmt.Errorf("endpoint %s: %w", endpointID, err)
		}
		return nil
	})
}

func (d *Datapath) replacePorts(ctx context.Context, id string, ports []datapath.Port) error {
	rules := func(f Family) []Rule { return d.state.rulesOfPorts(f, id, d.proxy) }
	was, old := d.state.ports[id], perFamily(rules)
	served, err := d.proxy.serve(id, d.proxied(id, ports))
	if err != nil {
		return err
	}
	d.state.ports[id] = ports
	deltas, err := d.changeAll(ctx, old, perFamily(rules), func() {
		d.state.ports[id] = was
		served.undo()
	})
	if err != nil {
		return err
	}
	served.keep()
	return d.purgeUDP(deltas)
}

// proxied are the ports that need the proxy: none on an internal network.
func (d *Datapath) proxied(id string, ports []datapath.Port) []datapath.Port {
	n := d.state.networks[d.state.endpoints[id].NetworkID]
	if n.Internal || d.kernel[IPv6].broken != nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(ports), func(p datapath.Port) bool { return !needsProxy(&p) })
}
