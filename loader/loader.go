// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
)

// Config says where the loader keeps things.
type Config struct {
	// Dir is the directory of this instance on a BPF filesystem.
	Dir string
	// RunDir gets a private mount of cgroup v2 if there is none to be found.
	RunDir string
	// CgroupPath is the root of the cgroup v2 hierarchy; found if empty.
	CgroupPath string
	// FlowTableSize is the number of entries of each flow table, two for a
	// connection; 0 for DefaultFlowEntries of the machine's memory.
	FlowTableSize uint32
	// MasqueradePorts bounds the source ports that masquerading chooses; zero for
	// what the object has.
	MasqueradePorts model.PortRange
	// FirstPacket lets netfilter judge what goes between containers and outside.
	FirstPacket bool
	// Others says that another instance may work in the calling thread's network
	// namespace. Without tcx, Open fails with ErrOccupied where it does, and Remove
	// leaves its programs alone.
	Others bool
	// Build names this build, for another one that finds its tables.
	Build  string
	Logger *slog.Logger
}

// Loader holds the loaded object. Attach, Detach and Switch are not safe for
// concurrent use.
type Loader struct {
	cfg      Config
	features []Result
	clock    *Clock
	objects  object.DatapathObjects
	programs map[Program]loaded // by the name of those for devices
	devices  attacher
	// fingerprint is of all that the programs were made of.
	fingerprint string
	adopted     bool
	// replacing says that programs of this process may be attached in the place of others.
	replacing bool
	// upgrade is set while older programs with older maps carry the traffic.
	upgrade  *upgrade
	replaced *Replacement
}

