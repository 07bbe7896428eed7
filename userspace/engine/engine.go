// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"iter"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairway-project/fairway/userspace/audit"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/dns"
	"github.com/fairway-project/fairway/userspace/driver"
	"github.com/fairway-project/fairway/userspace/ipam"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/pace"
	"github.com/fairway-project/fairway/userspace/ports"
	"github.com/fairway-project/fairway/userspace/request"
	"github.com/fairway-project/fairway/userspace/sandbox"
	"github.com/fairway-project/fairway/userspace/service"
	"github.com/fairway-project/fairway/userspace/store"
	"github.com/fairway-project/fairway/userspace/wanted"
)

// Reader tells what a datapath does.
type Reader interface {
	Mode() datapath.Mode
	Flows(context.Context) iter.Seq2[datapath.Flow, error]
	Stats(context.Context) (datapath.Stats, error)
	Status(context.Context) (datapath.Status, error)
}

// Config is what an engine works with. The caller closes Store, Links and
// Datapath after the engine.
type Config struct {
	Store *store.Store
	Links *link.Host
	Boxes *sandbox.Manager
	// Wanted is told what the engine wants. Datapath only tells of what it does.
	Wanted   *wanted.State
	Datapath Reader
	// Drivers make networks and the interfaces of sandboxes on them.
	Drivers driver.Set
	// Processes runs what is in sandboxes. The engine closes it.
	Processes Processes
	// Root, RunDir and BPFFS are the daemon's directories.
	Root, RunDir, BPFFS string
	// Uplinks are the devices that lead outside; empty for all that aren't
	// Fairway's, Docker's or a container's. SetUplinks changes them; guarded by
	// hostLook.
	Uplinks []string
	// Metrics tells the address of the Prometheus endpoint, for the status.
	Metrics func() string
	Version request.Version
	Log     *slog.Logger
	// Sweep makes Start remove, first of all, the devices of Fairway's that Store
	// doesn't know: those of a daemon whose state is lost, whose bridges would be
	// in the way. Networks that Store lacks aren't made. Only for an uninstall.
	Sweep bool
	// KeepPins sees to what the datapath has pinned, where it has; nil for nothing. It
	// is called every few seconds until an uninstall, and an error is told in the status.
	KeepPins func() error
	// Doctor checks the host; the engine only passes it on.
	Doctor func(context.Context) ([]request.Check, error)
}

// Engine owns the desired state and makes the kernel match it. It answers package
// api (api.Backend).
type Engine struct {
	Config
	log      *slog.Logger
	audit    *audit.Log
	started  time.Time
	store    *store.Store
	links    *link.Host
	boxes    *sandbox.Manager
	datapath Reader
	owner    *wanted.Owner

	state *state
	facts *facts
	locks lockTable
	gate  gate
	ipam  *ipam.Manager
	ports *ports.Allocator
	names *dns.Registry
	// services keeps their backends; vips are their addresses.
	services *service.Manager
	vips     vips

	resolvers *resolvers
	dnsShares *dns.Shares
	processes Processes
	drops     *dropWindow

	// hostLook orders looks at the host's devices.
	hostLook sync.Mutex
	// hostInDoubt says that the datapath failed to follow the host the last time, and may
	// have done so in part; guarded by hostLook.
	hostInDoubt bool
	// uninstalled is guarded by hostLook; once set, nothing is told to the datapath.
	uninstalled bool
	purged      atomic.Bool
	// wake asks tend to look now.
	wake pace.Signal
	// background counts the goroutines that Close waits for.
	background sync.WaitGroup
	stop       context.CancelFunc
	running    context.Context
}

// New returns an engine without any state; Start brings it to life.
func New(c Config) *Engine {
	e := &Engine{
		Config: c, log: c.Log, audit: audit.New(c.Log, model.OwnerFairway), started: time.Now().UTC(), store: c.Store, links: c.Links,
		boxes: c.Boxes, datapath: c.Datapath,
		state: newState(), facts: new(facts), ipam: ipam.New(), ports: ports.NewAllocator(),
		names: dns.NewRegistry(), resolvers: newResolvers(), dnsShares: dns.NewShares(), processes: c.Processes,
		owner: c.Wanted.Owner(model.OwnerFairway, wanted.Options{}), drops: new(dropWindow), wake: pace.NewSignal(),
	}
	memory, err := service.OpenMemory(c.Store, string(model.OwnerFairway), func(err error) { e.owner.Report("health of backends", err) })
	if err != nil {
		e.log.Error("not known which backends were healthy", "err", err)
	}
	e.services = service.New(service.Config{Owner: e.owner, Log: e.audit, Memory: memory, Changed: e.nameService})
	e.running, e.stop = context.WithCancel(context.Background())
	return e
}

// Close ends the engine's own activity. Processes, devices and the datapath
// stay as they are: sandboxes keep running and their traffic goes on.
func (e *Engine) Close() error {
	e.stop()
	e.processes.Close()
	e.background.Wait()
	e.services.Close()
	e.owner.Close()
	e.resolvers.closeAll()
	return e.ports.Close()
}

// NetnsDir is where an engine with this run-dir binds the namespaces of its sandboxes.
func NetnsDir(runDir string) string { return filepath.Join(runDir, "netns") }

func (e *Engine) netnsDir() string { return NetnsDir(e.RunDir) }

func (e *Engine) netnsPath(sandboxID string) string {
	return filepath.Join(e.netnsDir(), shortID(sandboxID))
}

// persist saves an edit in one transaction.
func (e *Engine) persist(c change) error {
	return e.store.Update(func(tx *store.Tx) error { return c.save(tx) })
}

// commit saves an edit and makes it the present state.
func (e *Engine) commit(c change) error {
	if err := e.persist(c); err != nil {
		return err
	}
	e.state.put(c)
	return nil
}
