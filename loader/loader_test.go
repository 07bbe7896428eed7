// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/nl"
)

// instance is a directory of its own on bpffs, in a network namespace of its own.
type instance struct {
	cfg   Config
	netns string
}

func newInstance(t *testing.T) *instance {
	t.Helper()
	run := t.TempDir()
	i := &instance{
		cfg: Config{
			Dir: filepath.Join("/sys/fs/bpf", "fairway-test-"+random()), RunDir: run,
			FlowTableSize: 4096, Logger: slog.New(slog.DiscardHandler),
		},
		netns: filepath.Join(run, "netns"),
	}
	if err := netns.Create(i.netns); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.Delete(i.netns); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(i.cfg.Dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", i.cfg.Dir, err)
		}
	})
	return i
}

func random() string {
	var b [6]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// do runs f in the namespace.
func (i *instance) do(t *testing.T, f func() error) {
	t.Helper()
	if err := netns.Do(i.netns, f); err != nil {
		t.Fatal(err)
	}
}

func (i *instance) device(t *testing.T, name string) int {
	t.Helper()
	index := 0
	i.do(t, func() error {
		d := veth(name)
		err := netlink.LinkAdd(d)
		index = d.Attrs().Index
		return err
	})
	return index
}

func (i *instance) open(t *testing.T) *Loader {
	t.Helper()
	var l *Loader
	i.do(t, func() (err error) {
		l, err = Open(i.cfg)
		return err
	})
	return l
}

func TestProbesOfThisKernel(t *testing.T) {
	results := Probe()
	if err := Missing(results); err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil && !errors.Is(r.Err, ebpf.ErrNotSupported) {
			t.Errorf("%s: inconclusive: %v", r.Name, r.Err)
		}
		if r.Used() == "" {
			t.Errorf("%s: nothing said of what is done (available %t)", r.Name, r.Available())
		}
	}
}

func TestMissingNamesFeatureAndVersion(t *testing.T) {
	err := Missing([]Result{
		{Feature: Feature{Name: "a", Since: "5.1", Required: true}, Err: &UnsupportedError{"a", "5.1"}},
		{Feature: Feature{Name: "b", Since: "5.2"}, Err: &UnsupportedError{"b", "5.2"}},
	})
	if want := "kernel: a not supported (requires >= 5.1)"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if !errors.Is(err, ebpf.ErrNotSupported) {
		t.Error("not an ErrNotSupported")
	}
}

func TestDefaultFlowEntries(t *testing.T) {
	for memory, want := range map[uint64]uint32{
		512 << 20: MinFlowEntries,
		4 << 30:   131072,
		16 << 30:  524288,
		1 << 40:   MaxFlowEntries,
	} {
		if got := DefaultFlowEntries(memory); got != want {
			t.Errorf("%d MiB: got %d entries, want %d", memory>>20, got, want)
		}
	}
}

// The ring's size is a power of two, because the programs take a number's low bits.
func TestRecentEntries(t *testing.T) {
	for flows, want := range map[uint32]uint32{2: 1, 8: 1, 64: 8, 65536: 8192, 100000: 16384, MaxFlowEntries: 65536} {
		if got := recentEntries(flows); got != want {
			t.Errorf("%d entries: got a ring of %d, want %d", flows, got, want)
		}
	}
}

// putFlow stores half a flow.
func putFlow(t *testing.T, l *Loader) flow.Half {
	t.Helper()
	half := flow.Half{Key: flow.Key{Proto: 6}, LastSeen: 77}
	half.Src, half.Dst = mustAddrPort("192.0.2.1:1"), mustAddrPort("192.0.2.2:2")
	half.NATSrc, half.NATDst = half.Src, half.Dst
	if err := flow.New(l.Maps()).Put(half); err != nil {
		t.Fatal(err)
	}
	return half
}