// Open adopts the maps that an earlier process pinned, and its programs if they are what
// would be loaded, else loads the object and replaces what was attached; see the package's
// comment for what happens if the layout of maps is another. It attaches nothing anew. On
// error before programs are replaced it takes back what it made: an earlier version can be
// started again. With ErrNewerTables nothing at all has changed.
func Open(cfg Config) (*Loader, error) {
	l := &Loader{cfg: cfg, features: Probe()}
	if err := Missing(l.features); err != nil {
		return nil, err
	}
	if err := l.open(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Loader) open() (err error) {
	clock := l.measureClock()
	defer func() {
		if failed := clock(); failed != nil && !errors.Is(err, failed) {
			err = errors.Join(err, failed)
		}
	}()
	spec, err := object.LoadDatapath()
	if err != nil {
		return fmt.Errorf("eBPF object: %w", err)
	}
	found, err := look(l.cfg.mapsDir(), spec)
	if err != nil {
		return err
	}
	if err := PrepareDir(l.cfg.Dir); err != nil {
		return err
	}
	defer func() {
		if err != nil && !l.replacing {
			err = errors.Join(err, found.takeBack(), l.takeBackGeneration())
		}
	}()
	// Before load pins tables, which would stay.
	if l.devices, err = newAttacher(l.cfg, available(l.features, featureTCX)); err != nil {
		return err
	}
	if err := l.devices.checkRoom(); err != nil {
		return err
	}
	if err := hurried(func() error { return l.load(found, clock) }); err != nil {
		return err
	}
	if l.upgrade, err = l.prepare(found); err != nil {
		return err
	}
	if !l.upgrade.waits {
		return l.Switch()
	}
	if l.upgrade.breaks {
		l.cfg.Logger.Warn("the tables are another version's, and their connections can't be read: those through address translation that are open break once, when the start is complete",
			"tables_of", l.cfg.maker(), "this", l.cfg.Build)
	}
	return nil
}

// Maps returns the maps, which are the loader's.
func (l *Loader) Maps() *object.DatapathMaps { return &l.objects.DatapathMaps }

// Programs returns the programs, which are the loader's.
func (l *Loader) Programs() *object.DatapathPrograms { return &l.objects.DatapathPrograms }

// Features returns what was probed.
func (l *Loader) Features() []Result { return l.features }

// Clock returns the clock that flows keep their times by.
func (l *Loader) Clock() *Clock { return l.clock }

// Switching reports whether older programs wait for Switch.
func (l *Loader) Switching() bool { return l.upgrade != nil }

// Adopted reports whether the programs are those of an earlier process.
func (l *Loader) Adopted() bool { return l.adopted }

// Close frees descriptors. What is attached and pinned stays.
func (l *Loader) Close() error {
	var errs []error
	if l.clock != nil {
		errs = append(errs, l.clock.Close())
	}
	if l.devices != nil {
		errs = append(errs, l.devices.close())
	}
	return errors.Join(append(errs, l.objects.Close())...)
}

// measureClock begins to, which is waiting more than work, and returns what waits for it.
func (l *Loader) measureClock() (wait func() error) {
	measured := make(chan error, 1)
	go func() {
		var err error
		l.clock, err = NewClock()
		measured <- err
	}()
	return sync.OnceValue(func() error { return <-measured })
}

// load brings maps and programs into the kernel, or finds them there.
func (l *Loader) load(s *survey, clock func() error) error {
	if err := l.setSizes(s); err != nil {
		return err
	}
	if err := s.settle(); err != nil {
		return err
	}
	pinned, err := pinMaps(s)
	defer func() { closeAll(slices.Collect(maps.Values(pinned))...) }()
	if err != nil {
		return err
	}
	if err := clock(); err != nil {
		return err
	}
	if err := l.setConstants(s.spec, pinned); err != nil {
		return err
	}
	if l.fingerprint, err = fingerprint(s.spec, pinned); err != nil {
		return err
	}
	l.cfg.Logger.Debug("maps are pinned", "dir", l.cfg.mapsDir())
	if l.adopted, err = l.adopt(pinned); err != nil {
		return err
	}
	if l.adopted {
		l.cfg.Logger.Info("programs adopted", "fingerprint", l.fingerprint)
		return l.identify()
	}
	// The kernel's verifier takes more memory than all that the daemon does later: what reading
	// the object has left mustn't be there beside it.
	debug.FreeOSMemory()
	opts := &ebpf.CollectionOptions{MapReplacements: pinned}
	if err := s.spec.LoadAndAssign(&l.objects, opts); err != nil {
		return explain(fmt.Errorf("load programs: %w", err))
	}
	l.cfg.Logger.Info("programs loaded", "fingerprint", l.fingerprint)
	return errors.Join(l.identify(), l.keep(s.spec))
}

// setSizes sets those of the flow tables, unless they are there.
func (l *Loader) setSizes(s *survey) error {
	entries, err := flowEntries(l.cfg.FlowTableSize)
	if err != nil {
		return err
	}
	// A start that was killed may have made some of them.
	if entries, err = s.sizeAtHome(entries); err != nil {
		return err
	}
	all := s.spec.Maps
	all[object.DatapathMapFlows4].MaxEntries = entries
	all[object.DatapathMapFlows6].MaxEntries = entries
	all[object.DatapathMapRecent4].MaxEntries = recentEntries(entries)
	all[object.DatapathMapRecent6].MaxEntries = recentEntries(entries)
	origins := all[object.DatapathMapSocketOrigins]
	origins.MaxEntries = min(origins.MaxEntries, entries)
	return s.keepSizes()
}

// setConstants fills in what bpf/config.h declares.
func (l *Loader) setConstants(spec *ebpf.CollectionSpec, pinned map[string]*ebpf.Map) error {
	if have, want := pinned[object.DatapathMapFlows4].MaxEntries(), l.cfg.FlowTableSize; want != 0 && have != want {
		l.cfg.Logger.Warn("flow tables exist and keep their size until uninstall or a reboot", "entries", have, "asked_for", want)
	}
	cookie, err := netns.Cookie("/proc/thread-self/ns/net")
	if err != nil {
		return fmt.Errorf("cookie of the host's network namespace: %w", err)
	}
	constants := map[string]any{
		object.DatapathVarHostNetnsCookie: cookie,
		object.DatapathVarTouchJiffies:    l.clock.HZ(),
		object.DatapathVarHaveCsumIpv6:    available(l.features, featureCsumIPv6),
		object.DatapathVarHaveKernCtx:     available(l.features, featureKernCtx),
		object.DatapathVarFirstPacket:     l.cfg.FirstPacket,
		// Of the ring that there is, which may be an earlier process's.
		object.DatapathVarRecentMask: pinned[object.DatapathMapRecent4].MaxEntries() - 1,
	}
	if r := l.cfg.MasqueradePorts; r != (model.PortRange{}) {
		constants[object.DatapathVarMasqueradePortMin] = r.First
		constants[object.DatapathVarMasqueradePortMax] = r.Last
	}
	for name, value := range constants {
		if err := spec.Variables[name].Set(value); err != nil {
			return fmt.Errorf("constant %s: %w", name, err)
		}
	}
	return nil
}

func (l *Loader) linksDir() string { return l.cfg.linksDir() }

func (c Config) mapsDir() string     { return filepath.Join(c.Dir, "maps") }
func (c Config) programsDir() string { return filepath.Join(c.Dir, "programs") }
func (c Config) linksDir() string    { return filepath.Join(c.Dir, "links") }
func (c Config) cgroupDir() string   { return filepath.Join(c.RunDir, "cgroup2") }
