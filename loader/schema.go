// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/fairway-project/fairway/maps/object"
)

// expendable lists the maps that nothing depends on: when their layout changes they
// are begun anew, and the rest stays. They hold counters, nothing from one packet to
// the next, what is soon learned again, or what no more than a datagram is lost with.
// Those of shares are filled by the control plane's next walk through the flow tables;
// that of ports in use is right when the flows from before have ended.
func expendable() map[string]bool {
	return map[string]bool{
		object.DatapathMapScratches:     true,
		object.DatapathMapDrops:         true,
		object.DatapathMapVerdicts:      true,
		object.DatapathMapEndpointStats: true,
		object.DatapathMapExpired:       true,
		object.DatapathMapHostTuples:    true,
		object.DatapathMapHeardTuples:   true,
		object.DatapathMapInsideTuples:  true,
		object.DatapathMapHostProtocols: true,
		object.DatapathMapHostListeners: true,
		object.DatapathMapFrags:         true,
		object.DatapathMapBusyFrags:     true,
		object.DatapathMapFragRates:     true,

		object.DatapathMapFlowUses:        true,
		object.DatapathMapFlowCorrections: true,
		object.DatapathMapShares:          true,
		object.DatapathMapPortUses:        true,
	}
}

// internal maps hold the constants of one load, such as .rodata.
func internalMap(name string) bool { return strings.HasPrefix(name, ".") }

// sizedByFlows reports whether a map's size follows from that of the flow tables.
func sizedByFlows(name string) bool {
	switch name {
	case object.DatapathMapFlows4, object.DatapathMapFlows6, object.DatapathMapRecent4, object.DatapathMapRecent6:
		return true
	}
	return false
}

// schema returns a hash of the layout of all maps whose content belongs together:
// names, types, sizes, and the members of keys and values. Objects with the same
// schema can share maps. The size of the flow tables isn't part of it.
func schema(spec *ebpf.CollectionSpec) string {
	skip := expendable()
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(spec.Maps)) {
		if skip[name] || internalMap(name) {
			continue
		}
		m := spec.Maps[name]
		entries := m.MaxEntries
		if sizedByFlows(name) {
			entries = 0
		}
		fmt.Fprintf(h, "%s %s %d %d %d %#x ", name, m.Type, m.KeySize, m.ValueSize, entries, m.Flags)
		writeType(h, m.Key)
		writeType(h, m.Value)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
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
