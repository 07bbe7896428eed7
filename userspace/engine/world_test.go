// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/driver"
	"github.com/fairway-project/fairway/userspace/driver/bridge"
	"github.com/fairway-project/fairway/userspace/driver/host"
	"github.com/fairway-project/fairway/userspace/driver/none"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/process"
	"github.com/fairway-project/fairway/userspace/request"
	"github.com/fairway-project/fairway/userspace/sandbox"
	"github.com/fairway-project/fairway/userspace/store"
	"github.com/fairway-project/fairway/userspace/wanted"
)

// world is an engine with real devices, namespaces and processes and a fake
// datapath, in the namespace of the test process.
type world struct {
	t     testing.TB
	dir   string
	fake  *fakeDatapath
	store *store.Store
	links *link.Host
	// more is a driver beside those of a daemon, if any.
	more func(*link.Host) driver.Driver
	// stuck has the bridge's driver refuse to take addresses of services off, or to set all.
	stuck atomic.Bool
	// sweep is the Config's.
	sweep bool
	// logged counts the messages of the engine's log.
	logged *counting
	*Engine
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldWith(t, nil)
}

// newWorldWith has one more driver.
func newWorldWith(t testing.TB, more func(*link.Host) driver.Driver) *world {
	t.Helper()
	w := &world{t: t, dir: shortDir(t), fake: newFake(), more: more}
	w.open()
	t.Cleanup(w.destroy)
	return w
}

