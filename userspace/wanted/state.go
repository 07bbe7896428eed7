// SPDX-License-Identifier: Apache-2.0

package wanted

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fairway-project/fairway/userspace/audit"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/pace"
	"github.com/fairway-project/fairway/userspace/request"
)

// ErrStopped is what an owner gets that wants something while Fairway is being
// uninstalled.
var ErrStopped = request.Errorf(request.ErrUnavailable, "fairway is being uninstalled")

// Patience is how long leftovers stay at most because something is refused. One network
// that can't be must not keep the tables of an earlier layout, or the ports of a
// container that is gone, in force for good.
const Patience = 10 * time.Second

// Devices are those that there are on the host; link.Host has them. Owned are Fairway's.
type Devices interface {
	All() ([]link.Device, error)
	Owned() ([]link.Device, error)
	Delete(name, ownerID string) error
}

// Config is what a State works with. The caller closes Datapath after the owners.
type Config struct {
	Datapath datapath.Datapath
	Devices  Devices
	// Others says that another daemon may work in the network namespace: devices of
	// Fairway's that nobody wants are left to it.
	Others bool
	// Patience replaces the constant if it isn't zero.
	Patience time.Duration
	Log      *slog.Logger
}

// State is what all owners of this host want.
type State struct {
	Config

	// edits is held for reading by whoever tells the datapath of one thing, and for
	// writing by whoever compares it with all that is wanted.
	edits sync.RWMutex

	// mu guards what follows, and what owners have; it isn't held while the datapath is
	// told anything.
	mu      sync.Mutex
	owners  []*Owner
	stopped bool
	// claims are the networks whose subnets are taken, by ID.
	claims map[string]*model.Network
	// former are the devices of Fairway's that were there before.
	former []link.Device
}

// New returns a State that nobody wants anything of. It looks at the devices that there
// are: those of Fairway's that nobody is going to want are leftovers.
func New(c Config) (*State, error) {
	if c.Patience == 0 {
		c.Patience = Patience
	}
	s := &State{Config: c, claims: make(map[string]*model.Network)}
	var err error
	s.former, err = c.Devices.Owned()
	return s, err
}

// View is what an owner shows of its networks.
type View interface {
	// NamesOf returns the names that belong to an endpoint, empty for an unknown one.
	NamesOf(endpointID string) (container, network string)
	// Carried returns the networks, the containers on them and the services.
	Carried(context.Context) request.Carried
}

// Options of an owner.
type Options struct {
	// Foreign says that the owner's devices aren't made by Fairway.
	Foreign bool
	// Reserved are subnets that the owner is going to use, though nothing on the host
	// may show it yet. They are given to nobody who didn't ask for them.
	Reserved []netip.Prefix
	// View shows what is wanted to others; nil if the owner does so itself.
	View View
	// Audit logs what is made and removed for an owner that says all it wants; others
	// do so themselves.
	Audit bool
}

// Owner registers who wants something, once each. Leftovers that may be the owner's stay from now
// on until it has said all. The caller closes it.
func (s *State) Owner(name model.Owner, options Options) *Owner {
	o := &Owner{
		Options: options, state: s, want: newObjects(), told: newObjects(), guarded: make(map[int]bool),
		named:    make(map[string]Endpoint),
		troubles: make(map[string]string), mends: make(map[string]*mend), running: make(map[string]chan struct{}), wake: pace.NewSignal(),
	}
	if options.Audit {
		o.audit = audit.New(s.Log, name)
	}
	if name != model.OwnerFairway {
		o.prefix = strings.ReplaceAll(string(name), "-", " ") + ": "
	}
	s.mu.Lock()
	s.owners = append(s.owners, o)
	s.mu.Unlock()
	running, cancel := context.WithCancel(context.Background())
	o.cancel = cancel
	o.background.Go(func() { o.run(running) })
	return o
}

