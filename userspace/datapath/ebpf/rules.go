// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	rtnl "github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/conntrack"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/nl"
	"github.com/fairway-project/fairway/userspace/pace"
)

// rules is what first-packet mode needs of the host's netfilter: news of changed
// rules, and a conntrack that bears to see a part of the packets only. All methods
// do nothing on nil.
type rules struct {
	log    *slog.Logger
	ns     *netns.NS
	events *rtnl.NetlinkSocket
	tracks *conntrack.Table
	strict strictness
}

// nftablesGroup is NFNLGRP_NFTABLES of linux/netfilter/nfnetlink.h. Rules that
// iptables-legacy changes, and elements of ipsets, aren't told there; the programs
// let netfilter judge each flow again every second for their sake.
const nftablesGroup = 7

// tend is the time between two looks at what conntrack is set to: it may be loaded
// any time.
const tend = 2 * time.Second

// openRules begins first-packet mode in the calling thread's network namespace, or
// ends what an earlier process has left of it.
func (d *Datapath) openRules(cfg Config) error {
	d.strict = strictness{dir: cfg.RunDir}
	if !cfg.FirstPacket {
		return d.strict.restore()
	}
	r := &rules{log: cfg.Logger, strict: d.strict}
	d.rules = r
	var err error
	if r.ns, err = netns.Current(); err != nil {
		return err
	}
	if r.tracks, err = conntrack.Open(); err != nil {
		return err
	}
	if r.events, err = rtnl.Subscribe(unix.NETLINK_NETFILTER, nftablesGroup); err != nil {
		// A kernel without nftables has nothing to tell.
		r.log.Info("changes of netfilter's rules are noticed within a second only", "err", err)
		r.events = nil
	}
	if err := r.strict.loosen(); err != nil {
		return err
	}
	return d.addresses.table.NewRules()
}

// watch calls changed after every change of rules, from a goroutine of its own, until
// ctx ends. The channel is closed when that is over.
func (r *rules) watch(ctx context.Context, changed func() error) <-chan struct{} {
	over := make(chan struct{})
	if r == nil {
		close(over)
		return over
	}
	told, received := r.receive(ctx)
	go func() {
		defer close(over)
		defer func() { <-received }()
		ticker := time.NewTicker(tend)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-told:
				if err := changed(); err != nil {
					r.log.Error("netfilter's rules changed", "err", err)
				}
			case <-ticker.C:
				if err := r.ns.Do(r.strict.loosen); err != nil {
					r.log.Error("conntrack", "err", err)
				}
			}
		}
	}()
	return over
}

// receive tells of changes until ctx ends, and then that it does so no more. Many at
// once are one.
func (r *rules) receive(ctx context.Context) (changes pace.Signal, over <-chan struct{}) {
	told, done := pace.NewSignal(), make(chan struct{})
	if r.events == nil {
		close(done)
		return told, done
	}
	go func() {
		defer close(done)
		err := nl.Drain(ctx, r.events, told.Raise, func([]syscall.NetlinkMessage) { told.Raise() })
		if ctx.Err() == nil {
			r.log.Error("netfilter's events", "err", err)
		}
	}()
	return told, done
}

// connections returns the table of connections that netfilter keeps.
func (r *rules) connections() *conntrack.Table {
	if r == nil {
		return nil
	}
	return r.tracks
}

func (r *rules) close() error {
	if r == nil {
		return nil
	}
	if r.events != nil {
		r.events.Close()
	}
	r.tracks.Close()
	if r.ns == nil {
		return nil
	}
	return r.ns.Close()
}

func (d *Datapath) newRules() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.addresses.table.NewRules(); err != nil {
		return fmt.Errorf("judge flows again: %w", err)
	}
	return nil
}
