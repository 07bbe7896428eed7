// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// errNoConversion says that entries of one layout can't be made ones of another.
var errNoConversion = errors.New("entries can't be converted")

// view is a key or a value with the places of its members: integers, by their path, such
// as flow.last_seen or saddr.3. A key that is an integer itself has the path "".
type view struct {
	raw    []byte
	fields map[string]field
}

type field struct {
	at, size int
	// network says that the bytes are in network order.
	network bool
	// opaque says that it is a union, or a bit-field, which nobody converts.
	opaque bool
}

// uint returns a member of the kernel's byte order, which is the little end first.
func (v view) uint(path string) uint64 {
	var wide [8]byte
	if f, ok := v.fields[path]; ok {
		copy(wide[:], v.raw[f.at:f.at+f.size])
	}
	return binary.LittleEndian.Uint64(wide[:])
}

func (v view) set(path string, n uint64) {
	var wide [8]byte
	binary.LittleEndian.PutUint64(wide[:], n)
	f := v.fields[path]
	copy(v.raw[f.at:f.at+f.size], wide[:])
}

// entry is one that is being converted: what it was, and what it becomes.
type entry struct {
	oldKey, oldValue, key, value view
}

// filler gives a member its value that the older layout doesn't have.
type filler func(entry)

// conversion makes entries of one layout ones of another, by the names of members.
type conversion struct {
	oldKey, oldValue, key, value map[string]field
	moves                        [2][]move
	fill                         []filler
	unfill                       []func(key, oldKey view)
}

// move is of bytes, from one place to another.
type move struct{ from, to, size int }

// convert returns how. What the old layout lacks and no filler knows is an error; with
// lenient it becomes 0.
func convert(old, wanted layout, fill map[string]filler, lenient bool) (*conversion, error) {
	c := &conversion{
		oldKey: fieldsOf(old.key), oldValue: fieldsOf(old.value), key: fieldsOf(wanted.key), value: fieldsOf(wanted.value),
	}
	if old.kind != wanted.kind {
		return nil, fmt.Errorf("%s: %w: a %s became a %s", wanted.table, errNoConversion, old.kind, wanted.kind)
	}
	if len(c.oldKey) == 0 || len(c.oldValue) == 0 {
		return nil, fmt.Errorf("%s: %w: the kernel has no types of the older table", wanted.table, errNoConversion)
	}
	for i, part := range []struct {
		name     string
		from, to map[string]field
	}{{"key", c.oldKey, c.key}, {"value", c.oldValue, c.value}} {
		for path, to := range part.to {
			from, known := part.from[path]
			name := wanted.table + "." + part.name + "." + path
			switch f := fill[name]; {
			case f != nil:
				c.fill = append(c.fill, f)
			case to.opaque || from.opaque:
				return nil, fmt.Errorf("%w: %s is part of a union, or a bit-field", errNoConversion, name)
			case known && (from.size > to.size || from.size != to.size && (from.network || to.network)):
				return nil, fmt.Errorf("%w: %s had %d bytes and has %d", errNoConversion, name, from.size, to.size)
			case known:
				c.moves[i] = append(c.moves[i], move{from.at, to.at, from.size})
			case !lenient && !isPadding(path):
				return nil, fmt.Errorf("%w: nothing says what %s is", errNoConversion, name)
			}
		}
		c.moves[i] = joined(c.moves[i])
	}
	return c, nil
}

// joined makes one of moves that lie side by side in both layouts: a walk through the tables
// makes millions.
func joined(moves []move) (all []move) {
	slices.SortFunc(moves, func(a, b move) int { return a.to - b.to })
	for _, m := range moves {
		if n := len(all) - 1; n >= 0 && all[n].from+all[n].size == m.from && all[n].to+all[n].size == m.to {
			all[n].size += m.size
			continue
		}
		all = append(all, m)
	}
	return all
}

// isPadding knows members that are called pad, and their elements.
func isPadding(path string) bool {
	path = strings.TrimRight(path, ".0123456789")
	return path == "pad" || strings.HasSuffix(path, ".pad")
}

// apply fills key and value, which are zero, from an entry of the old layout.
func (c *conversion) apply(oldKey, oldValue, key, value []byte) {
	e := entry{view{oldKey, c.oldKey}, view{oldValue, c.oldValue}, view{key, c.key}, view{value, c.value}}
	for _, m := range c.moves[0] {
		copy(key[m.to:m.to+m.size], oldKey[m.from:])
	}
	for _, m := range c.moves[1] {
		copy(value[m.to:m.to+m.size], oldValue[m.from:])
	}
	for _, f := range c.fill {
		f(e)
	}
}

// back makes a key of the old layout from one of the new.
func (c *conversion) back(key, oldKey []byte) {
	for _, m := range c.moves[0] {
		copy(oldKey[m.from:m.from+m.size], key[m.to:])
	}
	for _, f := range c.unfill {
		f(view{key, c.key}, view{oldKey, c.oldKey})
	}
}

// fieldsOf returns the members of a type that are integers, by their paths.
func fieldsOf(t btf.Type) map[string]field {
	all := make(map[string]field)
	addFields(all, "", 0, t)
	return all
}

func addFields(all map[string]field, path string, at int, t btf.Type) {
	join := func(name string) string {
		if path == "" {
			return name
		}
		return path + "." + name
	}
	switch u := btf.UnderlyingType(t).(type) {
	case *btf.Struct:
		for _, m := range u.Members {
			if m.BitfieldSize != 0 {
				all[join(m.Name)] = field{opaque: true}
				continue
			}
			addFields(all, join(m.Name), at+int(m.Offset.Bytes()), m.Type)
		}
	case *btf.Array:
		size, err := btf.Sizeof(u.Type)
		if err != nil {
			return
		}
		for i := range int(u.Nelems) {
			addFields(all, join(fmt.Sprint(i)), at+i*size, u.Type)
		}
	case *btf.Int:
		all[path] = field{at: at, size: int(u.Size), network: isNetworkOrder(t)}
	case *btf.Union:
		all[path] = field{opaque: true}
	case *btf.Enum:
		all[path] = field{at: at, size: int(u.Size)}
	}
}

// isNetworkOrder knows types such as __be32 by their name.
func isNetworkOrder(t btf.Type) bool {
	for {
		switch u := t.(type) {
		case *btf.Typedef:
			if strings.HasPrefix(u.Name, "__be") {
				return true
			}
			t = u.Type
		case *btf.Const:
			t = u.Type
		case *btf.Volatile:
			t = u.Type
		default:
			return false
		}
	}
}
