// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
)

var (
	u16  = &btf.Int{Name: "__u16", Size: 2}
	u32  = &btf.Int{Name: "__u32", Size: 4}
	be16 = &btf.Typedef{Name: "__be16", Type: u16}
	be32 = &btf.Typedef{Name: "__be32", Type: u32}
)

// structOf lays members out one after the other.
func structOf(members ...btf.Member) *btf.Struct {
	s := &btf.Struct{Name: "s"}
	for _, m := range members {
		size, _ := btf.Sizeof(m.Type)
		m.Offset = btf.Bits(s.Size) * 8
		s.Size += uint32(size)
		s.Members = append(s.Members, m)
	}
	return s
}

func layoutWith(value btf.Type) layout {
	size, _ := btf.Sizeof(value)
	return layout{table: "t", kind: ebpf.Hash, keySize: 4, valueSize: uint32(size), key: u32, value: value}
}

func TestConversion(t *testing.T) {
	old := layoutWith(structOf(
		btf.Member{Name: "gone", Type: u32}, btf.Member{Name: "port", Type: be16}, btf.Member{Name: "small", Type: u16},
		btf.Member{Name: "words", Type: &btf.Array{Index: u32, Type: be32, Nelems: 2}},
	))
	wanted := layoutWith(structOf(
		btf.Member{Name: "words", Type: &btf.Array{Index: u32, Type: be32, Nelems: 2}},
		btf.Member{Name: "inner", Type: structOf(btf.Member{Name: "fresh", Type: u16}, btf.Member{Name: "pad", Type: &btf.Array{Index: u32, Type: u16, Nelems: 1}})},
		btf.Member{Name: "small", Type: u32}, btf.Member{Name: "port", Type: be16},
	))
	_, err := convert(old, wanted, nil, false)
	if !errors.Is(err, errNoConversion) || !strings.Contains(err.Error(), "t.value.inner") {
		t.Errorf("without fillers: %v", err)
	}
	fill := map[string]filler{
		"t.value.inner.fresh": func(e entry) { e.value.set("inner.fresh", e.oldValue.uint("gone")+e.oldKey.uint("")) },
	}
	for _, lenient := range []bool{false, true} {
		c, err := convert(old, wanted, fill, lenient)
		if err != nil {
			t.Fatal(err)
		}
		key, value := make([]byte, 4), make([]byte, 18)
		c.apply([]byte{9, 0, 0, 0}, []byte{1, 0, 0, 0, 0x12, 0x34, 5, 6, 10, 0, 0, 1, 10, 0, 0, 2}, key, value)
		want := []byte{10, 0, 0, 1, 10, 0, 0, 2, 10, 0, 0, 0, 5, 6, 0, 0, 0x12, 0x34}
		if diff := cmp.Diff(want, value); diff != "" {
			t.Errorf("value (-want +got):\n%s", diff)
		}
		back := make([]byte, 4)
		if c.back(key, back); back[0] != 9 {
			t.Errorf("the key came back as %v", back)
		}
	}
}

func TestNoConversion(t *testing.T) {
	member := func(typ btf.Type) layout { return layoutWith(structOf(btf.Member{Name: "m", Type: typ})) }
	untyped := member(u32)
	untyped.key, untyped.value = nil, nil
	array := member(u32)
	array.kind = ebpf.Array
	union := &btf.Union{Name: "u", Size: 4, Members: []btf.Member{{Name: "a", Type: u32}}}
	bits := structOf(btf.Member{Name: "m", Type: u32})
	bits.Members[0].BitfieldSize = 3
	for name, c := range map[string]struct{ old, wanted layout }{
		"a union":             {member(union), member(union)},
		"a bit-field":         {layoutWith(bits), layoutWith(bits)},
		"fewer bytes":         {member(u32), member(u16)},
		"of network order":    {member(be16), member(be32)},
		"into network order":  {member(u16), member(be32)},
		"without types":       {untyped, member(u32)},
		"another kind of map": {array, member(u32)},
	} {
		if _, err := convert(c.old, c.wanted, nil, true); !errors.Is(err, errNoConversion) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
