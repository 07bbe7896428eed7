// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// layout is what a table's entries look like. The types are nil where nobody kept them.
type layout struct {
	table     string
	kind      ebpf.MapType
	keySize   uint32
	valueSize uint32
	entries   uint32
	flags     uint32
	key       btf.Type
	value     btf.Type
	// inner is of the tables that lie in this one. The kernel doesn't tell it.
	inner *layout
}

// layoutOfSpec is what this version wants.
func layoutOfSpec(name string, ms *ebpf.MapSpec) layout {
	l := layout{name, ms.Type, ms.KeySize, ms.ValueSize, ms.MaxEntries, ms.Flags, ms.Key, ms.Value, nil}
	if ms.InnerMap != nil {
		inner := layoutOfSpec(name, ms.InnerMap)
		l.inner = &inner
	}
	return l
}

// layoutOfMap is what the kernel keeps of a table that another version made, perhaps: its
// types come with it.
func layoutOfMap(name string, m *ebpf.Map) (layout, error) {
	l := layout{name, m.Type(), m.KeySize(), m.ValueSize(), m.MaxEntries(), m.Flags(), nil, nil, nil}
	info, err := mapTypes(m)
	if err != nil || info.btf == 0 {
		return l, err
	}
	handle, err := btf.NewHandleFromID(btf.ID(info.btf))
	if err != nil {
		return l, fmt.Errorf("types of map %s: %w", name, err)
	}
	defer handle.Close()
	types, err := handle.Spec(nil)
	if err != nil {
		return l, fmt.Errorf("types of map %s: %w", name, err)
	}
	if l.key, err = types.TypeByID(btf.TypeID(info.key)); err != nil {
		return l, fmt.Errorf("key of map %s: %w", name, err)
	}
	if l.value, err = types.TypeByID(btf.TypeID(info.value)); err != nil {
		return l, fmt.Errorf("value of map %s: %w", name, err)
	}
	return l, nil
}

// typeIDs are where the kernel keeps the types of a map; zero if it has none.
type typeIDs struct{ btf, key, value uint32 }

// mapTypes asks for struct bpf_map_info, of which package ebpf doesn't tell the last two.
func mapTypes(m *ebpf.Map) (typeIDs, error) {
	type mapInfo struct {
		_   [64]byte
		ids typeIDs
		_   uint32
	}
	info := new(mapInfo)
	var pin runtime.Pinner
	pin.Pin(info)
	defer pin.Unpin()
	attr := struct {
		fd, length uint32
		info       uint64
	}{uint32(m.FD()), uint32(unsafe.Sizeof(*info)), uint64(uintptr(unsafe.Pointer(info)))}
	_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_OBJ_GET_INFO_BY_FD, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(m)
	if errno != 0 {
		return typeIDs{}, fmt.Errorf("info of %s: %w", m, errno)
	}
	return info.ids, nil
}

// isLike reports whether tables of both layouts can be one. Where the kernel kept no types
// sizes have to do.
func (l layout) isLike(other layout) bool {
	if l.key == nil && l.value == nil {
		other.key, other.value = nil, nil
	}
	other.inner = l.inner
	var a, b strings.Builder
	l.write(&a)
	other.write(&b)
	return a.String() == b.String()
}

// write writes what a table looks like: its kind, sizes, and the members of its key and
// value. How many entries those have whose size follows from that of the flow tables isn't part
// of it.
func (l layout) write(w io.Writer) {
	entries := l.entries
	if sizedByFlows(l.table) {
		entries = 0
	}
	fmt.Fprintf(w, "%s %s %d %d %d %#x ", l.table, l.kind, l.keySize, l.valueSize, entries, l.flags)
	writeType(w, l.key)
	writeType(w, l.value)
	if l.inner != nil {
		l.inner.write(w)
	}
}

// writeType writes what a type looks like in memory and what its members are called.
func writeType(w io.Writer, t btf.Type) {
	switch t := btf.UnderlyingType(t).(type) {
	case nil:
		fmt.Fprint(w, "none;")
	case *btf.Struct:
		fmt.Fprintf(w, "struct %s %d{", t.Name, t.Size)
		for _, m := range t.Members {
			fmt.Fprintf(w, "%s %d ", m.Name, m.Offset)
			writeType(w, m.Type)
		}
		fmt.Fprint(w, "};")
	case *btf.Array:
		fmt.Fprintf(w, "[%d]", t.Nelems)
		writeType(w, t.Type)
	case *btf.Int:
		fmt.Fprintf(w, "int %d;", t.Size)
	default:
		fmt.Fprintf(w, "%v;", t)
	}
}