// What one process attached and stored, the next one finds, and nothing is
// detached in between. Where it would load the same programs it has those, too.
func TestNextProcessAdopts(t *testing.T) {
	i := newInstance(t)
	dev := i.device(t, "up0")
	first := i.open(t)
	half := putFlow(t, first)
	i.do(t, func() error {
		return errors.Join(first.Attach(dev, FromUplink), first.Attach(dev, ToUplink), first.AttachSockets())
	})
	before := i.programs(t, dev)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if got := i.programs(t, dev); !cmp.Equal(got, before) {
		t.Errorf("Close changed the programs from %v to %v", before, got)
	}
	var logged bytes.Buffer
	i.cfg.Logger = slog.New(slog.NewTextHandler(&logged, nil))
	i.cfg.FlowTableSize = 8192 // takes effect with new maps only
	second := i.open(t)
	if !strings.Contains(logged.String(), "entries=4096 asked_for=8192") {
		t.Errorf("nothing was said of the tables' size: %q", logged.String())
	}
	if got := i.programs(t, dev); first.Adopted() || !second.Adopted() || !cmp.Equal(got, before) {
		t.Errorf("adopted %t and then %t, programs %v and then %v", first.Adopted(), second.Adopted(), before, got)
	}
	if _, found, err := flow.New(second.Maps()).Lookup(half.Key); !found || err != nil {
		t.Errorf("flow of the earlier process: found %t, %v", found, err)
	}
	i.do(t, func() error { return errors.Join(second.Attach(dev, FromUplink), second.AttachSockets()) })
	if again := i.programs(t, dev); !cmp.Equal(again, before) {
		t.Errorf("attaching twice changed %v to %v", before, again)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	third := i.loadsAnew(t, before, func() error { i.cfg.FirstPacket = true; return nil })
	if _, found, err := flow.New(third.Maps()).Lookup(half.Key); !found || err != nil {
		t.Errorf("flow of the earlier processes: found %t, %v", found, err)
	}
	i.do(t, third.Uninstall)
	if left := i.programs(t, dev); len(left) != 0 {
		t.Errorf("programs are left: %v", left)
	}
	if err := third.Close(); err != nil {
		t.Fatal(err)
	}
}

// loadsAnew opens once more after a change, and expects other programs on the uplink.
func (i *instance) loadsAnew(t *testing.T, before []ebpf.ProgramID, change func() error) *Loader {
	t.Helper()
	if err := change(); err != nil {
		t.Fatal(err)
	}
	l := i.open(t)
	for dev := range i.uplinks(t, l) {
		after := i.programs(t, dev)
		if l.Adopted() || len(after) != len(before) || after[0] == before[0] {
			t.Errorf("adopted %t, programs %v and then %v", l.Adopted(), before, after)
		}
	}
	if all, err := names(i.cfg.programsDir()); err != nil || len(all) != 1 || all[0] != l.fingerprint {
		t.Errorf("programs %v are pinned, want %s, %v", all, l.fingerprint, err)
	}
	return l
}

// uplinks are the devices that something is attached to.
func (i *instance) uplinks(t *testing.T, l *Loader) map[int]bool {
	t.Helper()
	all := make(map[int]bool)
	i.do(t, func() error {
		attached, err := l.Attachments()
		for _, a := range attached {
			if a.Index != 0 {
				all[a.Index] = true
			}
		}
		return err
	})
	if len(all) == 0 {
		t.Error("nothing is attached to any device")
	}
	return all
}

// What isn't whole isn't adopted: programs that were being pinned when a process was
// killed, some that somebody removed, or that use a table which isn't in its place.
func TestAdoptsOnlyWhatIsWhole(t *testing.T) {
	i := newInstance(t)
	dev := i.device(t, "up0")
	l := i.open(t)
	i.do(t, func() error { return l.Attach(dev, FromUplink) })
	generation := func() string { return filepath.Join(i.cfg.programsDir(), l.fingerprint) }
	for _, damage := range []func() error{
		func() error {
			return os.Rename(generation(), filepath.Join(i.cfg.programsDir(), unfinished+l.fingerprint))
		},
		func() error { return os.Remove(filepath.Join(generation(), string(ToUplink))) },
		func() error { return os.RemoveAll(i.cfg.programsDir()) },
		func() error { return os.Remove(i.pin(t, object.DatapathMapDrops)) },
	} {
		before := i.programs(t, dev)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = i.loadsAnew(t, before, damage)
		// And the next one has all that it needs.
		before = i.programs(t, dev)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = i.open(t)
		if got := i.programs(t, dev); !l.Adopted() || !cmp.Equal(got, before) {
			t.Errorf("adopted %t, programs %v and then %v", l.Adopted(), before, got)
		}
	}
	defer l.Close()
	i.do(t, l.Uninstall)
}

// Maps that nothing depends on may have had another layout: they are begun anew, and
// connections stay.
func TestExpendableMapsAreBegunAnew(t *testing.T) {
	i := newInstance(t)
	first := i.open(t)
	half := putFlow(t, first)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		object.DatapathMapScratches, object.DatapathMapVerdicts, object.DatapathMapDrops,
		object.DatapathMapFrags, object.DatapathMapBusyFrags, object.DatapathMapFragRates,
	} {
		replaceMap(t, i.pin(t, name))
	}
	second := i.open(t)
	defer second.Close()
	if _, found, err := flow.New(second.Maps()).Lookup(half.Key); !found || err != nil {
		t.Errorf("flow of the earlier process: found %t, %v", found, err)
	}
	i.do(t, second.Uninstall)
}

