// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
)

// Options of New. The zero value is usable.
type Options struct {
	// Binaries to run; DefaultBinaries if empty.
	Binaries Binaries
	// MasqueradePorts bounds the source ports of masqueraded TCP and UDP
	// connections; the zero range leaves them to netfilter, as Docker does.
	MasqueradePorts model.PortRange
	// Instance names whose rules these are, in letters and digits; the empty name is
	// one too.
	Instance string
	// Others says that another instance may work in the network namespace. Where it
	// has rules, the first call fails with ErrOccupied, and Uninstall leaves them.
	Others bool
	// Log receives what is worth knowing beside errors; slog.Default if nil.
	Log *slog.Logger
}

// Datapath is the iptables implementation of datapath.Datapath. It works in the
// network namespace that New was called in, whichever thread calls it.
type Datapath struct {
	bins Binaries
	log  *slog.Logger
	ns   *netns.NS
	// others is Options.Others.
	others bool
	// now is time.Now.
	now func() time.Time

	// mu orders all changes: the kernel's tables have one lock anyway.
	mu     sync.Mutex
	closed bool
	kernel [len(families)]kernel
	state  state
	proxy  *proxy
	// counted is what the rules of services have counted.
	counted tally
}

var _ datapath.Datapath = (*Datapath)(nil)

// New returns a datapath for the network namespace of the calling thread. It
// changes nothing; the caller ends it with Close.
func New(o Options) (*Datapath, error) {
	if o.Binaries == (Binaries{}) {
		o.Binaries = DefaultBinaries()
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	ns, err := netns.Current()
	if err != nil {
		return nil, err
	}
	return &Datapath{
		bins:   o.Binaries,
		log:    o.Log,
		ns:     ns,
		others: o.Others,
		now:    time.Now,
		state:  newState(o.MasqueradePorts, o.Instance),
		proxy:  newProxy(ns, o.Log),
	}, nil
}

// Mode returns datapath.IPTables.
func (d *Datapath) Mode() datapath.Mode { return datapath.IPTables }

// Close ends the proxy for IPv6 sockets of the host and its connections. All
// else goes on without this process.
func (d *Datapath) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	d.proxy.close()
	return d.ns.Close()
}

// inside runs f alone, on a thread in the datapath's namespace. Once begun, f goes
// on to its end: a caller that goes away must not leave half a change.
func (d *Datapath) inside(ctx context.Context, f func(context.Context) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return d.ns.Do(func() error { return f(context.WithoutCancel(ctx)) })
}
