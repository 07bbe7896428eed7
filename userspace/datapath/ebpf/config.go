// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/maps/counter"
	"github.com/fairway-project/fairway/maps/drop"
	"github.com/fairway-project/fairway/maps/endpoint"
	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/host"
	"github.com/fairway-project/fairway/maps/icc"
	"github.com/fairway-project/fairway/maps/network"
	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/maps/resolver"
	"github.com/fairway-project/fairway/maps/share"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/datapath/ebpf/expiry"
	"github.com/fairway-project/fairway/userspace/model"
)

// Config says where the datapath keeps things and how it treats flows.
type Config struct {
	// BPFFS is this instance's directory on a BPF filesystem; required.
	BPFFS string
	// RunDir is the daemon's run directory; required.
	RunDir string
	// CgroupPath is the root of the cgroup v2 hierarchy; found if empty.
	CgroupPath string
	// FlowTableSize is the number of entries per flow table, two for each
	// connection; 0 derives it from the memory (loader.DefaultFlowEntries).
	FlowTableSize uint32
	// MasqueradePorts bounds the source ports that masquerading chooses; zero for
	// 1024-65535.
	MasqueradePorts model.PortRange
	// EndpointReserve is how many percent of each flow table, and of the source ports
	// towards each destination, are kept for endpoints that have less than their even
	// part of it; 0 to 50.
	EndpointReserve uint32
	// Timeouts of connections; zero fields are netfilter's defaults.
	Timeouts expiry.Timeouts
	// CollectInterval is the time between two collections of expired flows;
	// 0 is 5 s. Tables that are full are collected sooner.
	CollectInterval time.Duration
	// XDP says which uplinks run the XDP program.
	XDP XDP
	// FirstPacket lets the host's netfilter rules judge what goes between containers
	// and outside; the host has to forward packets. Else they see none of it.
	FirstPacket bool
	// Others says that another instance may work in the network namespace.
	Others bool
	// Build names this build, for another one that finds its tables.
	Build string
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// Datapath implements datapath.Datapath. It works in the network namespace of the
// threads that call it, which has to be the same for all calls.
type Datapath struct {
	log    *slog.Logger
	loader *loader.Loader
	tables tables
	xdp    XDP
	// reserve is in percent.
	reserve uint32

	mu    sync.Mutex
	state state

	collector *collector
	strict    strictness
	// rules is nil unless netfilter judges.
	rules *rules
	// frames is nil where XDP forwards nothing, or the kernel tells nothing.
	frames    *frameNews
	listeners *listeners
	stop      context.CancelFunc
	done      chan struct{}
}

var _ datapath.Datapath = (*Datapath)(nil)

// tables are the maps by family.
type tables struct {
	host      *host.Table
	networks  *network.Table
	endpoints *endpoint.Table
	ports     *publish.Table
	links     *icc.Table
	resolvers *resolver.Table
	flows     *flow.Table
	counters  *counter.Table
	drops     *drop.Table
	shares    *share.Table
}

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
	d := &Datapath{log: cfg.Logger, loader: l, tables: newTables(l), xdp: cfg.XDP, reserve: cfg.EndpointReserve, done: make(chan struct{})}
	if err := d.start(cfg); err != nil {
		return nil, fmt.Errorf("ebpf datapath: %w", errors.Join(err, d.frames.close(), d.rules.close(), d.listeners.close(), l.Close()))
	}
	return d, nil
}

func (d *Datapath) start(cfg Config) error {
	if err := d.adopt(); err != nil {
		return err
	}
	d.collector = newCollector(cfg, d.loader, d.tables)
	if err := d.reshare(); err != nil {
		return err
	}
	if err := d.loader.AttachSockets(); err != nil {
		return err
	}
	if err := d.openRules(cfg); err != nil {
		return err
	}
	var err error
	if d.frames, err = openFrameNews(d.xdp); err != nil {
		return err
	}
	if d.listeners, err = openListeners(cfg.Logger, d.tables.host); err != nil {
		return err
	}
	d.collector.conntrack = d.rules.connections()
	run, stop := context.WithCancel(context.Background())
	d.stop = stop
	go func() {
		defer close(d.done)
		watched := d.rules.watch(run, d.newRules)
		followed := d.frames.watch(run, d.framesChanged, func(err error) { d.log.Error("devices that take frames", "err", err) })
		heard := d.listeners.watch(run)
		d.collector.run(run, func() error { return errors.Join(d.sweepPins(), d.endClosed()) })
		<-watched
		<-followed
		<-heard
	}()
	return nil
}

// Mode returns datapath.EBPF.
func (d *Datapath) Mode() datapath.Mode { return datapath.EBPF }

// Close stops the collection and frees descriptors. Traffic goes on.
func (d *Datapath) Close() error {
	d.stop()
	<-d.done
	return errors.Join(d.endClosed(), d.frames.close(), d.rules.close(), d.listeners.close(), d.loader.Close())
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

func newTables(l *loader.Loader) tables {
	m := l.Maps()
	return tables{
		host: host.New(m), networks: network.New(m), endpoints: endpoint.New(m), ports: publish.New(m),
		links: icc.New(m), resolvers: resolver.New(m), flows: flow.New(m), counters: counter.New(m), drops: drop.New(m),
		shares: share.New(m),
	}
}