// What doesn't load any more can be removed all the same.
func TestRemoveLoadsNothing(t *testing.T) {
	i := newInstance(t)
	dev := i.device(t, "up0")
	first := i.open(t)
	i.do(t, func() error {
		return errors.Join(first.Attach(dev, FromUplink), first.AttachXDP(dev, false), first.AttachSockets())
	})
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	replaceMap(t, i.pin(t, object.DatapathMapFlows4))
	i.do(t, func() error {
		if l, err := Open(i.cfg); err == nil {
			return errors.Join(errors.New("a map of another layout was adopted"), l.Close())
		}
		return errors.Join(Remove(i.cfg), Remove(i.cfg))
	})
	if left := i.programs(t, dev); len(left) != 0 {
		t.Errorf("programs are left: %v", left)
	}
}

// A directory that isn't on a BPF filesystem has nothing of ours.
func TestRemoveLeavesFiles(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), RunDir: t.TempDir()}
	file := filepath.Join(cfg.Dir, "maps", "of-a-city")
	if err := errors.Join(os.Mkdir(filepath.Dir(file), 0o700), os.WriteFile(file, nil, 0o600), Remove(cfg)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

// replaceMap pins one of another layout.
func replaceMap(t *testing.T, path string) {
	t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := errors.Join(os.Remove(path), m.Pin(path)); err != nil {
		t.Fatal(err)
	}
}

// programs returns the IDs of the programs on a device, ingress first, by tcx or
// by clsact, whichever the kernel makes the loader use.
func (i *instance) programs(t *testing.T, index int) []ebpf.ProgramID {
	t.Helper()
	var ids []ebpf.ProgramID
	i.do(t, func() error {
		for _, p := range []Program{FromUplink, ToUplink} {
			found, err := programsAt(index, p)
			if err != nil {
				return err
			}
			ids = append(ids, found...)
		}
		return nil
	})
	return ids
}

func programsAt(index int, p Program) ([]ebpf.ProgramID, error) {
	var ids []ebpf.ProgramID
	if haveTCX() == nil {
		r, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: attachPoint(p)})
		if err != nil {
			return nil, err
		}
		for _, a := range r.Programs {
			ids = append(ids, a.ID)
		}
		return ids, nil
	}
	filters, err := nl.FilterList(nil, &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Index: index}}, parent(p))
	for _, f := range filters {
		if b, ok := f.(*netlink.BpfFilter); ok && b.Id != 0 {
			ids = append(ids, ebpf.ProgramID(b.Id))
		}
	}
	if errors.Is(err, unix.EINVAL) {
		return nil, nil // no clsact qdisc
	}
	return ids, err
}

// A device with the number of one that is gone gets its own link.
func TestAttachAfterDeviceWasRecreated(t *testing.T) {
	i := newInstance(t)
	l := i.open(t)
	defer l.Close()
	add := func() error {
		d := veth("up0")
		d.Index = 77
		return netlink.LinkAdd(d)
	}
	i.do(t, func() error {
		return errors.Join(add(), l.Attach(77, FromUplink),
			remove(77), add(), l.Attach(77, FromUplink))
	})
	if got := i.programs(t, 77); len(got) != 1 {
		t.Errorf("programs on the new device: %v", got)
	}
	i.do(t, l.Uninstall)
}

