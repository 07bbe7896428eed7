// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fairway-project/fairway/userspace/audit"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/ports"
)

// Links makes the devices; link.Host does.
type Links interface {
	Find(name string) (link.Device, error)
	EnsureBridge(link.Bridge) (link.Device, error)
	DeleteBridge(name, networkID string) error
	CreatePair(link.Veth) (link.Device, error)
	DeleteVeth(hostName, endpointID string) error
	SetUp(name string) error
}

// Config is what a driver works with. The caller closes Links and Datapath after it.
type Config struct {
	// Dir is the directory of the driver's file.
	Dir      string
	Links    Links
	Datapath datapath.Shared
	// Docker is the socket of the engine whose networks these are, as
	// unix:///PATH: those that it doesn't know any more are removed, and endpoints
	// that it gave up. Empty to keep what it doesn't delete itself.
	Docker string
	// Unserved says that nobody answers Docker's calls: networks of an earlier
	// daemon's driver go on, and Degraded tells.
	Unserved bool
	// Sweep says that nobody else sweeps the datapath.
	Sweep bool
	// HostChanged is called when the host has got or lost addresses.
	HostChanged func(context.Context) error
	Log         *slog.Logger
}

// errStopped answers calls while Fairway is being uninstalled.
var errStopped = errors.New("fairway is being uninstalled")

// Driver carries the networks that Docker gave it.
type Driver struct {
	Config
	path  string
	audit *audit.Log
	ports *ports.Allocator
	// busy orders the calls, and with them the use of Links and Datapath.
	busy sync.Mutex
	// bridges are the indexes of the networks' devices. Guarded by busy.
	bridges map[string]int

	// mu guards what follows, which is changed by the holder of busy only and is
	// read by others as well. Records are never changed but replaced.
	mu       sync.Mutex
	file     file
	stopped  bool
	troubles map[string]string
	// names are Docker's as it said them when it was asked last, at asked.
	names answers
	asked time.Time

	cancel     context.CancelFunc
	background sync.WaitGroup
}

// New reads what the driver had, and does nothing with it before Start.
func New(c Config) (*Driver, error) {
	path := filepath.Join(c.Dir, FileName)
	f, err := load(path)
	if err != nil {
		return nil, err
	}
	return &Driver{
		Config: c, path: path, audit: audit.New(c.Log, model.OwnerDockerPlugin), ports: ports.NewAllocator(), bridges: make(map[string]int),
		file: f, troubles: make(map[string]string), cancel: func() {},
	}, nil
}

// Close ends the driver's own activity and gives the reserved ports free. Devices
// and traffic stay.
func (d *Driver) Close() error {
	d.cancel()
	d.background.Wait()
	return d.ports.Close()
}

// enter begins a call; leave ends it. With an error there is nothing to leave.
func (d *Driver) enter() (leave func(), err error) {
	d.busy.Lock()
	if d.stopped {
		d.busy.Unlock()
		return nil, errStopped
	}
	return d.busy.Unlock, nil
}

// commit saves an edit and makes it the present state.
func (d *Driver) commit(edit func(*file)) error {
	next := file{Version: fileVersion, Networks: maps.Clone(d.file.Networks), Endpoints: maps.Clone(d.file.Endpoints)}
	edit(&next)
	if err := next.save(d.path); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.file = next
	return nil
}

// endpointsOf returns the endpoints of a network in the order of their IDs.
func (d *Driver) endpointsOf(networkID string) (all []*endpoint) {
	for _, id := range slices.Sorted(maps.Keys(d.file.Endpoints)) {
		if e := d.file.Endpoints[id]; e.NetworkID == networkID {
			all = append(all, e)
		}
	}
	return all
}

// hostChanged is told after the change, and can't undo it.
func (d *Driver) hostChanged(ctx context.Context) {
	err := d.HostChanged(ctx)
	d.report("addresses of the host", err)
}
