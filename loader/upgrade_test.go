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
	"github.com/cilium/ebpf/btf"
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
// flow tables have an earlier layout.
type older struct {
	*instance
	tables map[string]*ebpf.Map // of flows
	fields map[string][2]map[string]field
}

// becomesOlder makes what a closed loader leaves look as if an older version had left it.
func (i *instance) becomesOlder(t *testing.T, revision string) *older {
	t.Helper()
	o := &older{instance: i, tables: make(map[string]*ebpf.Map), fields: make(map[string][2]map[string]field)}
	dir := filepath.Join(i.cfg.mapsDir(), legacy)
	specs := frozen(t, revision)
	pins, err := filepath.Glob(filepath.Join(i.cfg.mapsDir(), "*-*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, pin := range pins {
		name := filepath.Base(pin)
		to := filepath.Join(dir, name)
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
	homes, err := filepath.Glob(filepath.Join(i.cfg.mapsDir(), "*-*"))
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
	spec := layoutOfObject(t, table)
	back, err := convert(spec, layoutOf(t, table, m), nil, true)
	if err != nil {
		t.Fatal(err)
	}
	key, value := make([]byte, m.KeySize()), make([]byte, m.ValueSize())
	newKey, newValue := carry.Bytes(&carried, h.IPv6())
	back.apply(newKey, newValue, key, value)
	was := view{key, back.key}
	unfillZone(view{newKey, back.oldKey}, was)
	if was.uint("zone") == oldWorld {
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

// theNetwork is that of the endpoint in slot 3.
const theNetwork = 5

// inhabit puts the endpoint of all connections into its slot.
func inhabit(t *testing.T, l *Loader) {
	t.Helper()
	e := endpoint.Endpoint{
		Index: 100, IPv4: netip.MustParseAddr("172.17.0.2"), IPv6: netip.MustParseAddr("fd00::2"), Generation: 7, Network: theNetwork, Ready: true,
	}
	if err := endpoint.New(l.Maps()).Put(3, e); err != nil {
		t.Fatal(err)
	}
}

// connection returns both halves of a masqueraded one of the endpoint in slot 3.
func connection(v6 bool, n int, proto uint8) []flow.Half {
	inside, outside, hosts := "172.17.0.2", "198.51.100.9", "192.0.2.1"
	if v6 {
		inside, outside, hosts = "fd00::2", "2001:db8:9::9", "2001:db8::1"
	}
	at := func(a string, port int) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr(a), uint16(port))
	}
	origin := flow.Half{
		Key:    flow.Key{Src: at(inside, 1000+n), Dst: at(outside, 80), Zone: theNetwork, Proto: proto},
		NATSrc: at(hosts, 20000+n), NATDst: at(outside, 80),
		LastSeen: uint32(5000 + n), State: object.DatapathFlowStateFLOW_SEEN, Action: object.DatapathFlowActionFLOW_FORWARD,
		Flags:    object.DatapathFlowFlagFLOW_ORIGIN | object.DatapathFlowFlagFLOW_TWIN_WORLD | object.DatapathFlowFlagFLOW_REWRITE,
		OutIndex: 4, Endpoint: 3, EndpointGeneration: 7,
	}
	reply := origin
	reply.Key = flow.Key{Src: origin.NATDst, Dst: origin.NATSrc, Zone: object.DatapathZoneZONE_WORLD, Proto: proto}
	reply.NATSrc, reply.NATDst = origin.Dst, origin.Src
	reply.Flags, reply.Action = object.DatapathFlowFlagFLOW_REWRITE, object.DatapathFlowActionFLOW_DELIVER
	reply.OutIndex, reply.TwinZone = 0, theNetwork
	return []flow.Half{reply, origin}
}

// connections are of each family, TCP, UDP and echo.
func connections(n int) (all []flow.Half) {
	for _, v6 := range []bool{false, true} {
		for i := range n {
			all = append(all, connection(v6, i, []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP}[i%2])...)
		}
		echo := connection(v6, n, unix.IPPROTO_ICMP)
		if v6 {
			echo = connection(v6, n, unix.IPPROTO_ICMPV6)
		}
		for i := range echo {
			h := &echo[i]
			h.Echo = object.DatapathFlowEchoFLOW_ECHO_REPLY
			if h.Origin() {
				h.Echo = object.DatapathFlowEchoFLOW_ECHO_REQUEST
			}
		}
		all = append(all, echo...)
	}
	return all
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

// Connections in tables of every earlier layout come into this version's, count there, and
// go on when programs are replaced; the older tables go.
func TestConnectionsAreCarriedOver(t *testing.T) {
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
	o := i.becomesOlder(t, "flows-0")
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
	i := newInstance(t)
	first := i.open(t)
	inhabit(t, first)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	o := i.becomesOlder(t, "flows-0")
	want := connections(3)
	for _, h := range want {
		o.put(t, h)
	}
	second := i.open(t)
	defer second.Close()
	// As if it were still there.
	dir := filepath.Join(i.cfg.mapsDir(), legacy)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, m := range o.tables {
		again, err := m.Clone()
		if err == nil {
			err = errors.Join(again.Pin(filepath.Join(dir, name)), again.Close())
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
	c, err := second.openCarrying(s, []string{dir})
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
	o := &older{instance: i, tables: make(map[string]*ebpf.Map), fields: make(map[string][2]map[string]field)}
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

// Another map, or fewer, concerns nobody: no program waits and no connection is touched.
func TestAnotherMapChangesNothing(t *testing.T) {
	i := newInstance(t)
	first := i.open(t)
	half := putFlow(t, first)
	flows, err := mapID(i.pin(t, object.DatapathMapFlows4))
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	// A version that hadn't the one, and had another.
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	former := filepath.Join(i.cfg.mapsDir(), "former-1-"+legacy)
	err = errors.Join(os.RemoveAll(filepath.Dir(i.pin(t, object.DatapathMapFrags))), os.RemoveAll(i.cfg.programsDir()),
		os.Mkdir(former, 0o700), m.Pin(filepath.Join(former, "former")))
	if err != nil {
		t.Fatal(err)
	}
	second := i.open(t)
	defer second.Close()
	if _, found, err := flow.New(second.Maps()).Lookup(half.Key); !found || err != nil {
		t.Errorf("flow of the earlier process: found %t, %v", found, err)
	}
	if id, err := mapID(i.pin(t, object.DatapathMapFlows4)); id != flows || err != nil {
		t.Errorf("the flow table is map %d, was %d, %v", id, flows, err)
	}
	if second.Switching() || second.Replaced() != nil || exists(former) {
		t.Errorf("switching %t, replaced %+v, former map left %t", second.Switching(), second.Replaced(), exists(former))
	}
	i.do(t, second.Uninstall)
}

// pin is where a map is pinned.
func (i *instance) pin(t *testing.T, name string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(i.cfg.mapsDir(), "*", name))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s is pinned at %v, %v", name, found, err)
	}
	return found[0]
}

// What a later version left isn't touched: not its tables, nor its programs.
func TestNewerTablesAreRefused(t *testing.T) {
	i := newInstance(t)
	dev := i.device(t, "up0")
	first := i.open(t)
	i.do(t, func() error { return first.Attach(dev, FromUplink) })
	programs := i.programs(t, dev)
	home := filepath.Dir(i.pin(t, object.DatapathMapFlows4))
	newer := filepath.Join(i.cfg.mapsDir(), fmt.Sprintf("%s-%d-%s", flowGroup, 1000, legacy))
	if err := errors.Join(first.Close(), os.Rename(home, newer)); err != nil {
		t.Fatal(err)
	}
	before := i.pins(t)
	i.do(t, func() error {
		l, err := Open(i.cfg)
		if err == nil {
			return errors.Join(errors.New("tables of a later revision were taken"), l.Close())
		}
		if !errors.Is(err, ErrNewerTables) || !strings.Contains(err.Error(), "revision 1000 of flows, and this version knows") {
			t.Errorf("refused with %v", err)
		}
		return nil
	})
	if diff := cmp.Diff(before, i.pins(t)); diff != "" {
		t.Errorf("pins (-before +after):\n%s", diff)
	}
	if got := i.programs(t, dev); !cmp.Equal(got, programs) {
		t.Errorf("programs were %v and are %v", programs, got)
	}
	i.do(t, func() error { return Remove(i.cfg) })
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
	i.becomesOlder(t, "flows-0")
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

// Groups that this version doesn't know are a later version's, but a single table's own.
func TestUnknownGroupIsRefused(t *testing.T) {
	i := newInstance(t)
	first := i.open(t)
	home := filepath.Dir(i.pin(t, object.DatapathMapEndpoints))
	unknown := filepath.Join(i.cfg.mapsDir(), "later-1-"+legacy)
	if err := errors.Join(first.Close(), os.Rename(home, unknown)); err != nil {
		t.Fatal(err)
	}
	i.do(t, func() error {
		l, err := Open(i.cfg)
		if !errors.Is(err, ErrNewerTables) || !strings.Contains(err.Error(), "no group later") {
			t.Errorf("refused with %v", err)
		}
		if err == nil {
			return l.Close()
		}
		return nil
	})
	i.do(t, func() error { return Remove(i.cfg) })
}

// A start that was killed between two tables that have one size doesn't leave them with two.
func TestHalfOfTheFlowTables(t *testing.T) {
	i := newInstance(t)
	first := i.open(t)
	rings := []string{i.pin(t, object.DatapathMapRecent4), i.pin(t, object.DatapathMapRecent6)}
	want := first.Maps().Recent4.MaxEntries()
	if err := errors.Join(first.Close(), os.Remove(rings[1]), os.RemoveAll(i.cfg.programsDir())); err != nil {
		t.Fatal(err)
	}
	i.cfg.FlowTableSize = 8192
	second := i.open(t)
	defer second.Close()
	if got := second.Maps().Recent6.MaxEntries(); got != want {
		t.Errorf("rings have %d and %d entries", want, got)
	}
	i.do(t, second.Uninstall)
}

// pins lists all that is in the instance's directory.
func (i *instance) pins(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(i.cfg.Dir, func(path string, _ os.DirEntry, err error) error {
		all = append(all, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func layoutOf(t *testing.T, name string, m *ebpf.Map) layout {
	t.Helper()
	l, err := layoutOfMap(name, m)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func layoutOfObject(t *testing.T, name string) layout {
	t.Helper()
	spec, err := object.LoadDatapath()
	if err != nil {
		t.Fatal(err)
	}
	return layoutOfSpec(name, spec.Maps[name])
}

// backwards is a struct with its members in the opposite order.
func backwards(t *testing.T, s *btf.Struct) *btf.Struct {
	t.Helper()
	out := &btf.Struct{Name: s.Name, Size: s.Size}
	at := btf.Bits(0)
	for _, m := range slices.Backward(s.Members) {
		size, err := btf.Sizeof(m.Type)
		if err != nil {
			t.Fatal(err)
		}
		out.Members = append(out.Members, btf.Member{Name: m.Name, Type: m.Type, Offset: at})
		at += btf.Bits(size) * 8
	}
	return out
}

// Tables that only the control plane writes are copied, each entry where it was, and older
// programs go on until it has said all again.
func TestControlPlaneTablesAreCopied(t *testing.T) {
	i := newInstance(t)
	dev := i.device(t, "up0")
	first := i.open(t)
	want := map[uint16]endpoint.Endpoint{}
	for slot := range uint16(50) {
		e := endpoint.Endpoint{Index: 100 + int(slot), Generation: 9, Network: 3, Ready: true,
			IPv4: netip.AddrFrom4([4]byte{172, 17, 0, byte(slot)}), MAC: model.MAC{2, 0, 0, 0, 0, byte(slot)}}
		want[slot+1] = e
		if err := endpoint.New(first.Maps()).Put(slot+1, e); err != nil {
			t.Fatal(err)
		}
	}
	half := putFlow(t, first)
	i.do(t, func() error { return first.Attach(dev, FromUplink) })
	before := i.programs(t, dev)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	i.turnBackwards(t, object.DatapathMapEndpoints)
	second := i.open(t)
	defer func() { second.Close() }()
	got, err := endpoint.New(second.Maps()).All()
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" || err != nil {
		t.Errorf("endpoints (-want +got), %v:\n%s", err, diff)
	}
	if got := i.programs(t, dev); !second.Switching() || !cmp.Equal(got, before) {
		t.Errorf("before Switch: switching %t, programs %v, want %v", second.Switching(), got, before)
	}
	// Killed here, what the control plane has said since isn't overwritten.
	said := want[5]
	said.Generation++
	want[5] = said
	if err := errors.Join(endpoint.New(second.Maps()).Put(5, said), second.Close()); err != nil {
		t.Fatal(err)
	}
	second = i.open(t)
	got, err = endpoint.New(second.Maps()).All()
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" || err != nil || !second.Switching() {
		t.Errorf("endpoints after a restart (-want +got), %v, switching %t:\n%s", err, second.Switching(), diff)
	}
	i.do(t, second.Switch)
	if marks, err := filepath.Glob(filepath.Join(i.cfg.mapsDir(), "*", copiedMark)); len(marks) != 0 || err != nil {
		t.Errorf("marks are left: %v, %v", marks, err)
	}
	if got := i.programs(t, dev); second.Switching() || len(got) != 1 || got[0] == before[0] {
		t.Errorf("after Switch: switching %t, programs %v", second.Switching(), got)
	}
	if _, found, err := flow.New(second.Maps()).Lookup(half.Key); !found || err != nil {
		t.Errorf("flow of the earlier process: found %t, %v", found, err)
	}
	if others, err := OtherTables(i.cfg.Dir); len(others) != 0 || err != nil {
		t.Errorf("older tables are left: %v, %v", others, err)
	}
	i.do(t, second.Uninstall)
}

// An earlier revision with the same layout meant something else: its tables aren't shared.
func TestSameLayoutOfAnotherRevision(t *testing.T) {
	i := newInstance(t)
	first := i.open(t)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	home := filepath.Dir(i.pin(t, object.DatapathMapEndpoints))
	before, err := mapID(i.pin(t, object.DatapathMapEndpoints))
	if err != nil {
		t.Fatal(err)
	}
	older := filepath.Join(i.cfg.mapsDir(), strings.Replace(filepath.Base(home), "-2-", "-1-", 1))
	if err := os.Rename(home, older); err != nil {
		t.Fatal(err)
	}
	second := i.open(t)
	defer second.Close()
	after, err := mapID(filepath.Join(home, object.DatapathMapEndpoints))
	if err != nil || after == before || !second.Switching() {
		t.Errorf("map %d became %d, switching %t, %v", before, after, second.Switching(), err)
	}
	i.do(t, second.Uninstall)
}

// What there is no room for any more is left out.
func TestCopyIntoLess(t *testing.T) {
	for _, kind := range []ebpf.MapType{ebpf.Array, ebpf.Hash} {
		spec := &ebpf.MapSpec{Type: kind, KeySize: 4, ValueSize: 4, MaxEntries: 8, Key: u32, Value: u32}
		from, err := ebpf.NewMap(spec)
		if err != nil {
			t.Fatal(err)
		}
		defer from.Close()
		for n := range uint32(8) {
			if err := from.Put(n, n+1); err != nil {
				t.Fatal(err)
			}
		}
		spec.MaxEntries = 4
		to, err := ebpf.NewMap(spec)
		if err != nil {
			t.Fatal(err)
		}
		defer to.Close()
		l := layout{table: "t", kind: kind, keySize: 4, valueSize: 4, key: u32, value: u32}
		c, err := convert(l, l, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.copy(from, to, ebpf.UpdateAny); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		copied := 0
		for e, err := range each(to) {
			if err != nil || e[1][0] != e[0][0]+1 {
				t.Errorf("%s: entry %v, %v", kind, e, err)
			}
			copied++
		}
		if copied != 4 {
			t.Errorf("%s: %d entries, want 4", kind, copied)
		}
	}
}

// turnBackwards gives a table, and so its group, another layout, as an earlier revision may
// have had it.
func (i *instance) turnBackwards(t *testing.T, table string) {
	t.Helper()
	pin := i.pin(t, table)
	present, err := ebpf.LoadPinnedMap(pin, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer present.Close()
	spec, err := object.LoadDatapath()
	if err != nil {
		t.Fatal(err)
	}
	ms := spec.Maps[table].Copy()
	ms.Value = backwards(t, btf.UnderlyingType(ms.Value).(*btf.Struct))
	m, err := ebpf.NewMap(ms)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	c, err := convert(layoutOfSpec(table, spec.Maps[table]), layoutOfSpec(table, ms), nil, false)
	if err != nil {
		t.Fatal(err)
	}
	older := filepath.Join(i.cfg.mapsDir(), "endpoints-0-0123456789abcdef")
	if err := errors.Join(c.copy(present, m, ebpf.UpdateAny), os.Remove(pin), m.Pin(pin), os.Rename(filepath.Dir(pin), older)); err != nil {
		t.Fatal(err)
	}
}