// Links of devices that are gone leave no pins behind.
func TestListForgetsGoneDevices(t *testing.T) {
	i := newInstance(t)
	l := i.open(t)
	defer l.Close()
	dev := i.device(t, "up0")
	i.do(t, func() error {
		return errors.Join(l.Attach(dev, FromUplink), remove(dev))
	})
	got, err := l.Attachments()
	if err != nil || len(got) != 0 {
		t.Errorf("attachments %v, %v", got, err)
	}
	if left, _ := names(l.linksDir()); len(left) != 0 {
		t.Errorf("pins are left: %v", left)
	}
	i.do(t, l.Uninstall)
}

// Started in another network namespace than the last time, a process finds links of
// devices that aren't there. Devices that have their numbers get no program, and those
// that the links are for keep theirs.
func TestLinksOfAnotherNamespaceAreLeftAlone(t *testing.T) {
	i, other := newInstance(t), newInstance(t)
	dev := i.device(t, "up0")
	first := i.open(t)
	i.do(t, func() error { return first.Attach(dev, FromUplink) })
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	other.do(t, func() error {
		d := veth("lan0")
		d.Index = dev
		return netlink.LinkAdd(d)
	})
	before := i.programs(t, dev)
	moved := &instance{cfg: i.cfg, netns: other.netns}
	second := moved.open(t)
	defer second.Close()
	other.do(t, func() error { return second.Forget(dev, FromUplink) })
	if got := other.programs(t, dev); len(got) != 0 {
		t.Errorf("programs on a device of that namespace: %v", got)
	}
	if got := i.programs(t, dev); len(before) != 1 || !cmp.Equal(got, before) {
		t.Errorf("programs on the device: %v, then %v", before, got)
	}
	i.do(t, second.Uninstall)
	if left := i.programs(t, dev); len(left) != 0 {
		t.Errorf("programs are left: %v", left)
	}
}

// A device may go between being listed and being served: no reason not to start.
func TestReplaceOnGoneDevice(t *testing.T) {
	i := newInstance(t)
	l := i.open(t)
	defer l.Close()
	dev := i.device(t, "gone0")
	i.do(t, func() error {
		return errors.Join(l.Attach(dev, FromUplink), remove(dev),
			l.replace(Attachment{Index: dev, Program: FromUplink, How: "tcx"}))
	})
	i.do(t, l.Uninstall)
}

// Programs of others stay, before and after ours come and go.
func TestForeignProgramsStay(t *testing.T) {
	i := newInstance(t)
	l := i.open(t)
	defer l.Close()
	dev := i.device(t, "up0")
	foreign := passProgram(t)
	i.do(t, func() error {
		return errors.Join(attachForeign(t, dev, foreign), l.Attach(dev, FromUplink))
	})
	id, _ := programID(foreign)
	if got := i.programs(t, dev); len(got) != 2 || got[0] != id {
		t.Errorf("programs %v, want the foreign one %d and then ours", got, id)
	}
	i.do(t, l.Uninstall)
	if got := i.programs(t, dev); len(got) != 1 || got[0] != id {
		t.Errorf("programs %v, want the foreign one %d", got, id)
	}
}

// attachForeign attaches a program the way that the kernel offers.
func attachForeign(t *testing.T, dev int, p *ebpf.Program) error {
	if haveTCX() == nil {
		l, err := link.AttachTCX(link.TCXOptions{Interface: dev, Program: p, Attach: ebpf.AttachTCXIngress})
		if err == nil {
			t.Cleanup(func() { l.Close() })
		}
		return err
	}
	attrs := filterAttrs(dev, FromUplink)
	attrs.Priority, attrs.Handle = 1, 1
	return errors.Join(netlink.QdiscAdd(qdisc(dev)),
		netlink.FilterAdd(&netlink.BpfFilter{FilterAttrs: attrs, Fd: p.FD(), Name: "foreign", DirectAction: true}))
}

