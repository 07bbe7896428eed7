// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// copyOlder copies what older tables of the group hold. What the control plane says anyway
// needs no fillers. Tables that have been filled by an earlier attempt get the same again.
func (l *Loader) copyOlder(s *survey, g group, dirs []string) error {
	for _, dir := range dirs {
		for _, t := range g.tables {
			if err := l.copyTable(s, g, dir, t); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *Loader) copyTable(s *survey, g group, dir, table string) error {
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
	c, err := convert(old, s.wanted(table), fillers(), g.bring == said)
	if err != nil {
		return err
	}
	return c.copy(from, to)
}

// copy enters all of a table's entries in another. One that is full takes no more.
func (c *conversion) copy(from, to *ebpf.Map) error {
	key, value := make([]byte, to.KeySize()), make([]byte, to.ValueSize())
	for e, err := range each(from) {
		if err != nil {
			return err
		}
		clear(key)
		clear(value)
		c.apply(e[0], e[1], key, value)
		err := to.Put(key, value)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			continue // an array that has become shorter
		}
		if err != nil {
			return fmt.Errorf("copy %s: %w", from, err)
		}
	}
	return nil
}
