// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"fmt"

	"github.com/fairway-project/fairway/maps/resolver"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/netns"
)

// EnsureResolver implements datapath.Datapath. The programs know the namespace by
// its cookie, which no other namespace ever has again.
func (d *Datapath) EnsureResolver(_ context.Context, r datapath.Resolver) error {
	cookie, err := netns.Cookie(r.Netns)
	if err != nil {
		return fmt.Errorf("resolver of sandbox %s: %w", r.SandboxID, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if former, ok := d.state.resolvers[r.SandboxID]; ok && former != cookie {
		if err := d.dropResolver(former); err != nil {
			return err
		}
	}
	ports := resolver.Ports{UDP: r.UDPPort, TCP: r.TCPPort}
	if d.state.cookies[cookie] != ports {
		if err := d.tables.resolvers.Put(cookie, ports); err != nil {
			return err
		}
	}
	d.state.cookies[cookie] = ports
	d.state.resolvers[r.SandboxID] = cookie
	return nil
}

// DeleteResolver implements datapath.Datapath.
func (d *Datapath) DeleteResolver(_ context.Context, sandboxID string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	cookie, ok := d.state.resolvers[sandboxID]
	if !ok {
		return nil
	}
	if err := d.dropResolver(cookie); err != nil {
		return err
	}
	delete(d.state.resolvers, sandboxID)
	return nil
}

func (d *Datapath) dropResolver(cookie uint64) error {
	if err := d.tables.resolvers.Delete(cookie); err != nil {
		return err
	}
	delete(d.state.cookies, cookie)
	return nil
}
