// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fairway-project/fairway/userspace/audit"
	"github.com/fairway-project/fairway/userspace/driver/bridge"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/ports"
	"github.com/fairway-project/fairway/userspace/store"
	"github.com/fairway-project/fairway/userspace/wanted"
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

// Config is what a driver works with. The caller closes Links and what is behind Wanted
// after it.
type Config struct {
	// Store keeps what the driver has. Dir is where earlier versions had a file.
	Store *store.Store
	Dir   string
	Links Links
	// Wanted is told what the driver wants.
	Wanted *wanted.State
	// Docker is the socket of the engine whose networks these are, as
	// unix:///PATH: those that it doesn't know any more are removed, and endpoints
	// that it gave up. Empty to keep what it doesn't delete itself.
	Docker string
	// Unserved says that nobody answers Docker's calls: networks of an earlier
	// daemon's driver go on, and Degraded tells.
	Unserved bool
	// HostChanged is called when the host has got or lost addresses.
	HostChanged func(context.Context) error
	Log         *slog.Logger
}

// Driver carries the networks that Docker gave it.
type Driver struct {
	Config
	audit *audit.Log
	ports *ports.Allocator
	owner *wanted.Owner
	// busy orders the calls, and with them the use of Links and of owner.
	busy sync.Mutex
	// bridges are the indexes of the networks' devices. Guarded by busy.
	bridges map[string]int

	// mu guards what follows, which is changed by the holder of busy only and is
	// read by others as well. Records are never changed but replaced.
	mu      sync.Mutex
	records records
	// names are Docker's as it said them when it was asked last, at asked.
	names answers
	asked time.Time

	cancel     context.CancelFunc
	background sync.WaitGroup
}

// New reads what the driver had, and does nothing with it before Start.
func New(c Config) (*Driver, error) {
	f, err := load(c.Store, c.Dir)
	if err != nil {
		return nil, err
	}
	d := &Driver{
		Config: c, audit: audit.New(c.Log, model.OwnerDockerPlugin), ports: ports.NewAllocator(), bridges: make(map[string]int),
		records: f, cancel: func() {},
	}
	d.owner = c.Wanted.Owner(model.OwnerDockerPlugin, wanted.Options{View: d})
	for _, n := range f.Networks {
		d.owner.ExpectNetwork(wanted.Network{Network: n.Network, Told: bridge.Told(&n.Network, link.Device{})})
	}
	for _, e := range f.Endpoints {
		d.owner.ExpectEndpoint(datapathEndpoint(e, link.Device{Name: e.HostIf}), d.portsOf(e))
	}
	return d, nil
}

// Close ends the driver's own activity and gives the reserved ports free. Devices
// and traffic stay.
func (d *Driver) Close() error {
	d.cancel()
	d.background.Wait()
	d.owner.Close()
	return d.ports.Close()
}

// enter begins a call; leave ends it. With an error there is nothing to leave.
func (d *Driver) enter() (leave func(), err error) {
	d.busy.Lock()
	if d.Wanted.Stopped() {
		d.busy.Unlock()
		return nil, wanted.ErrStopped
	}
	return d.busy.Unlock, nil
}

// commit saves an edit and makes it the present state.
func (d *Driver) commit(edit func(*records)) error {
	next := records{Networks: maps.Clone(d.records.Networks), Endpoints: maps.Clone(d.records.Endpoints)}
	edit(&next)
	if err := d.records.save(d.Store, next); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.records = next
	return nil
}

// endpointsOf returns the endpoints of a network in the order of their IDs.
func (d *Driver) endpointsOf(networkID string) (all []*endpoint) {
	for _, id := range slices.Sorted(maps.Keys(d.records.Endpoints)) {
		if e := d.records.Endpoints[id]; e.NetworkID == networkID {
			all = append(all, e)
		}
	}
	return all
}

// hostChanged is told after the change, and can't undo it.
func (d *Driver) hostChanged(ctx context.Context) {
	d.owner.Report("addresses of the host", d.HostChanged(ctx))
}
