// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

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
	schema   string
	// switching is set while older programs with older maps carry the traffic.
	switching bool
	replaced  *Replacement
}

// Open loads the object, adopts what an earlier process pinned, and replaces the
// programs that it attached; see the package's comment for what happens if the
// layout of the maps is another. It attaches nothing anew. On error nothing that
// was attached has changed.
func Open(cfg Config) (*Loader, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, explain(fmt.Errorf("lift RLIMIT_MEMLOCK: %w", err))
	}
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
	if err := PrepareDir(l.cfg.Dir); err != nil {
		return err
	}
	if l.clock, err = NewClock(); err != nil {
		return err
	}
	// Before load pins tables, which would stay.
	if l.devices, err = newAttacher(l.cfg, available(l.features, featureTCX)); err != nil {
		return err
	}
	if err := l.devices.checkRoom(); err != nil {
		return err
	}
	if err := hurried(l.load); err != nil {
		return err
	}
	if l.switching, err = l.otherSchemas(); err != nil {
		return err
	}
	if l.switching {
		l.cfg.Logger.Warn("the tables are another version's and have another layout: connections through address translation that are open break once, when the start is complete",
			"tables_of", l.cfg.maker(), "this", l.cfg.Build, "schema", l.schema)
		return nil
	}
	if err := l.replaceAll(); err != nil {
		return err
	}
	l.cfg.tellName()
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
func (l *Loader) Switching() bool { return l.switching }

// Close frees descriptors. What is attached and pinned stays.
func (l *Loader) Close() error {
	var errs []error
	if l.clock != nil {
		errs = append(errs, l.clock.Close())
	}
	if l.objects.FromContainer != nil {
		errs = append(errs, l.objects.Close())
	}
	return errors.Join(errs...)
}

func (l *Loader) load() error {
	spec, err := object.LoadDatapath()
	if err != nil {
		return fmt.Errorf("eBPF object: %w", err)
	}
	l.schema = schema(spec)
	if err := l.setConstants(spec); err != nil {
		return err
	}
	entries, err := flowEntries(l.cfg.FlowTableSize)
	if err != nil {
		return err
	}
	spec.Maps[object.DatapathMapFlows4].MaxEntries = entries
	spec.Maps[object.DatapathMapFlows6].MaxEntries = entries
	spec.Maps[object.DatapathMapRecent4].MaxEntries = recentEntries(entries)
	spec.Maps[object.DatapathMapRecent6].MaxEntries = recentEntries(entries)
	pinned, err := pinMaps(spec, l.mapsDir())
	defer closeMaps(pinned)
	if err != nil {
		return err
	}
	if have := pinned[object.DatapathMapFlows4].MaxEntries(); l.cfg.FlowTableSize != 0 && have != entries {
		l.cfg.Logger.Warn("flow tables exist and keep their size until uninstall or a reboot", "entries", have, "asked_for", entries)
	}
	// Of the ring that there is, which may be an earlier process's.
	mask := pinned[object.DatapathMapRecent4].MaxEntries() - 1
	if err := spec.Variables[object.DatapathVarRecentMask].Set(mask); err != nil {
		return fmt.Errorf("constant %s: %w", object.DatapathVarRecentMask, err)
	}
	opts := &ebpf.CollectionOptions{MapReplacements: pinned}
	if err := spec.LoadAndAssign(&l.objects, opts); err != nil {
		return explain(fmt.Errorf("load programs: %w", err))
	}
	return l.identify()
}

// setConstants fills in what bpf/config.h declares.
func (l *Loader) setConstants(spec *ebpf.CollectionSpec) error {
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

func (l *Loader) mapsDir() string  { return filepath.Join(l.cfg.Dir, "maps", l.schema) }
func (l *Loader) linksDir() string { return l.cfg.linksDir() }

func (c Config) linksDir() string  { return filepath.Join(c.Dir, "links") }
func (c Config) cgroupDir() string { return filepath.Join(c.RunDir, "cgroup2") }