// Owns reports whether a device is the bridge of a network that somebody wants, and so
// leads to containers.
func (s *State) Owns(device string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.owners, func(o *Owner) bool {
		for _, n := range o.want.networks {
			if n.Device() == device {
				return true
			}
		}
		return false
	})
}

// Reserved returns what all owners have reserved.
func (s *State) Reserved() (all []netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.owners {
		all = append(all, o.Options.Reserved...)
	}
	return all
}

// NamesOf returns the names that belong to the endpoint of an owner with a View.
func (s *State) NamesOf(endpointID string) (container, network string) {
	for _, v := range s.views() {
		if container, network = v.NamesOf(endpointID); network != "" {
			return container, network
		}
	}
	return "", ""
}

// Carried returns what owners with a View show.
func (s *State) Carried(ctx context.Context) (all request.Carried) {
	for _, v := range s.views() {
		c := v.Carried(ctx)
		all.Networks = append(all.Networks, c.Networks...)
		all.Containers = append(all.Containers, c.Containers...)
		all.Services = append(all.Services, c.Services...)
	}
	return all
}

func (s *State) views() (all []View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.owners {
		if o.View != nil {
			all = append(all, o.View)
		}
	}
	return all
}

// EnsureHost says which devices lead outside and which addresses are the host's own.
func (s *State) EnsureHost(ctx context.Context, h model.Host) error {
	return s.Datapath.EnsureHost(ctx, h)
}

// Retire removes what another datapath left from before the mode was changed. The
// present one guards everything already, but is to be told of the host and of the
// networks again after that: the other one puts settings back that it needs, forwarding
// for one.
func (s *State) Retire(ctx context.Context, old datapath.Datapath) error {
	s.mu.Lock()
	resolvers := s.desired().Resolvers
	s.mu.Unlock()
	var errs []error
	// The old one has never heard of the sandboxes: it must know in which namespaces its
	// rules for the resolvers are.
	for _, r := range resolvers {
		errs = append(errs, old.EnsureResolver(ctx, r))
	}
	return errors.Join(append(errs, old.Uninstall(ctx))...)
}

// Stop refuses everything from now on but deletions: the datapath is about to be
// uninstalled. When it returns no call that makes anything is under way.
func (s *State) Stop() {
	s.edits.Lock()
	defer s.edits.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
}

// Stopped reports whether Stop was called.
func (s *State) Stopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// TakeBack removes from the datapath after Stop what this process made, for a daemon that
// is refused: all, or what wasn't there before.
func (s *State) TakeBack(ctx context.Context) error {
	if dp, ok := s.Datapath.(datapath.Inheriting); ok && dp.Inherited() {
		return dp.GiveBack(ctx)
	}
	return s.Datapath.Uninstall(ctx)
}

// Uninstall removes the datapath after Stop, and with devices all of Fairway's first.
func (s *State) Uninstall(ctx context.Context, devices bool) error {
	var errs []error
	if devices && !s.Others {
		owned, err := s.Devices.Owned()
		errs = append(errs, err)
		for _, d := range owned {
			errs = append(errs, s.Devices.Delete(d.Name, d.Owner))
		}
	}
	return errors.Join(append(errs, s.Datapath.Uninstall(ctx))...)
}

// desired is what all owners want. It needs mu.
func (s *State) desired() datapath.Desired {
	d := datapath.Desired{Ports: make(map[string][]datapath.Port)}
	for _, o := range s.owners {
		for _, n := range o.want.networks {
			if n.Told != nil {
				d.Networks = append(d.Networks, *n.Told)
			}
		}
		d.Endpoints = slices.AppendSeq(d.Endpoints, maps.Values(o.want.endpoints))
		d.Resolvers = slices.AppendSeq(d.Resolvers, maps.Values(o.want.resolvers))
		maps.Copy(d.Ports, o.want.ports)
		if _, can := s.Datapath.(datapath.Serving); can {
			d.Services = slices.AppendSeq(d.Services, maps.Values(o.want.services))
		}
	}
	return d
}
