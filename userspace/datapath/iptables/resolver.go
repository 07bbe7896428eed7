// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
)

// Docker's names for the chains inside a sandbox.
const (
	chainResolverOut  = "DOCKER_OUTPUT"
	chainResolverPost = "DOCKER_POSTROUTING"
)

var resolverAddr = netip.AddrFrom4([4]byte{127, 0, 0, 11})

// resolverJumps lead into the chains, from the head of the built-in ones.
func resolverJumps() []Rule {
	return []Rule{
		newRule(tableNAT, "OUTPUT", "-d %s/32 -j %s", resolverAddr, chainResolverOut).atHead(),
		newRule(tableNAT, "POSTROUTING", "-d %s/32 -j %s", resolverAddr, chainResolverPost).atHead(),
	}
}

// resolverRules are Docker's (moby daemon/libnetwork/resolver_unix.go).
func resolverRules(r *datapath.Resolver) []Rule {
	var rules []Rule
	for _, l := range []struct {
		proto model.Proto
		port  uint16
	}{{model.TCP, r.TCPPort}, {model.UDP, r.UDPPort}} {
		rules = append(rules,
			newRule(tableNAT, chainResolverOut, "-d %s/32 -p %[2]s -m %[2]s --dport 53 -j DNAT --to-destination %[1]s:%[3]d",
				resolverAddr, l.proto, l.port),
			newRule(tableNAT, chainResolverPost, "-s %s/32 -p %[2]s -m %[2]s --sport %[3]d -j SNAT --to-source :53",
				resolverAddr, l.proto, l.port))
	}
	return rules
}

// EnsureResolver makes Docker's chains inside the sandbox's network namespace.
// iptables-restore runs as the child of a thread that entered the namespace, and
// thereby in it, with the host's file system and binaries.
func (d *Datapath) EnsureResolver(ctx context.Context, r datapath.Resolver) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return ErrClosed
	}
	err := netns.Do(r.Netns, func() error { return d.redirectDNS(ctx, &r) })
	if err != nil {
		return fmt.Errorf("resolver of sandbox %s: %w", r.SandboxID, err)
	}
	d.state.resolvers[r.SandboxID] = r
	return nil
}

func (d *Datapath) redirectDNS(ctx context.Context, r *datapath.Resolver) error {
	cur, err := d.bins.readTables(ctx, IPv4)
	if err != nil {
		return err
	}
	want := resolverRules(r)
	s := new(script)
	for _, chain := range []string{chainResolverOut, chainResolverPost} {
		planOwnResolverChain(s, cur, chain, want)
	}
	for _, jump := range resolverJumps() {
		if !exists(cur, jump) {
			s.add(jump)
		}
	}
	if s.empty() {
		return nil
	}
	if err := d.bins.apply(ctx, IPv4, s); err != nil {
		return err
	}
	// A socket in the sandbox that goes on asking has an entry that leads to the
	// port of an earlier resolver.
	return purgeAddresses(resolverAddr)
}

func planOwnResolverChain(s *script, cur saved, chain string, all []Rule) {
	var want []Rule
	for _, r := range all {
		if r.Chain == chain {
			want = append(want, r)
		}
	}
	current, ok := cur.chain(tableNAT, chain)
	planOwnChain(s, tableNAT, chain, current, ok, want, nil)
}

func exists(cur saved, r Rule) bool {
	rules, _ := cur.chain(r.Table, r.Chain)
	for _, c := range rules {
		if c.spec == r.Spec {
			return true
		}
	}
	return false
}

// DeleteResolver removes the chains again; a namespace that is gone took them along.
func (d *Datapath) DeleteResolver(ctx context.Context, sandboxID string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, ok := d.state.resolvers[sandboxID]
	if !ok {
		return nil
	}
	err := netns.Do(r.Netns, func() error { return d.forgetDNS(ctx) })
	if err != nil && !errors.Is(err, netns.ErrNotExist) && !errors.Is(err, netns.ErrNotNetns) {
		return fmt.Errorf("resolver of sandbox %s: %w", sandboxID, err)
	}
	delete(d.state.resolvers, sandboxID)
	return nil
}

func (d *Datapath) forgetDNS(ctx context.Context) error {
	cur, err := d.bins.readTables(ctx, IPv4)
	if err != nil {
		return err
	}
	s := new(script)
	for _, jump := range resolverJumps() {
		if exists(cur, jump) {
			s.del(jump)
		}
	}
	for _, chain := range []string{chainResolverOut, chainResolverPost} {
		if _, ok := cur.chain(tableNAT, chain); ok {
			s.flush(tableNAT, chain)
			s.drop(tableNAT, chain)
		}
	}
	return d.bins.apply(ctx, IPv4, s)
}
