// SPDX-License-Identifier: Apache-2.0

// Package docker carries the bridge networks of an unmodified Docker Engine over a
// datapath. The engine goes on to make bridges, veths, namespaces, addresses and
// names; with --iptables=false it leaves the traffic to us.
//
// What is wanted is computed from three things, again whenever one of them changes:
// what the engine lists (view), which devices there are (device), and which host
// ports its proxies hold (proxies). Events of the engine and of the kernel only
// say where to look; a full listing every 30 s and after every reconnection finds
// what they missed.
//
// Be aware:
//   - Docker waits for the answer to a proxy, and that waits for Docker where an endpoint
//     isn't known yet, for a bounded time. Nothing else that Docker waits for does;
//   - a veth of Docker's drops everything from the moment its bridge is known to be
//     Docker's and it appears until its endpoint is found;
//   - while the engine is away, what it said last stays, as far as the devices do;
//   - services that containers ask for by labels are told after the endpoints that they
//     lead to;
//   - an endpoint is given a device only if the engine was asked after the device
//     appeared: addresses, and with them MAC addresses, are used again at once.
package docker

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairway-project/fairway/userspace/docker/client"
	"github.com/fairway-project/fairway/userspace/docker/device"
	"github.com/fairway-project/fairway/userspace/docker/facts"
	"github.com/fairway-project/fairway/userspace/docker/proxies"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/pace"
	"github.com/fairway-project/fairway/userspace/policy"
	"github.com/fairway-project/fairway/userspace/ports"
	"github.com/fairway-project/fairway/userspace/store"
	"github.com/fairway-project/fairway/userspace/wanted"
)

// Config is what a watcher works with. The caller closes what is behind Wanted after it.
type Config struct {
	// Socket of the engine, as unix:///PATH.
	Socket string
	// Wanted is told what the engine's networks come to.
	Wanted *wanted.State
	// Store remembers which backends of services were healthy; nil for nobody.
	Store *store.Store
	Log   *slog.Logger
	// Absent says that the engine doesn't run, and Start needn't wait for it. It may
	// be one that waits for the daemon to be up.
	Absent bool
	// Subnets are those that the engine takes by itself.
	Subnets []netip.Prefix
	// BridgesChanged is called when the bridges of the engine's networks are others.
	BridgesChanged func(context.Context)
}

// Watcher follows one Docker Engine.
type Watcher struct {
	Config
	client *client.Client
	owner  *wanted.Owner
	held   *proxies.Table
	todo   *todo
	// hears says that the engine tells its events, and so answers questions.
	hears atomic.Bool
	// listen6 says that the host can listen on IPv6.
	listen6 bool
	// retry asks for another look at the devices after some time.
	retry pace.Signal
	// changes asks for another look once they have settled.
	changes pace.Signal
	// inspect asks for a look at whose openings are missing.
	inspect pace.Signal
	// refuse asks for a look at what the engine itself listens on.
	refuse pace.Signal
	// first is closed when the engine has said everything for the first time, or
	// can't be reached; once closes it.
	first chan struct{}
	once  sync.Once

	// mu guards all that follows and orders what is said to owner.
	mu      sync.Mutex
	view    view
	devices device.Devices
	// onBridge are the networks by the indexes of their bridges; nil where it isn't known.
	onBridge map[int]string
	// stale says that devices are to be listed anew.
	stale bool
	// looks counts the times that all devices were listed.
	looks int
	// clock counts the devices that appeared; since tells when each did, by index.
	clock uint64
	since map[int]appearance
	// bound is each endpoint's device, by endpoint ID.
	bound map[string]int
	// openings are the ports that containers were told to publish, by container ID,
	// where gateway mode routed makes them matter.
	openings map[string][]policy.Opening
	services *services

	cancel     context.CancelFunc
	background sync.WaitGroup
}

// appearance is when a device was seen first, in questions and in time.
type appearance struct {
	clock uint64
	at    time.Time
}

// endpointNames are the names that belong to an endpoint.
type endpointNames struct{ container, network string }

// view is what the engine said last.
type view struct {
	networks map[string]facts.Network
	// asked is the clock when the question was sent that a network is the answer to.
	asked      map[string]uint64
	containers []client.Container
	// names are those of endpoints, by ID: a list of flows asks for each.
	names map[string]endpointNames
	// complete is set by the first full listing.
	complete bool
}

const (
	// relistEvery bounds the time that a lost event goes unnoticed.
	relistEvery = 30 * time.Second
	// firstWait is how long Start waits for the first full listing.
	firstWait = 5 * time.Second
)

// New returns a watcher that does nothing yet.
func New(c Config) (*Watcher, error) {
	cl, err := client.New(c.Socket)
	if err != nil {
		return nil, err
	}
	w := &Watcher{
		Config: c, client: cl, held: proxies.NewTable(), todo: newTodo(), retry: pace.NewSignal(), changes: pace.NewSignal(), first: make(chan struct{}),
		inspect: pace.NewSignal(), refuse: pace.NewSignal(), openings: make(map[string][]policy.Opening),
		view:  view{networks: make(map[string]facts.Network), asked: make(map[string]uint64)},
		since: make(map[int]appearance), bound: make(map[string]int), listen6: ports.ListensIPv6(),
	}
	w.owner = c.Wanted.Owner(model.OwnerDocker, wanted.Options{Foreign: true, Audit: true, Reserved: c.Subnets, View: w})
	if w.services, err = newServices(w); err != nil {
		w.owner.Close()
		cl.Close()
		return nil, err
	}
	w.owner.Report(cl.Socket(), errSilent)
	return w, nil
}

// errSilent is about an engine that hasn't answered.
var errSilent = errors.New("has not said yet what it has")

// Start begins to follow the engine, which needn't run. It waits for a short time
// for what the engine has to be carried. Close ends it.
func (w *Watcher) Start(ctx context.Context) error {
	sub, err := device.Subscribe(w.Log)
	if err != nil {
		return err
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w.cancel = cancel
	w.lookAgain()
	w.background.Go(func() {
		sub.Run(running, device.Reports{Appeared: w.appeared, Left: w.left, Told: w.told, Changed: w.changed, Lost: w.lookAgain})
	})
	w.background.Go(func() { w.followChanges(running) })
	w.background.Go(func() { w.followEvents(running) })
	w.background.Go(func() { w.follow(running) })
	w.background.Go(func() { w.retryLooks(running) })
	w.background.Go(func() { w.inspectAll(running) })
	w.background.Go(func() { w.refuseAll(running) })
	patience := firstWait
	if w.Absent {
		patience = 0
	}
	wait, stop := context.WithTimeout(ctx, patience)
	defer stop()
	select {
	case <-w.first:
	case <-wait.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.view.complete {
		w.Log.Warn("docker doesn't answer yet; what it has is taken over when it does", "socket", w.client.Socket())
	}
	return ctx.Err()
}

// Close ends all that the watcher started, and waits for that. The traffic goes on.
func (w *Watcher) Close() error {
	if w.cancel != nil {
		w.cancel()
	}
	w.background.Wait()
	err := w.services.close()
	w.owner.Close()
	w.client.Close()
	return err
}

// Relist makes the watcher ask the engine for everything.
func (w *Watcher) Relist() { w.todo.everything() }