func passProgram(t *testing.T) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "foreign", Type: ebpf.SchedCLS, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, -1), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// With flow tables that can't be read beside them, programs are replaced by Switch only,
// and the other tables go then.
func TestSwitchFromUnreadableTables(t *testing.T) {
	i := newInstance(t)
	dev := i.device(t, "up0")
	i.cfg.Build = "v1 earlier"
	first := i.open(t)
	i.do(t, func() error { return errors.Join(first.Attach(dev, FromUplink), first.AttachSockets()) })
	before := i.programs(t, dev)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	i.cfg.Build, i.cfg.Logger = "v2 later", slog.New(slog.NewTextHandler(&logged, nil))
	home := filepath.Dir(i.pin(t, object.DatapathMapFlows4))
	replaceMap(t, filepath.Join(home, object.DatapathMapFlows4))
	older := filepath.Join(i.cfg.mapsDir(), flowGroup+"-0-0123456789abcdef")
	if err := os.Rename(home, older); err != nil {
		t.Fatal(err)
	}
	second := i.open(t)
	defer second.Close()
	i.do(t, func() error { return errors.Join(second.Attach(dev, FromUplink), second.AttachSockets()) })
	if got := i.programs(t, dev); !second.Switching() || !cmp.Equal(got, before) {
		t.Errorf("before Switch: switching %t, programs %v, want %v", second.Switching(), got, before)
	}
	if !strings.Contains(logged.String(), "break once") || !strings.Contains(logged.String(), `tables_of="v1 earlier"`) || second.Replaced() != nil {
		t.Errorf("before Switch: replaced %+v, logged %s", second.Replaced(), logged.String())
	}
	i.do(t, second.Switch)
	if r := second.Replaced(); r == nil || r.Of != "v1 earlier" || !r.Broke || i.cfg.maker() != "v2 later" {
		t.Errorf("after Switch: replaced %+v, next one is told of %q", r, i.cfg.maker())
	}
	if got := i.programs(t, dev); second.Switching() || len(got) != 1 || got[0] == before[0] {
		t.Errorf("after Switch: switching %t, programs %v", second.Switching(), got)
	}
	if _, err := os.Stat(older); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("older maps are left: %v", err)
	}
	i.do(t, second.Uninstall)
}

func TestClockIsPlausible(t *testing.T) {
	c, err := NewClock()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for measured, want := range map[float64]uint32{99.2: 100, 251: 250, 290: 300, 1003: 1000} {
		if got := nearestHZ(measured); got != want {
			t.Errorf("%v: got %d, want %d", measured, got, want)
		}
	}
	again, err := c.measure()
	if err != nil || again != c.HZ() {
		t.Errorf("measured %d and then %d, %v", c.HZ(), again, err)
	}
}

func TestCgroup2Mount(t *testing.T) {
	const info = `30 23 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
31 30 0:27 /sub /other rw - cgroup2 cgroup2 rw
32 30 0:27 / /sys/fs/cgroup/a\040b rw,nosuid shared:9 - cgroup2 cgroup2 rw`
	if got := cgroup2Mount(info); got != "/sys/fs/cgroup/a b" {
		t.Errorf("got %q", got)
	}
}

func veth(name string) *netlink.Veth {
	return &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "-peer"}
}

func remove(index int) error {
	return netlink.LinkDel(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Index: index}})
}

func mustAddrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// A start says everything again: what is attached already has to cost little, and
// asking for a program's ID doesn't, in objects or in time.
func TestAttachAgainIsCheap(t *testing.T) {
	const most = 35
	i := newInstance(t)
	l := i.open(t)
	defer l.Close()
	dev := i.device(t, "up0")
	i.do(t, func() error { return l.Attach(dev, FromUplink) })
	i.do(t, func() error {
		var err error
		again := testing.AllocsPerRun(10, func() { err = errors.Join(err, l.Attach(dev, FromUplink)) })
		if again > most {
			t.Errorf("attaching again allocates %.0f objects, want at most %d", again, most)
		}
		return err
	})
	i.do(t, l.Uninstall)
}