// shortDir is a directory for one test.
func shortDir(t testing.TB) string {
	dir, err := os.MkdirTemp("", "fwe")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// open brings an engine up on the world's directories.
func (w *world) open() {
	w.t.Helper()
	root, run := filepath.Join(w.dir, "root"), filepath.Join(w.dir, "run")
	for _, dir := range []string{root, run} {
		must(w.t, os.MkdirAll(dir, 0o755))
	}
	var err error
	w.store, err = store.Open(filepath.Join(root, "state.db"))
	must(w.t, err)
	w.links, err = link.OpenHost()
	must(w.t, err)
	w.logged = &counting{Handler: slog.NewTextHandler(testWriter{w.t}, &slog.HandlerOptions{Level: slog.LevelWarn})}
	log := slog.New(w.logged)
	boxes, err := sandbox.New(root, run, log)
	must(w.t, err)
	state, err := wanted.New(wanted.Config{Datapath: w.fake, Devices: w.links, Log: log})
	must(w.t, err)
	w.Engine = New(Config{
		Store: w.store, Links: w.links, Boxes: boxes, Wanted: state, Datapath: w.fake, Processes: process.NewRunner(boxes, NetnsDir(run)),
		Drivers: w.drivers(log),
		Root:    root, RunDir: run, Log: log, Sweep: w.sweep,
	})
	must(w.t, w.Start(context.Background()))
}

// drivers are those of a daemon, and those of the test.
func (w *world) drivers(log *slog.Logger) driver.Set {
	all := driver.Set{sticky{bridge.New(w.links, log), &w.stuck}, host.New(), none.New()}
	if w.more != nil {
		all = append(all, w.more(w.links))
	}
	return all
}

// sticky is the bridge's driver with addresses of services that stay as they are while stuck.
type sticky struct {
	*bridge.Driver
	stuck *atomic.Bool
}

func (s sticky) SetAddresses(ctx context.Context, n *model.Network, all []netip.Addr) error {
	if s.stuck.Load() {
		return errInjected
	}
	return s.Driver.SetAddresses(ctx, n, all)
}

func (s sticky) RemoveAddress(ctx context.Context, n *model.Network, a netip.Addr) error {
	if s.stuck.Load() {
		return errInjected
	}
	return s.Driver.RemoveAddress(ctx, n, a)
}

// unsaved runs f while nothing can be saved.
func (w *world) unsaved(f func()) {
	w.t.Helper()
	full, err := store.Open(filepath.Join(w.dir, "full.db"))
	must(w.t, err)
	must(w.t, full.Close())
	w.Engine.store = full
	defer func() { w.Engine.store = w.store }()
	f()
}

// shut ends the engine as the end of the daemon does.
func (w *world) shut() {
	w.t.Helper()
	must(w.t, w.Engine.Close())
	must(w.t, w.links.Close())
	must(w.t, w.store.Close())
}

// restart is the end of one daemon and the start of the next.
func (w *world) restart() {
	w.t.Helper()
	w.shut()
	w.open()
}

// destroy removes everything and checks that nothing is left.
func (w *world) destroy() {
	if err := w.Uninstall(context.Background(), true, func(string) {}); err != nil {
		w.t.Error(err)
	}
	if owned, err := w.links.Owned(); err != nil || len(owned) > 0 {
		w.t.Errorf("devices left: %v %v", owned, err)
	}
	if n := w.ports.Len(); n > 0 {
		w.t.Errorf("%d port reservations left", n)
	}
	w.shut()
}

// counting counts the messages of every level and hands on those that Handler takes. What
// has attributes of its own isn't counted.
type counting struct {
	slog.Handler
	mu   sync.Mutex
	seen map[string]int
}

func (c *counting) Enabled(context.Context, slog.Level) bool { return true }

func (c *counting) Handle(ctx context.Context, r slog.Record) error {
	c.mu.Lock()
	if c.seen == nil {
		c.seen = make(map[string]int)
	}
	c.seen[r.Message]++
	c.mu.Unlock()
	if !c.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return c.Handler.Handle(ctx, r)
}

func (c *counting) count(message string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[message]
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// network makes a network with the options given as KEY=VALUE pairs.
func (w *world) network(req request.NetworkCreate) model.Network {
	w.t.Helper()
	n, err := w.CreateNetwork(context.Background(), req)
	must(w.t, err)
	return n
}

// run starts a sandbox with a process that lives until it is killed.
func (w *world) run(c request.SandboxConfig) request.SandboxView {
	w.t.Helper()
	v, _, err := w.Run(context.Background(), request.Run{SandboxConfig: c, Command: []string{"sleep", "1000"}}, nil)
	must(w.t, err)
	return v
}

func (w *world) view(ref string) request.SandboxView {
	w.t.Helper()
	v, err := w.Sandbox(context.Background(), ref)
	must(w.t, err)
	return v
}

// on lists networks by name for a SandboxConfig.
func on(names ...string) []request.EndpointSettings {
	var out []request.EndpointSettings
	for _, n := range names {
		out = append(out, request.EndpointSettings{Network: n})
	}
	return out
}

// snapshot is everything that an edit may change, to compare before and after.
type snapshot struct {
	Networks  []request.NetworkView
	Sandboxes []request.SandboxView
	Services  []request.ServiceView
	Datapath  map[string][]string
	Devices   []string
	Netns     []string
	Ports     int
	Addresses map[string]uint64
	Stored    store.State
}

func (w *world) snapshot() snapshot {
	w.t.Helper()
	ctx := context.Background()
	s := snapshot{Datapath: w.fake.content(), Ports: w.ports.Len(), Addresses: map[string]uint64{}}
	var err error
	s.Networks, err = w.Networks(ctx)
	must(w.t, err)
	s.Sandboxes, err = w.Sandboxes(ctx)
	must(w.t, err)
	s.Services = slices.Collect(w.Services(ctx))
	must(w.t, err)
	owned, err := w.links.Owned()
	must(w.t, err)
	for _, d := range owned {
		s.Devices = append(s.Devices, d.Name)
	}
	slices.Sort(s.Devices)
	entries, err := os.ReadDir(w.netnsDir())
	must(w.t, err)
	for _, e := range entries {
		s.Netns = append(s.Netns, e.Name())
	}
	for _, n := range s.Networks {
		s.Addresses[n.Name] = w.Engine.ipam.Usage(n.ID, 4).InUse + w.Engine.ipam.Usage(n.ID, 6).InUse
	}
	s.Stored, err = w.store.Load()
	must(w.t, err)
	return s
}

// unchanged fails the test if the world isn't as it was.
func (w *world) unchanged(before snapshot) {
	w.t.Helper()
	if diff := gocmp.Diff(before, w.snapshot(), addrs()...); diff != "" {
		w.t.Errorf("changed (-before +after):\n%s", diff)
	}
}

// addrs lets go-cmp compare addresses.
func addrs() []gocmp.Option {
	return []gocmp.Option{
		gocmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		gocmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	}
}

// stored fails the test if the store and the memory differ.
func (w *world) stored() {
	w.t.Helper()
	disk, err := w.store.Load()
	must(w.t, err)
	w.state.mu.RLock()
	defer w.state.mu.RUnlock()
	memory := store.State{}
	for _, n := range w.state.networks {
		memory.Networks = append(memory.Networks, *n)
	}
	for _, sb := range w.state.sandboxes {
		memory.Sandboxes = append(memory.Sandboxes, *sb)
	}
	for _, ep := range w.state.endpoints {
		memory.Endpoints = append(memory.Endpoints, *ep)
	}
	for _, s := range w.state.services {
		memory.Services = append(memory.Services, *s)
	}
	slices.SortFunc(memory.Services, func(a, b model.Service) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(memory.Networks, func(a, b model.Network) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(memory.Sandboxes, func(a, b model.Sandbox) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(memory.Endpoints, func(a, b model.Endpoint) int { return cmp.Compare(a.ID, b.ID) })
	options := append(addrs(), gocmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }), emptyIsNil())
	if diff := gocmp.Diff(disk, memory, options...); diff != "" {
		w.t.Errorf("store and memory differ (-store +memory):\n%s", diff)
	}
}

// emptyIsNil makes lists and maps of no length equal, as JSON does.
func emptyIsNil() gocmp.Option {
	return gocmp.FilterValues(func(a, b []model.PublishedPort) bool { return len(a)+len(b) == 0 },
		gocmp.Comparer(func(a, b []model.PublishedPort) bool { return true }))
}

// namespace makes a network namespace of somebody else's.
func (w *world) namespace(name string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	must(w.t, netns.Create(path))
	w.t.Cleanup(func() {
		if err := netns.Delete(path); err != nil {
			w.t.Error(err)
		}
	})
	return path
}

// eventually waits for what happens in the background.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func openLinks(t testing.TB) *link.Host {
	t.Helper()
	links, err := link.OpenHost()
	must(t, err)
	return links
}

// forgetSandbox takes a sandbox out of the store of w, which is shut.
func forgetSandbox(t testing.TB, w *world, v request.SandboxView) {
	t.Helper()
	s, err := store.Open(w.store.Path())
	must(t, err)
	must(t, s.Update(func(tx *store.Tx) error {
		for _, ep := range v.Endpoints {
			if err := tx.DeleteEndpoint(ep.ID); err != nil {
				return err
			}
		}
		return tx.DeleteSandbox(v.ID)
	}))
	must(t, s.Close())
}
