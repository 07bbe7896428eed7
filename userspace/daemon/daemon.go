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
	"github.com/fairway-project/fairway/userspace/docker/setup"
	"github.com/fairway-project/fairway/userspace/driver"
	"github.com/fairway-project/fairway/userspace/driver/bridge"
	"github.com/fairway-project/fairway/userspace/driver/host"
	"github.com/fairway-project/fairway/userspace/driver/none"
	"github.com/fairway-project/fairway/userspace/engine"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/process"
	"github.com/fairway-project/fairway/userspace/request"
	"github.com/fairway-project/fairway/userspace/sandbox"
	"github.com/fairway-project/fairway/userspace/store"
	"github.com/fairway-project/fairway/userspace/wanted"
)

// Parts are what a daemon gets from packages that it doesn't know.
type Parts struct {
	// Metrics makes the handler of the Prometheus endpoint; nil for none.
	Metrics func(*engine.Engine) http.Handler
	// Doctor checks the host; nil for no checks.
	Doctor func(context.Context, Config) ([]request.Check, error)
	// Again reads the settings again; nil where they can't be.
	Again func() (Config, error)
}

// daemon is a running daemon: what has to be closed when it ends, in the
// reverse order of closers.
type daemon struct {
	// config are the settings at the start; the present ones, where a reload may have
	// changed them, come from settings.
	config Config
	now    settings
	parts  Parts
	log    *slog.Logger
	level  *slog.LevelVar
	// wanted is what all owners want: engine, docker and plugin.
	wanted *wanted.State
	engine *engine.Engine
	boxes  *sandbox.Manager
	// metrics answers at the Prometheus endpoint, if there is one.
	metrics endpoint
	// before is what to take back if the start is refused, which it isn't any more
	// once the daemon is ready.
	before footprint
	ready  bool
	// alone says that no other daemon works in this network namespace, sweep
	// that all of Fairway's is to go, whoever's it was.
	alone, sweep bool
	// files is the limit of open files that processes in sandboxes get, that of the
	// daemon before it raised its own; zero for the present one.
	files  unix.Rlimit
	pins   *pins           // nil where nothing is pinned
	docker *docker.Watcher // nil without --docker
	plugin *plugin.Driver  // nil without --docker-plugin
	// kept is what a setup of a Docker Engine keeps.
	kept    setup.Stored
	closers []func() error
}

// Run runs a daemon until ctx ends or something that it can't do without fails.
// Sandboxes and their traffic go on after it. An error before the API answers
// has changed as little as could be, and nothing about running traffic.
func Run(ctx context.Context, c Config, p Parts) (err error) {
	signals := catchSignals()
	defer signals.stop()
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
	d := newDaemon(c, p)
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.check(ctx); err != nil {
		return err
	}
	tellPrivateMounts(d.log)
	unix.Umask(0o022)
	d.files = setLimits(d.log)
	tellPortLimit(d.log)
	if err := d.open(ctx); err != nil {
		return err
	}
	return d.serve(ctx, signals)
}

func newDaemon(c Config, p Parts) *daemon {
	d := &daemon{config: c, now: settings{config: c}, parts: p, level: new(slog.LevelVar)}
	d.level.Set(levelOf(c))
	d.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: d.level}))
	return d
}

func levelOf(c Config) slog.Level {
	if c.Debug {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// check refuses, before anything is made, what can be known to go wrong.
func (d *daemon) check(ctx context.Context) error {
	if err := d.config.checkForwarding(); err != nil {
		return err
	}
	if d.config.Docker != "" {
		if err := d.checkUserRules(ctx); err != nil {
			return err
		}
	}
	return d.listenMetrics()
}

// open brings everything up but the API.
func (d *daemon) open(ctx context.Context) error {
	locked, err := lockDirs(d.config)
	if err != nil {
		return err
	}
	d.onClose(func() error {
		if d.ready {
			return locked.release()
		}
		return errors.Join(d.removeState(), locked.discard())
	})
	d.before.lookForState(d.config)
	namespace, err := lockNamespace()
	if err != nil {
		return err
	}
	if namespace != nil {
		d.onClose(namespace.Close)
	}
	d.alone = namespace != nil
	// The state comes first: with one that can't be read nothing is touched.
	state, err := store.Open(filepath.Join(d.config.Root, store.FileName))
	if err != nil {
		return err
	}
	d.onClose(state.Close)
	if err := d.before.lookIntoState(state); err != nil {
		return err
	}
	d.kept = setup.Stored{Store: state, Root: d.config.Root}
	links, err := link.OpenHost()
	if err != nil {
		return err
	}
	d.onClose(links.Close)
	d.boxes, err = sandbox.New(d.config.Root, d.config.RunDir, d.log)
	if err != nil {
		return err
	}
	d.boxes.LimitFiles(d.files)
	if err := d.checkUnused(); err != nil {
		return err
	}
	others, err := noteSwitch(d.config)
	if err != nil {
		return err
	}
	if err := d.before.lookForPins(d.config); err != nil {
		return err
	}
	if err := d.lockPins(); err != nil {
		return err
	}
	dp, err := d.openOwn(ctx)
	if err != nil {
		return err
	}
	d.onClose(dp.Close)
	d.before.datapath = dp
	if d.wanted, err = wanted.New(wanted.Config{Datapath: dp, Devices: links, Others: !d.alone, Log: d.log}); err != nil {
		return err
	}
	if err := d.openDocker(state, dp); err != nil {
		return err
	}
	if err := d.openPlugin(state, links, dp); err != nil {
		return err
	}
	d.engine = engine.New(d.engineConfig(state, links, d.boxes, dp))
	d.onClose(d.engine.Close)
	if err := d.engine.Start(ctx); err != nil {
		return err
	}
	if err := d.retire(ctx, others); err != nil {
		return err
	}
	if err := d.startPlugin(ctx); err != nil {
		return err
	}
	return d.startDocker(ctx)
}

func (d *daemon) engineConfig(s *store.Store, l *link.Host, b *sandbox.Manager, dp datapath.Datapath) engine.Config {
	c := engine.Config{
		Store: s, Links: l, Boxes: b, Wanted: d.wanted, Datapath: dp, Sweep: d.sweep,
		Processes: process.NewRunner(b, engine.NetnsDir(d.config.RunDir)),
		Drivers:   driver.Set{bridge.New(l, d.log), host.New(), none.New()},
		Root:      d.config.Root, RunDir: d.config.RunDir,
		Uplinks: d.config.Uplinks, Metrics: func() string { return d.now.get().Metrics }, Version: request.BuildVersion(), Log: d.log,
	}
	if dp.Mode() == datapath.EBPF {
		c.BPFFS = d.config.BPFFS
		c.KeepPins = d.pins.keep
	}
	if d.parts.Doctor != nil {
		c.Doctor = func(ctx context.Context) ([]request.Check, error) { return d.parts.Doctor(ctx, d.now.get()) }
	}
	return c
}

func (d *daemon) onClose(f func() error) { d.closers = append(d.closers, f) }

// close releases all, after taking back what a start did that was refused.
func (d *daemon) close() error {
	var errs []error
	if !d.ready {
		errs = append(errs, d.takeBack(context.Background()))
	}
	for i := len(d.closers) - 1; i >= 0; i-- {
		errs = append(errs, d.closers[i]())
	}
	return errors.Join(errs...)
}
