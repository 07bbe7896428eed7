// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/docker"
	"github.com/fairway-project/fairway/userspace/docker/plugin"
	"github.com/fairway-project/fairway/userspace/engine"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/sandbox"
	"github.com/fairway-project/fairway/userspace/store"
)

// Parts are what a daemon gets from packages that it doesn't know.
type Parts struct {
	// Metrics makes the handler of the Prometheus endpoint; nil for none.
	Metrics func(*engine.Engine) http.Handler
	// Doctor checks the host; nil for no checks.
	Doctor func(context.Context, Config) ([]api.Check, error)
}

// daemon is a running daemon: what has to be closed when it ends, in the
// reverse order of closers.
type daemon struct {
	config Config
	parts  Parts
	log    *slog.Logger
	engine *engine.Engine
	// alone says that no other daemon works in this network namespace, sweep
	// that all of Fairway's is to go, whoever's it was.
	alone, sweep bool
	// files is the limit of open files that processes in sandboxes get, that of the
	// daemon before it raised its own; zero for the present one.
	files   unix.Rlimit
	docker  *docker.Watcher // nil without --docker
	plugin  *plugin.Driver  // nil without --docker-plugin
	closers []func() error
}

// Run runs a daemon until ctx ends or something that it can't do without fails.
// Sandboxes and their traffic go on after it. An error before the API answers
// has changed as little as could be, and nothing about running traffic.
func Run(ctx context.Context, c Config, p Parts) (err error) {
	if err := c.Validate(); err != nil {
		return err
	}
	if err := checkPrivilege(); err != nil {
		return err
	}
	if err := api.CheckSocketPath(filepath.Join(c.RunDir, api.SocketName)); err != nil {
		return err
	}
	if err := enterHostMounts(); err != nil {
		return err
	}
	if err := makeSysctlsWritable(); err != nil {
		return err
	}
	if err := c.checkForwarding(); err != nil {
		return err
	}
	d := &daemon{config: c, parts: p, log: newLogger(c)}
	tellPrivateMounts(d.log)
	unix.Umask(0o022)
	d.files = setLimits(d.log)
	tellPortLimit(d.log)
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.open(ctx); err != nil {
		return err
	}
	return d.serve(ctx)
}

func newLogger(c Config) *slog.Logger {
	level := slog.LevelInfo
	if c.Debug {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// open brings everything up but the API.
func (d *daemon) open(ctx context.Context) error {
	locked, err := lockDirs(d.config)
	if err != nil {
		return err
	}
	d.onClose(locked.release)
	namespace, err := lockNamespace()
	if err != nil {
		return err
	}
	if namespace != nil {
		d.onClose(namespace.Close)
	}
	d.alone = namespace != nil
	// The state comes first: with one that can't be read nothing is touched.
	state, err := store.Open(filepath.Join(d.config.Root, stateFile))
	if err != nil {
		return err
	}
	d.onClose(state.Close)
	links, err := link.OpenHost()
	if err != nil {
		return err
	}
	d.onClose(links.Close)
	boxes, err := sandbox.New(d.config.Root, d.config.RunDir, d.log)
	if err != nil {
		return err
	}
	boxes.LimitFiles(d.files)
	others, err := noteSwitch(d.config)
	if err != nil {
		return err
	}
	pins, err := lockBPFFS(d.config)
	if err != nil {
		return err
	}
	if pins != nil {
		d.onClose(pins.Close)
	}
	dp, err := d.openOwn(ctx)
	if err != nil {
		return err
	}
	d.onClose(dp.Close)
	if err := d.openDocker(ctx, dp); err != nil {
		return err
	}
	if err := d.openPlugin(links, dp); err != nil {
		return err
	}
	d.engine = engine.New(d.engineConfig(state, links, boxes, dp))
	d.onClose(d.engine.Close)
	if err := d.engine.Start(ctx); err != nil {
		return err
	}
	if err := d.retire(ctx, others); err != nil {
		return err
	}
	// Before Docker's own networks, which end with the removal of leftovers.
	if err := d.startPlugin(ctx); err != nil {
		return err
	}
	return d.startDocker(ctx)
}

func (d *daemon) engineConfig(s *store.Store, l *link.Host, b *sandbox.Manager, dp datapath.Datapath) engine.Config {
	c := engine.Config{
		Store: s, Links: l, Boxes: b, Datapath: dp, Sweep: d.sweep, Others: !d.alone,
		Root: d.config.Root, RunDir: d.config.RunDir,
		Uplinks: d.config.Uplinks, Metrics: d.config.Metrics, Version: api.BuildVersion(), Log: d.log,
	}
	if dp.Mode() == datapath.EBPF {
		c.BPFFS = d.config.BPFFS
	}
	c.Tenant = d.tenant()
	if d.parts.Doctor != nil {
		c.Doctor = func(ctx context.Context) ([]api.Check, error) { return d.parts.Doctor(ctx, d.config) }
	}
	return c
}

func (d *daemon) onClose(f func() error) { d.closers = append(d.closers, f) }

func (d *daemon) close() error {
	var errs []error
	for i := len(d.closers) - 1; i >= 0; i-- {
		errs = append(errs, d.closers[i]())
	}
	return errors.Join(errs...)
}
