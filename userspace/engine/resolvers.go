// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/dns"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/resolvconf"
)

// resolvers are the embedded DNS servers that run, by sandbox.
type resolvers struct {
	mu  sync.Mutex
	all map[string]*dns.Resolver
}

func newResolvers() *resolvers { return &resolvers{all: make(map[string]*dns.Resolver)} }

func (r *resolvers) get(sandboxID string) *dns.Resolver {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all[sandboxID]
}

func (r *resolvers) set(sandboxID string, d *dns.Resolver) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all[sandboxID] = d
}

// take removes and returns the sandbox's resolver, nil if it has none.
func (r *resolvers) take(sandboxID string) *dns.Resolver {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.all[sandboxID]
	delete(r.all, sandboxID)
	return d
}

// closeAll closes them side by side: each takes a few milliseconds to end, and a
// daemon with hundreds should end in less than seconds.
func (r *resolvers) closeAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	var closing sync.WaitGroup
	for _, d := range r.all {
		closing.Go(func() { d.Close() })
	}
	closing.Wait()
	clear(r.all)
}

// resolve makes name resolution of a sandbox fit its endpoints: its files, and
// the embedded resolver if it is on a user-defined network.
func (e *Engine) resolve(ctx context.Context, sb *model.Sandbox, all []attachment) error {
	host, err := resolvconf.LoadHost()
	if err != nil {
		return fmt.Errorf("sandbox %s: %w", sb.Name, err)
	}
	if !embedded(all) {
		if err := e.stopResolver(ctx, sb.ID); err != nil {
			return err
		}
		return e.writeFiles(sb, all, plainResolvConf(host, sb, all))
	}
	conf := resolvconf.ForEmbedded(host, overrides(sb))
	if err := e.writeFiles(sb, all, conf.Content); err != nil {
		return err
	}
	config := resolverConfig(sb, all, conf)
	if r := e.resolvers.get(sb.ID); r != nil {
		r.Update(config)
		return nil
	}
	return e.startResolver(ctx, sb, config)
}

func (e *Engine) startResolver(ctx context.Context, sb *model.Sandbox, c dns.Config) error {
	r, err := dns.Start(dns.Options{
		Netns: sb.Netns, Names: e.names, Shares: e.dnsShares, Log: e.log.With("sandbox", sb.Name),
	}, c)
	if err != nil {
		return fmt.Errorf("sandbox %s: embedded dns: %w", sb.Name, err)
	}
	if err := e.owner.PutResolver(ctx, datapathResolver(sb, r)); err != nil {
		// Nobody wants it any more, and what of it was taken goes.
		err = errors.Join(err, e.owner.DeleteResolver(context.WithoutCancel(ctx), sb.ID))
		r.Close()
		return fmt.Errorf("sandbox %s: embedded dns: %w", sb.Name, err)
	}
	e.resolvers.set(sb.ID, r)
	return nil
}

func datapathResolver(sb *model.Sandbox, r *dns.Resolver) datapath.Resolver {
	return datapath.Resolver{SandboxID: sb.ID, Netns: sb.Netns, UDPPort: r.UDPPort(), TCPPort: r.TCPPort()}
}

// stopResolver ends the embedded resolver; a sandbox without one is no error.
func (e *Engine) stopResolver(ctx context.Context, sandboxID string) error {
	r := e.resolvers.take(sandboxID)
	if r == nil {
		return nil
	}
	err := e.owner.DeleteResolver(ctx, sandboxID)
	r.Close()
	if err != nil {
		return fmt.Errorf("sandbox %s: embedded dns: %w", shortID(sandboxID), err)
	}
	return nil
}

// plainResolvConf is the resolv.conf of a sandbox without the embedded resolver.
func plainResolvConf(host resolvconf.File, sb *model.Sandbox, all []attachment) []byte {
	if sb.Mode == model.ModeHost {
		return resolvconf.ForHost(host, overrides(sb))
	}
	ipv6 := false
	for _, a := range all {
		ipv6 = ipv6 || a.net.IPv6 != nil
	}
	return resolvconf.ForBridge(host, overrides(sb), ipv6)
}

// writeFiles brings the files that are mounted over the sandbox's /etc up to date.
func (e *Engine) writeFiles(sb *model.Sandbox, all []attachment, resolvConf []byte) error {
	if sb.Mode == model.ModeContainer {
		return nil
	}
	files := e.boxes.Files(sb.ID)
	if _, err := resolvconf.WriteUnlessEdited(files.ResolvConf, resolvConf); err != nil {
		return fmt.Errorf("sandbox %s: %w", sb.Name, err)
	}
	if err := e.writeHosts(sb, all); err != nil {
		return err
	}
	if err := resolvconf.Write(files.Hostname, resolvconf.Hostname(sb.Hostname)); err != nil {
		return fmt.Errorf("sandbox %s: %w", sb.Name, err)
	}
	return nil
}

func (e *Engine) writeHosts(sb *model.Sandbox, all []attachment) error {
	content := hostsFile(sb, all, e.state.defaultLinks(sb)).Content()
	if err := resolvconf.Write(e.boxes.Files(sb.ID).Hosts, content); err != nil {
		return fmt.Errorf("sandbox %s: %w", sb.Name, err)
	}
	return nil
}
