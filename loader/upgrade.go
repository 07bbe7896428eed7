// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/object"
)

// upgrade is what is left to do where another version's tables are there.
type upgrade struct {
	survey *survey
	// flows are the directories of older flow tables that connections come from.
	flows []string
	// breaks says that they can't be converted: connections through address translation
	// that are open break.
	breaks bool
	// waits says that older programs go on until the control plane has said what the new
	// tables must hold.
	waits bool
}

// prepare brings over what only the control plane writes, so that its slots are the same,
// and finds out what else there is. Older programs go on with the older tables.
func (l *Loader) prepare(s *survey) (*upgrade, error) {
	older, err := s.older()
	if err != nil {
		return nil, err
	}
	u := &upgrade{survey: s}
	for _, g := range s.groups {
		dirs := older[g.name]
		switch {
		case len(dirs) == 0:
			continue
		case g.bring == merged:
			u.flows, err = dirs, l.tryCarrying(s, dirs)
		default:
			u.waits = u.waits || g.bring == said
			err = l.copyFirst(s, g, dirs)
		}
		if errors.Is(err, errNoConversion) && g.bring != said {
			l.cfg.Logger.Warn("older tables can't be read", "group", g.name, "err", err)
			if g.bring == merged {
				u.flows, u.breaks, u.waits = nil, true, true
			}
			continue
		}
		// What the control plane says names slots, which would be others from now on.
		if err != nil {
			return nil, err
		}
	}
	return u, nil
}

// tryCarrying looks whether connections in these directories can be converted.
func (l *Loader) tryCarrying(s *survey, dirs []string) error {
	c, err := l.openCarrying(s, dirs)
	if err == nil {
		c.close()
	}
	return err
}

// Switch ends the use of older tables: it brings over what is left in them, replaces the
// programs that use them, each in one step, and removes the tables. Call it when
// the tables hold all that they should. It does nothing if there are none, and goes on
// where an earlier call, or process, was interrupted.
func (l *Loader) Switch() error {
	if l.upgrade == nil {
		return nil
	}
	u := l.upgrade
	r := &Replacement{Of: l.cfg.maker(), Broke: u.breaks}
	if err := l.replaceCarrying(u, r); err != nil {
		return err
	}
	l.cfg.Logger.Debug("programs are replaced")
	if err := u.survey.clear(); err != nil {
		return err
	}
	l.cfg.Logger.Debug("older tables are removed")
	if len(u.flows) > 0 || u.breaks || u.waits {
		r.At = time.Now()
		l.replaced = r
		l.cfg.Logger.Info("tables of another version were replaced", "tables_of", r.Of, "this", l.cfg.Build,
			"connections", r.Carried, "lost", r.Lost, "broke", r.Broke)
	}
	l.upgrade = nil
	l.cfg.tellName()
	return l.dropGenerations()
}

// replaceCarrying carries connections over before, while and after programs are replaced.
// Before, it takes the longest, and nothing is in a hurry. While they are, which takes
// milliseconds, connections that older programs open are looked for all the time. What
// older programs were still at when they were replaced comes last.
func (l *Loader) replaceCarrying(u *upgrade, r *Replacement) error {
	if len(u.flows) == 0 {
		return l.replaceCopying(u)
	}
	c, err := l.openCarrying(u.survey, u.flows)
	if err != nil {
		return err
	}
	defer c.close()
	if err := errors.Join(c.all(), c.newest()); err != nil {
		return err
	}
	l.cfg.Logger.Debug("connections are carried over", "connections", c.entered)
	replaced, followed := make(chan struct{}), make(chan error)
	go func() { followed <- c.follow(replaced) }()
	err = l.replaceCopying(u)
	close(replaced)
	err = errors.Join(err, <-followed)
	err = errors.Join(err, c.newest(), c.all())
	r.Carried, r.Lost = c.entered, c.lost
	return err
}

// follow looks for connections that are opened until done is closed.
func (c *carrying) follow(done <-chan struct{}) error {
	const pause = 200 * time.Microsecond
	for {
		if err := c.newest(); err != nil {
			return err
		}
		select {
		case <-done:
			return nil
		case <-time.After(pause):
		}
	}
}

// replaceCopying replaces programs, and brings over what older ones have written since the
// first time: before, all, and after, what isn't there, because newer ones write too.
func (l *Loader) replaceCopying(u *upgrade) error {
	if err := l.copyAgain(u, ebpf.UpdateAny); err != nil {
		return err
	}
	return errors.Join(l.replaceAll(), l.copyAgain(u, ebpf.UpdateNoExist))
}

func (l *Loader) copyAgain(u *upgrade, how ebpf.MapUpdateFlags) error {
	older, err := u.survey.older()
	if err != nil {
		return err
	}
	for _, g := range u.survey.groups {
		if dirs := older[g.name]; g.bring == copied && len(dirs) > 0 {
			if err := l.copyOlder(u.survey, g, dirs, how); err != nil && !errors.Is(err, errNoConversion) {
				return err
			}
		}
	}
	return nil
}

// sizeAtHome is the number of entries of the flow table that is where it belongs, or the
// given one.
func (s *survey) sizeAtHome(entries uint32) (uint32, error) {
	i := slices.IndexFunc(s.groups, func(g group) bool { return g.name == flowGroup })
	if !exists(s.path(s.groups[i], object.DatapathMapFlows4)) {
		return entries, nil
	}
	have, err := pinnedLayout(s.home[flowGroup], object.DatapathMapFlows4)
	if err != nil {
		return 0, fmt.Errorf("size of flow tables: %w", err)
	}
	return have.entries, nil
}

// keepSizes gives flow tables that connections are carried into the size of those that
// they come from, which holds until uninstall or a reboot.
func (s *survey) keepSizes() error {
	i := slices.IndexFunc(s.groups, func(g group) bool { return g.name == flowGroup })
	g := s.groups[i]
	if s.isComplete(g) {
		return nil
	}
	for _, dir := range s.othersOf(g) {
		for _, t := range g.tables {
			if !sizedByFlows(t) || !exists(filepath.Join(dir, t)) {
				continue
			}
			have, err := pinnedLayout(dir, t)
			if err != nil {
				return fmt.Errorf("size of flow tables: %w", err)
			}
			if have.kind == s.spec.Maps[t].Type {
				s.spec.Maps[t].MaxEntries = have.entries
			}
		}
	}
	return nil
}
