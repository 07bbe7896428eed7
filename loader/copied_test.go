// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/maps/endpoint"
	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/userspace/model"
)

func layoutOf(t *testing.T, name string, m *ebpf.Map) layout {
	t.Helper()
	l, err := layoutOfMap(name, m)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// objectSpec is for tests that only read it: to parse the object takes 50 ms.
var objectSpec = sync.OnceValues(object.LoadDatapath)

func layoutOfObject(t *testing.T, name string) layout {
	t.Helper()
	spec, err := objectSpec()
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
