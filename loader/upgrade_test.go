// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/maps/carry"
	"github.com/fairway-project/fairway/maps/endpoint"
	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/icc"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/maps/share"
	"github.com/fairway-project/fairway/userspace/model"
)

// legacy is a directory of all tables, as versions had it that knew no groups.
const legacy = "0123456789abcdef"

// older is an instance that an older version works in: its programs are attached, and its
// flow tables, in dir, have an earlier layout.
type older struct {
	*instance
	revision int
	dir      string
	tables   map[string]*ebpf.Map // of flows
	fields   map[string][2]map[string]field
	// backs convert entries of this version's tables.
	backs map[string]*conversion
}

// becomesOlder makes what a closed loader leaves look as if a version had left it whose
// flow tables have that revision.
func (i *instance) becomesOlder(t *testing.T, revision int) *older {
	t.Helper()
	o := &older{instance: i, revision: revision, tables: make(map[string]*ebpf.Map), fields: make(map[string][2]map[string]field), backs: make(map[string]*conversion)}
	name := fmt.Sprintf("%s-%d", flowGroup, revision)
	concerns := name + "-" + legacy
	pattern := flowGroup + "-*"
	if revision == 0 { // there were no groups
		concerns, pattern = legacy, "*-*"
	}
	o.dir = filepath.Join(i.cfg.mapsDir(), concerns)
	specs := frozen(t, name)
	homes, err := filepath.Glob(filepath.Join(i.cfg.mapsDir(), pattern))
	if err != nil {
		t.Fatal(err)
	}
	pins, err := filepath.Glob(filepath.Join(i.cfg.mapsDir(), pattern, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(o.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, pin := range pins {
		name := filepath.Base(pin)
		to := filepath.Join(o.dir, name)
		if ms := specs[name]; ms != nil {
			if sizedByFlows(name) {
				ms.MaxEntries = 4096
			}
			m, err := newPinnedMap(ms, to)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { m.Close() })
			o.tables[name] = m
			o.fields[name] = [2]map[string]field{fieldsOf(ms.Key), fieldsOf(ms.Value)}
		} else if !strings.HasPrefix(filepath.Base(filepath.Dir(pin)), flowGroup) {
			if err := pinAt(pin, to); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.RemoveAll(pin); err != nil {
			t.Fatal(err)
		}
	}
	for _, home := range append(homes, i.cfg.programsDir()) {
		err = errors.Join(err, os.RemoveAll(home))
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// put enters half a connection in an older table, by the names of members.
func (o *older) put(t *testing.T, h flow.Half) {
	t.Helper()
	table, carried := object.DatapathMapFlows4, flow.Carried(h)
	if h.IPv6() {
		table = object.DatapathMapFlows6
	}
	m := o.tables[table]
	back, known := o.backs[table]
	if !known {
		var err error
		if back, err = convert(layoutOfObject(t, table), layoutOf(t, table, m), nil, true); err != nil {
			t.Fatal(err)
		}
		o.backs[table] = back
	}
	key, value := make([]byte, m.KeySize()), make([]byte, m.ValueSize())
	newKey, newValue := carry.Bytes(&carried, h.IPv6())
	back.apply(newKey, newValue, key, value)
	was := view{key, back.key}
	for _, unfill := range unfillers(o.revision) {
		unfill(view{newKey, back.oldKey}, was)
	}
	if o.revision < 2 && was.uint("zone") == oldWorld {
		view{value, back.value}.set("flow.oif", 7)
	}
	if err := m.Put(key, value); err != nil {
		t.Fatal(err)
	}
	if h.Origin() {
		o.remember(t, h.IPv6(), key)
	}
}

// remember is what programs do when they open a connection.
func (o *older) remember(t *testing.T, v6 bool, key []byte) {
	t.Helper()
	family, ring := uint32(0), o.tables[object.DatapathMapRecent4]
	if v6 {
		family, ring = 1, o.tables[object.DatapathMapRecent6]
	}
	pressures := o.tables[object.DatapathMapPressures]
	raw := make([]byte, pressures.ValueSize())
	if err := pressures.Lookup(family, raw); err != nil {
		t.Fatal(err)
	}
	pressure := view{raw, o.fields[object.DatapathMapPressures][1]}
	next := pressure.uint("next")
	pressure.set("next", next+1)
	if err := errors.Join(ring.Put(uint32(next)%ring.MaxEntries(), key), pressures.Put(family, raw)); err != nil {
		t.Fatal(err)
	}
}

// expect compares the connections that there are, and what is counted of them.
func expect(t *testing.T, l *Loader, want []flow.Half) {
	t.Helper()
	got, wanted := make(map[string]string), make(map[string]string)
	for h, err := range flow.New(l.Maps()).All() {
		if err != nil {
			t.Fatal(err)
		}
		got[fmt.Sprint(h.Key, h.Echo)] = h.String()
	}
	var families [2]int32
	for _, h := range want {
		wanted[fmt.Sprint(h.Key, h.Echo)] = h.String()
		if h.Origin() && h.IPv6() {
			families[share.IPv6]++
		} else if h.Origin() {
			families[share.IPv4]++
		}
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("connections (-want +got):\n%s", diff)
	}
	for _, slot := range []int{3, share.All} {
		open, err := share.New(l.Maps()).Open(slot)
		if err != nil || open != families {
			t.Errorf("slot %d has %v connections, want %v, %v", slot, open, families, err)
		}
	}
	var n uint32
	var count, ports int32
	it := l.Maps().PortUses.Iterate()
	for it.Next(&n, &count) {
		ports += count
	}
	if both := 2 * (families[0] + families[1]); ports != both || it.Err() != nil {
		t.Errorf("%d ports are counted, want %d, %v", ports, both, it.Err())
	}
}

// latest is the revision that the flow tables had before the present one.
func latest() int {
	at := slices.IndexFunc(groups(), func(g group) bool { return g.name == flowGroup })
	return groups()[at].revision - 1
}

// revisions are those that the flow tables had. What is converted doesn't depend on the
// kernel, so one is enough where each of many kernels runs these tests slowly.
func revisions() (all []int) {
	first := 0
	if testing.Short() {
		first = latest()
	}
	for revision := first; revision <= latest(); revision++ {
		all = append(all, revision)
	}
	return all
}

// Connections in tables of every earlier layout come into this version's, count there, and
// go on when programs are replaced; the older tables go.
func TestConnectionsAreCarriedOver(t *testing.T) {
	for _, revision := range revisions() {
		t.Run(fmt.Sprint(revision), func(t *testing.T) { areCarriedOver(t, revision) })
	}
}

func areCarriedOver(t *testing.T, revision int) {
	i := newInstance(t)
	dev := i.device(t, "up0")
	i.cfg.Build = "v1 earlier"
	first := i.open(t)
	inhabit(t, first)
	i.do(t, func() error { return errors.Join(first.Attach(dev, FromUplink), first.AttachSockets()) })
	before := i.programs(t, dev)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	o := i.becomesOlder(t, revision)
	want := connections(50)
	for _, h := range want {
		o.put(t, h)
	}
	dead := connection(false, 99, unix.IPPROTO_TCP)
	for _, h := range dead {
		h.LastSeen = uint32(object.DatapathFlowLastSeenFLOW_DEAD)
		o.put(t, h)
	}
	i.cfg.Build = "v2 later"
	second := i.open(t)
	defer second.Close()
	expect(t, second, want)
	if got := i.programs(t, dev); second.Switching() || len(got) != 1 || got[0] == before[0] {
		t.Errorf("switching %t, programs %v, before %v", second.Switching(), got, before)
	}
	if r := second.Replaced(); r == nil || r.Of != "v1 earlier" || r.Broke || r.Carried != len(want)/2 || r.Lost != 0 {
		t.Errorf("replaced %+v, want %d connections carried", r, len(want)/2)
	}
	if others, err := OtherTables(i.cfg.Dir); len(others) != 0 || err != nil {
		t.Errorf("older tables are left: %v, %v", others, err)
	}
	i.do(t, second.Uninstall)
}

// Connections that older programs open while those are replaced are found by the ring,
// with their reply's half, and a walk at the end brings what their packets told.
func TestConnectionsFollow(t *testing.T) {
	revision := latest()
	i := newInstance(t)
	first := i.open(t)
	inhabit(t, first)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	o := i.becomesOlder(t, revision)
	want := connections(3)
	for _, h := range want {
		o.put(t, h)
	}
	second := i.open(t)
	defer second.Close()
	// As if it were still there.
	if err := os.Mkdir(o.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, m := range o.tables {
		again, err := m.Clone()
		if err == nil {
			err = errors.Join(again.Pin(filepath.Join(o.dir, name)), again.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	spec, err := object.LoadDatapath()
	if err != nil {
		t.Fatal(err)
	}
	s, err := look(i.cfg.mapsDir(), spec)
	if err != nil {
		t.Fatal(err)
	}
	c, err := second.openCarrying(s, []string{o.dir})
	if err != nil || len(c.parts) != 2 {
		t.Fatalf("%d older tables, %v", len(c.parts), err)
	}
	defer c.close()
	step := func(what string, call func() error) {
		t.Helper()
		if err := call(); err != nil {
			t.Fatal(err)
		}
		t.Log(what)
		expect(t, second, want)
	}
	step("a walk over what is known", c.all)
	for n := range 5 {
		opened := connection(n%2 == 1, 200+n, unix.IPPROTO_TCP)
		for _, h := range opened {
			o.put(t, h)
		}
		want = append(want, opened...)
		step("a connection that was opened since", c.newest)
	}
	for n := range 20 {
		opened := connection(n%2 == 1, 300+n, unix.IPPROTO_UDP)
		for _, h := range opened {
			o.put(t, h)
		}
		want = append(want, opened...)
	}
	step("a walk over what was opened since", c.all)
	// Another endpoint's port had the tuple before.
	for _, h := range connection(false, 200, unix.IPPROTO_TCP) {
		if h.Origin() {
			h.Src = netip.AddrPortFrom(h.Src.Addr(), 999)
			h.LastSeen--
			o.put(t, h)
		}
	}
	step("a walk over what has lost its tuple", c.all)
	if c.lost != 1 {
		t.Errorf("%d connections are lost, want 1", c.lost)
	}
	for n := range want {
		want[n].State |= object.DatapathFlowStateFLOW_ACK | object.DatapathFlowStateFLOW_FIN
		want[n].LastSeen += 10
		o.put(t, want[n])
	}
	step("a walk over what has changed", c.all)
	i.do(t, second.Uninstall)
}

// becomes gives a group's tables the layout of an earlier revision, with what they hold.
func (i *instance) becomes(t *testing.T, revision string) {
	t.Helper()
	older, home := filepath.Join(i.cfg.mapsDir(), revision+"-0123456789abcdef"), ""
	if err := os.Mkdir(older, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, ms := range frozen(t, revision) {
		home = filepath.Dir(i.pin(t, name))
		present, err := ebpf.LoadPinnedMap(filepath.Join(home, name), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer present.Close()
		ms.MaxEntries = present.MaxEntries()
		m, err := newPinnedMap(ms, filepath.Join(older, name))
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		c, err := convert(layoutOf(t, name, present), layoutOfSpec(name, ms), nil, true)
		if err == nil {
			err = c.copy(present, m, ebpf.UpdateAny)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(home); err != nil {
		t.Fatal(err)
	}
}

// Keys that had no network get that of the endpoint which their entry is about.
func TestNetworksComeIntoKeys(t *testing.T) {
	i := newInstance(t)
	first := i.open(t)
	inhabit(t, first)
	e, err := endpoint.New(first.Maps()).Get(3)
	if err != nil {
		t.Fatal(err)
	}
	hole := icc.Hole{Network: theNetwork, From: e.IPv4, To: netip.MustParseAddr("172.17.0.3"), Port: 5432, Proto: model.TCP}
	target := netip.AddrPortFrom(e.IPv6, 80)
	ports := map[publish.Key]publish.Entry{
		{Addr: netip.IPv6Unspecified(), Port: 8080, Proto: model.TCP}:   {Target: target, Endpoint: 3, Generation: e.Generation},
		{Addr: e.IPv6, Port: 80, Proto: model.TCP, Network: theNetwork}: {Target: target, Endpoint: 3, Generation: e.Generation, Routed: true},
	}
	err = errors.Join(endpoint.New(first.Maps()).Refer(3, e, func(uint16) bool { return false }), icc.New(first.Maps()).Put(hole, 3))
	for k, v := range ports {
		err = errors.Join(err, publish.New(first.Maps()).Put(k, v))
	}
	if err := errors.Join(err, first.Close()); err != nil {
		t.Fatal(err)
	}
	i.becomes(t, "endpoints-1")
	i.becomes(t, "publications-1")
	second := i.open(t)
	defer second.Close()
	for _, a := range []netip.Addr{e.IPv4, e.IPv6} {
		if slot, _, err := endpoint.New(second.Maps()).ByAddr(theNetwork, a); slot != 3 || err != nil {
			t.Errorf("%s in network %d: slot %d, %v", a, theNetwork, slot, err)
		}
	}
	links, err := icc.New(second.Maps()).All()
	if diff := cmp.Diff(map[icc.Hole]uint16{hole: 3}, links, sameAddrs); diff != "" || err != nil {
		t.Errorf("links (-want +got), %v:\n%s", err, diff)
	}
	published, err := publish.New(second.Maps()).All()
	if diff := cmp.Diff(ports, published, sameAddrs, sameTargets); diff != "" || err != nil {
		t.Errorf("ports (-want +got), %v:\n%s", err, diff)
	}
	i.do(t, func() error { return errors.Join(second.Switch(), second.Uninstall()) })
}

var (
	sameAddrs   = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	sameTargets = cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
)

// Connections of the revision before this one, in tables that look the same.
func TestZonesBecomeNetworks(t *testing.T) {
	i := newInstance(t)
	first := i.open(t)
	inhabit(t, first)
	e, err := endpoint.New(first.Maps()).Get(3)
	if err != nil {
		t.Fatal(err)
	}
	e.Index, e.IPv4, e.IPv6, e.Network = 101, netip.MustParseAddr("172.18.0.2"), netip.MustParseAddr("fd00:1::2"), theNetwork+1
	if err := errors.Join(endpoint.New(first.Maps()).Put(4, e), first.Close()); err != nil {
		t.Fatal(err)
	}
	i.becomes(t, "flows-1")
	o := &older{
		instance: i, revision: 1, tables: make(map[string]*ebpf.Map), fields: make(map[string][2]map[string]field),
		backs: make(map[string]*conversion),
	}
	for name, ms := range frozen(t, "flows-1") {
		m, err := ebpf.LoadPinnedMap(i.pin(t, name), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		o.tables[name], o.fields[name] = m, [2]map[string]field{fieldsOf(ms.Key), fieldsOf(ms.Value)}
	}
	// From the endpoint in slot 4, by a published port of the host to that in slot 3.
	hairpin := func(from, host, gateway, to string) []flow.Half {
		origin := flow.Half{
			Key:    flow.Key{Src: mustAddrPort(from), Dst: mustAddrPort(host), Zone: theNetwork + 1, Proto: unix.IPPROTO_UDP},
			NATSrc: mustAddrPort(gateway), NATDst: mustAddrPort(to), TwinZone: theNetwork, LastSeen: 5000,
			State: object.DatapathFlowStateFLOW_SEEN, Endpoint: 3, EndpointGeneration: 7,
			Flags: object.DatapathFlowFlagFLOW_ORIGIN | object.DatapathFlowFlagFLOW_REWRITE |
				object.DatapathFlowFlag(object.DatapathFlowKindFLOW_HAIRPIN)<<object.DatapathFlowFlagFLOW_KIND_SHIFT,
		}
		reply := origin
		reply.Key = flow.Key{Src: origin.NATDst, Dst: origin.NATSrc, Zone: theNetwork, Proto: unix.IPPROTO_UDP}
		reply.NATSrc, reply.NATDst, reply.TwinZone, reply.Endpoint = origin.Dst, origin.Src, theNetwork+1, 4
		reply.Flags &^= object.DatapathFlowFlagFLOW_ORIGIN
		return []flow.Half{reply, origin}
	}
	want := append(hairpin("172.18.0.2:5000", "192.0.2.1:8080", "172.17.0.1:5000", "172.17.0.2:80"),
		hairpin("[fd00:1::2]:5000", "[2001:db8::1]:8080", "[fd00::1]:5000", "[fd00::2]:80")...)
	want = append(want, connections(5)...)
	for _, h := range want {
		o.put(t, h)
	}
	second := i.open(t)
	defer second.Close()
	got, wanted := make(map[string]string), make(map[string]string)
	for h, err := range flow.New(second.Maps()).All() {
		if err != nil {
			t.Fatal(err)
		}
		got[fmt.Sprint(h.Key, h.Echo)] = h.String()
	}
	for _, h := range want {
		wanted[fmt.Sprint(h.Key, h.Echo)] = h.String()
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("connections (-want +got):\n%s", diff)
	}
	i.do(t, second.Uninstall)
}

// A start that fails before it replaces programs leaves nothing, so that the version from
// before can be started again.
func TestFailedUpgradeLeavesNothing(t *testing.T) {
	i := newInstance(t)
	dev := i.device(t, "up0")
	first := i.open(t)
	i.do(t, func() error { return first.Attach(dev, FromUplink) })
	programs := i.programs(t, dev)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	i.becomesOlder(t, 0)
	// What the control plane says of endpoints can't be converted.
	spec, err := object.LoadDatapath()
	if err != nil {
		t.Fatal(err)
	}
	other := spec.Maps[object.DatapathMapNetworks].Copy()
	other.Type, other.Flags = ebpf.LRUHash, 0
	pin := i.pin(t, object.DatapathMapNetworks)
	if err := os.Remove(pin); err != nil {
		t.Fatal(err)
	}
	m, err := newPinnedMap(other, pin)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	before := i.pins(t)
	i.do(t, func() error {
		l, err := Open(i.cfg)
		if err == nil {
			return errors.Join(errors.New("tables that can't be read were taken"), l.Close())
		}
		if !errors.Is(err, errNoConversion) {
			t.Errorf("refused with %v", err)
		}
		return nil
	})
	got := slices.DeleteFunc(i.pins(t), func(path string) bool { return path == i.cfg.programsDir() })
	if diff := cmp.Diff(before, got); diff != "" {
		t.Errorf("pins (-before +after):\n%s", diff)
	}
	if got := i.programs(t, dev); !cmp.Equal(got, programs) {
		t.Errorf("programs were %v and are %v", programs, got)
	}
	i.do(t, func() error { return Remove(i.cfg) })
}

// What a later version made that was killed before it replaced programs is in nobody's way.
func TestVersionFromBeforeIsPutBack(t *testing.T) {
	i := newInstance(t)
	dev := i.device(t, "up0")
	first := i.open(t)
	half := putFlow(t, first)
	i.do(t, func() error { return first.Attach(dev, FromUplink) })
	programs := i.programs(t, dev)
	newer := filepath.Join(i.cfg.mapsDir(), fmt.Sprintf("%s-%d-%s", flowGroup, 1000, legacy))
	other := half
	other.Src = mustAddrPort("192.0.2.3:3")
	if err := errors.Join(first.Close(), os.Mkdir(newer, 0o700)); err != nil {
		t.Fatal(err)
	}
	spec, err := object.LoadDatapath()
	if err != nil {
		t.Fatal(err)
	}
	m, err := newPinnedMap(spec.Maps[object.DatapathMapFlows4], filepath.Join(newer, object.DatapathMapFlows4))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	carried := flow.Carried(other)
	if err := m.Put(carry.Bytes(&carried, false)); err != nil {
		t.Fatal(err)
	}
	second := i.open(t)
	defer second.Close()
	for key, want := range map[flow.Key]bool{half.Key: true, other.Key: false} {
		if _, found, err := flow.New(second.Maps()).Lookup(key); found != want || err != nil {
			t.Errorf("flow %v: found %t, %v", key, found, err)
		}
	}
	if exists(newer) || second.Switching() || second.Replaced() != nil || !second.Adopted() {
		t.Errorf("tables of the later version left %t, switching %t, replaced %v, adopted %t",
			exists(newer), second.Switching(), second.Replaced(), second.Adopted())
	}
	if got := i.programs(t, dev); !cmp.Equal(got, programs) {
		t.Errorf("programs were %v and are %v", programs, got)
	}
	i.do(t, second.Uninstall)
}
