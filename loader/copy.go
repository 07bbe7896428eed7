// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// copiedMark is a directory in a group's home: all that the control plane had said to older
// tables is copied, and what it says now isn't to be overwritten. It goes with the older
// tables.
const copiedMark = "copied"

// copyFirst is copyOlder for what older programs still work with. What an earlier attempt
// copied whole stays as it is where only the control plane writes.
func (l *Loader) copyFirst(s *survey, g group, dirs []string) error {
	mark := s.path(g, copiedMark)
	if exists(mark) {
		return nil
	}
	if err := l.copyOlder(s, g, dirs, ebpf.UpdateAny); err != nil || g.bring != said {
		return err
	}
	if err := os.Mkdir(mark, 0o700); err != nil {
		return fmt.Errorf("directory of maps: %w", err)
	}
	return nil
}

// copyOlder copies what older tables of the group hold. What the control plane says anyway
// needs no fillers.
func (l *Loader) copyOlder(s *survey, g group, dirs []string, how ebpf.MapUpdateFlags) error {
	for _, dir := range dirs {
		for _, t := range g.tables {
			if err := l.copyTable(s, g, dir, t, how); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyTable leaves out tables of tables: only the control plane writes them, which says all of
// it again.
func (l *Loader) copyTable(s *survey, g group, dir, table string, how ebpf.MapUpdateFlags) error {
	if s.wanted(table).inner != nil {
		return nil
	}
	from, err := openOlder(dir, table)
	if err != nil || from == nil {
		return err
	}
	defer from.Close()
	to, err := ebpf.LoadPinnedMap(s.path(g, table), nil)
	if err != nil {
		return explain(fmt.Errorf("pinned map %s: %w", s.path(g, table), err))
	}
	defer to.Close()
	old, err := layoutOfMap(table, from)
	if err != nil {
		return err
	}
	at, err := l.whereabouts()
	if err != nil {
		return err
	}
	c, err := convert(old, s.wanted(table), fillers(revisionOf(dir), at), g.bring == said)
	if err != nil {
		return err
	}
	return c.copy(from, to, how)
}

// copy enters all of a table's entries in another. One that is full takes no more.
func (c *conversion) copy(from, to *ebpf.Map, how ebpf.MapUpdateFlags) error {
	key, value := make([]byte, to.KeySize()), make([]byte, to.ValueSize())
	for e, err := range each(from) {
		if err != nil {
			return err
		}
		clear(key)
		clear(value)
		c.apply(e[0], e[1], key, value)
		err := to.Update(key, value, how)
		if errors.Is(err, ebpf.ErrKeyExist) && how == ebpf.UpdateNoExist {
			continue
		}
		// A hash or a trie that is full, or an array that has become shorter.
		if errors.Is(err, unix.E2BIG) || errors.Is(err, unix.ENOSPC) {
			continue
		}
		if err != nil {
			return fmt.Errorf("copy %s: %w", from, err)
		}
	}
	return nil
}
