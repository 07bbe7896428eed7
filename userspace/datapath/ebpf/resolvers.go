// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/fairway-project/fairway/maps/resolver"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/netns"
)

// resolvers are the sandboxes' name servers. The programs know a namespace by its
// cookie, which no other namespace ever has again.
type resolvers struct {
	table *resolver.Table

	mu sync.Mutex
	// cookies is the map's content, bySandbox the part of it that this process was told.
	cookies   map[uint64]resolver.Ports
	bySandbox map[string]uint64
}

func adoptResolvers(t *resolver.Table) (*resolvers, error) {
	cookies, err := t.All()
	return &resolvers{table: t, cookies: cookies, bySandbox: make(map[string]uint64)}, err
}

// EnsureResolver implements datapath.Datapath.
func (d *Datapath) EnsureResolver(_ context.Context, r datapath.Resolver) error {
	cookie, err := netns.Cookie(r.Netns)
	if err != nil {
		return fmt.Errorf("resolver of sandbox %s: %w", r.SandboxID, err)
	}
	return d.resolvers.ensure(r.SandboxID, cookie, resolver.Ports{UDP: r.UDPPort, TCP: r.TCPPort})
}

// DeleteResolver implements datapath.Datapath.
func (d *Datapath) DeleteResolver(_ context.Context, sandboxID string) error {
	return d.resolvers.delete(sandboxID)
}

func (r *resolvers) ensure(sandbox string, cookie uint64, ports resolver.Ports) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if former, ok := r.bySandbox[sandbox]; ok && former != cookie {
		if err := r.drop(former); err != nil {
			return err
		}
	}
	if r.cookies[cookie] != ports {
		if err := r.table.Put(cookie, ports); err != nil {
			return err
		}
	}
	r.cookies[cookie] = ports
	r.bySandbox[sandbox] = cookie
	return nil
}

func (r *resolvers) delete(sandbox string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	cookie, ok := r.bySandbox[sandbox]
	if !ok {
		return nil
	}
	if err := r.drop(cookie); err != nil {
		return err
	}
	delete(r.bySandbox, sandbox)
	return nil
}

// prune removes those of sandboxes that aren't wanted, and of an earlier process.
func (r *resolvers) prune(wanted func(sandbox string) bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	keep := make(map[uint64]bool)
	for sandbox, cookie := range r.bySandbox {
		if wanted(sandbox) {
			keep[cookie] = true
		} else {
			delete(r.bySandbox, sandbox)
		}
	}
	var errs []error
	for cookie := range r.cookies {
		if !keep[cookie] {
			errs = append(errs, r.drop(cookie))
		}
	}
	return errors.Join(errs...)
}

func (r *resolvers) drop(cookie uint64) error {
	if err := r.table.Delete(cookie); err != nil {
		return err
	}
	delete(r.cookies, cookie)
	return nil
}

func (r *resolvers) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.cookies)
}
