// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/carry"
	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/share"
)

// carrying brings connections over from older tables while older programs work with them.
type carrying struct {
	carrier *carry.Carrier
	parts   []*part
	batch   []carry.Entry
	// entered are connections, lost those that the last walk found no room for, or whose
	// tuple was another connection's by then.
	entered, lost int
}

// part is the connections of a family in one directory of older tables.
type part struct {
	v6            bool
	flows, recent *ebpf.Map // recent is nil where there is no ring
	pressures     *ebpf.Map
	conversion    *conversion
	// next is of struct pressure in the older layout: how many connections were ever
	// opened.
	next map[string]field
	// done are the connections of the ring, by their number, that need no look any more.
	done uint32
}

// openCarrying looks whether what is in these directories can be converted.
func (l *Loader) openCarrying(s *survey, dirs []string) (_ *carrying, err error) {
	c := &carrying{carrier: carry.New(l.Maps(), l.Programs())}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	at, err := l.whereabouts()
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		for v6, names := range [][2]string{
			{object.DatapathMapFlows4, object.DatapathMapRecent4}, {object.DatapathMapFlows6, object.DatapathMapRecent6},
		} {
			p, err := openPart(s, dir, at, v6 == 1, names[0], names[1])
			if err != nil {
				return nil, err
			}
			if p != nil {
				c.parts = append(c.parts, p)
			}
		}
	}
	// What is counted of ports is found by a hash with this seed.
	return c, share.New(l.Maps()).Seed(rand.Uint32() | 1)
}

func openPart(s *survey, dir string, at whereabouts, v6 bool, flows, recent string) (_ *part, err error) {
	p := &part{v6: v6}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.flows, err = openOlder(dir, flows); err != nil || p.flows == nil {
		return nil, err
	}
	old, err := layoutOfMap(flows, p.flows)
	if err != nil {
		return nil, err
	}
	if p.conversion, err = convert(old, s.wanted(flows), fillers(revisionOf(dir), at), false); err != nil {
		return nil, err
	}
	p.conversion.unfill = unfillers(revisionOf(dir))
	if p.recent, err = openOlder(dir, recent); err != nil {
		return nil, err
	}
	if p.pressures, err = openOlder(dir, object.DatapathMapPressures); err != nil {
		return nil, err
	}
	if p.recent == nil || p.pressures == nil || p.recent.KeySize() != 4 || p.recent.ValueSize() != p.flows.KeySize() {
		return p, nil
	}
	pressure, err := layoutOfMap(object.DatapathMapPressures, p.pressures)
	if err != nil {
		return nil, err
	}
	p.next = fieldsOf(pressure.value)
	return p, nil
}

// openOlder returns nil for a table that isn't there.
func openOlder(dir, table string) (*ebpf.Map, error) {
	path := filepath.Join(dir, table)
	m, err := ebpf.LoadPinnedMap(path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, explain(fmt.Errorf("pinned map %s: %w", path, err))
	}
	return m, nil
}

func (p *part) close() { closeAll(p.flows, p.recent, p.pressures) }

func (c *carrying) close() {
	for _, p := range c.parts {
		p.close()
	}
}

// all walks through the older tables, once for replies, once for origins, which go in only
// where their replies are. What is in this version's already gains what packets have told
// of it since.
func (c *carrying) all() error {
	c.lost = 0
	for _, p := range c.parts {
		opened, err := p.opened()
		if err != nil {
			return err
		}
		if err := errors.Join(c.walk(p, false), c.walk(p, true)); err != nil {
			return err
		}
		p.done = opened
	}
	return nil
}

func (c *carrying) walk(p *part, origins bool) error {
	for e, err := range each(p.flows) {
		if err != nil {
			return err
		}
		half := p.converted(e[0], e[1])
		if isOrigin(&half) != origins {
			continue
		}
		if err := c.add(half); err != nil {
			return err
		}
	}
	return c.flush()
}

func isOrigin(e *carry.Entry) bool {
	return object.DatapathFlowFlag(e.Flow.Flow.Flags)&object.DatapathFlowFlagFLOW_ORIGIN != 0
}

// newest is all for connections that older programs have opened since the last call of
// either, which a ring remembers.
func (c *carrying) newest() error {
	for _, p := range c.parts {
		opened, err := p.opened()
		if err != nil {
			return err
		}
		if opened == p.done {
			continue
		}
		slots := p.recent.MaxEntries()
		for n := max(0, int64(opened-p.done)-int64(slots)); n < int64(opened-p.done); n++ {
			if err := c.remembered(p, (p.done+uint32(n))%slots); err != nil {
				return err
			}
		}
		p.done = opened
	}
	return c.flush()
}

// opened is the number of connections that the older programs ever opened; 0 if they
// don't count.
func (p *part) opened() (uint32, error) {
	if p.next == nil {
		return 0, nil
	}
	family := uint32(0)
	if p.v6 {
		family = 1
	}
	raw := make([]byte, p.pressures.ValueSize())
	if err := p.pressures.Lookup(family, raw); err != nil {
		return 0, fmt.Errorf("read %s: %w", p.pressures, err)
	}
	return uint32(view{raw, p.next}.uint("next")), nil
}

// remembered adds both halves of the connection whose origin's key is in a slot of the
// ring, the reply's first: that is what reserves its tuple.
func (c *carrying) remembered(p *part, slot uint32) error {
	key, value := make([]byte, p.flows.KeySize()), make([]byte, p.flows.ValueSize())
	if err := p.recent.Lookup(slot, key); err != nil {
		return fmt.Errorf("read %s: %w", p.recent, err)
	}
	err := p.flows.Lookup(key, value)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", p.flows, err)
	}
	origin := p.converted(key, value)
	half := flow.OfCarried(&origin)
	twin := flow.ExpiredKey(half.Twin())
	twinKey, twinValue := make([]byte, p.flows.KeySize()), make([]byte, p.flows.ValueSize())
	p.conversion.back(unsafe.Slice((*byte)(unsafe.Pointer(&twin)), unsafe.Sizeof(twin)), twinKey)
	err = p.flows.Lookup(twinKey, twinValue)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("read %s: %w", p.flows, err)
	}
	if err == nil {
		if err := c.add(p.converted(twinKey, twinValue)); err != nil {
			return err
		}
	}
	return c.add(origin)
}

func (p *part) converted(key, value []byte) carry.Entry {
	var e carry.Entry
	if p.v6 {
		e.Ipv6 = 1
	}
	newKey, newValue := carry.Bytes(&e, p.v6)
	p.conversion.apply(key, value, newKey, newValue)
	return e
}

// add takes half a connection that isn't about to be removed.
func (c *carrying) add(e carry.Entry) error {
	if e.Flow.Flow.LastSeen == uint32(object.DatapathFlowLastSeenFLOW_DEAD) {
		return nil
	}
	if c.batch = append(c.batch, e); len(c.batch) == carry.Batch {
		return c.flush()
	}
	return nil
}

func (c *carrying) flush() error {
	err := c.carrier.Carry(c.batch)
	for i := range c.batch {
		if !isOrigin(&c.batch[i]) {
			continue
		}
		switch carry.Outcome(c.batch[i].Outcome) {
		case carry.Entered:
			c.entered++
		case carry.Full, carry.Taken:
			c.lost++
		}
	}
	c.batch = c.batch[:0]
	return err
}
