// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/netns"
)

// Datapath implements datapath.Datapath. It works in the network namespace of the
// threads that call it, which has to be the same for all calls.
//
// It puts parts together that know one thing each. A part owns its maps, and what the
// process knows of their content: read from them at the start, it follows every write.
type Datapath struct {
	log    *slog.Logger
	loader *loader.Loader

	// mu makes one edit at a time of what has to fit together: slots, and all that names
	// them. It comes before the parts' own locks and after the collector's.
	mu        sync.Mutex
	networks  *networks
	endpoints *endpoints
	relays    *relays
	ports     *ports
	services  *services
	links     *links
	addresses *addresses
	uplinks   *uplinks
	shares    *shares
	frames    *frames
	// attachments are the sandboxes' namespaces.
	attachments *attachments

	// What follows has locks of its own, or needs none.
	programs  *programs
	resolvers *resolvers
	collector *collector
	meter     *meter
	listeners *listeners
	strict    strictness
	// rules is nil unless netfilter judges.
	rules *rules
	// ns is the network namespace of the devices.
	ns *netns.NS
	// unable says once that sockets can't be ended.
	unable sync.Once
	// news is nil where XDP forwards nothing, or the kernel tells nothing.
	news *frameNews

	stop context.CancelFunc
	done chan struct{}
}

var _ datapath.Datapath = (*Datapath)(nil)

// New loads the programs, or replaces those of an earlier process, adopts the maps
// that it left, and starts the collection of expired flows. What an earlier
// process attached works on all the time. The caller closes the datapath; ctx
// bounds the start only.
func New(ctx context.Context, cfg Config) (*Datapath, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l, err := loader.Open(loader.Config{
		Dir: cfg.BPFFS, RunDir: cfg.RunDir, CgroupPath: cfg.CgroupPath,
		FlowTableSize: cfg.FlowTableSize, MasqueradePorts: cfg.MasqueradePorts, FirstPacket: cfg.FirstPacket,
		Others: cfg.Others, Build: cfg.Build, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("ebpf datapath: %w", err)
	}
	ns, err := netns.Current()
	if err != nil {
		return nil, fmt.Errorf("ebpf datapath: %w", errors.Join(err, l.Close()))
	}
	d := &Datapath{log: cfg.Logger, loader: l, ns: ns, done: make(chan struct{})}
	if err := d.start(cfg); err != nil {
		return nil, fmt.Errorf("ebpf datapath: %w", errors.Join(err, d.news.close(), d.rules.close(), d.listeners.close(), d.ns.Close(), l.Close()))
	}
	return d, nil
}

func (d *Datapath) start(cfg Config) error {
	if err := d.adopt(cfg); err != nil {
		return err
	}
	if err := d.shares.divide(d.answering()); err != nil {
		return err
	}
	if err := d.loader.AttachSockets(); err != nil {
		return err
	}
	if err := d.openRules(cfg); err != nil {
		return err
	}
	var err error
	if d.news, err = openFrameNews(cfg.XDP); err != nil {
		return err
	}
	if d.listeners, err = openListeners(cfg.Logger, d.addresses.table); err != nil {
		return err
	}
	if tracks := d.rules.connections(); tracks != nil {
		d.collector.conntrack, d.collector.departed = tracks, new(departed)
		d.endpoints.departed = d.collector.departed
	}
	run, stop := context.WithCancel(context.Background())
	d.stop = stop
	go func() {
		defer close(d.done)
		watched := d.rules.watch(run, d.newRules)
		followed := d.news.watch(run, d.framesChanged, func(err error) { d.log.Error("devices that take frames", "err", err) })
		heard := d.listeners.watch(run)
		settled := d.programs.settleAll(run, d.ns, func(err error) { d.log.Error("programs stay as they were attached", "err", err) })
		d.collector.run(run, func() error {
			d.serveBehind()
			return errors.Join(d.programs.sweepPins(), d.endClosed())
		})
		<-watched
		<-followed
		<-heard
		<-settled
	}()
	return nil
}

// Mode returns datapath.EBPF.
func (d *Datapath) Mode() datapath.Mode { return datapath.EBPF }

// Close stops the collection and frees descriptors. Traffic goes on.
func (d *Datapath) Close() error {
	d.stop()
	<-d.done
	d.services.table.AllPending().Wait()
	return errors.Join(d.endClosed(), d.news.close(), d.rules.close(), d.listeners.close(), d.ns.Close(), d.loader.Close())
}

// Uninstall removes every program, map and directory of this instance. The
// datapath can only be closed afterwards.
func (d *Datapath) Uninstall(context.Context) error {
	// Not under the lock: the collection may be waiting for it.
	d.stop()
	<-d.done
	d.mu.Lock()
	defer d.mu.Unlock()
	return errors.Join(d.loader.Uninstall(), d.strict.restore())
}
