// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/object"
)

// ErrNewerTables is returned where a later version left tables that this one can't read:
// what they hold would be lost.
var ErrNewerTables = errors.New("from a newer version of fairway")

// survey is what lies in the directory of maps, as this version sees it.
type survey struct {
	dir    string
	groups []group
	spec   *ebpf.CollectionSpec
	// home is each group's directory.
	home map[string]string
	// others are the directories that aren't home to any group: of other versions, earlier
	// revisions first.
	others []string
	// newer are the directories that a later version's start left which came to nothing:
	// this version's programs still work with its own tables.
	newer []string
	// made are the homes that weren't there before settle.
	made []string
}

// look surveys dir and changes nothing. It refuses tables with a later revision, unless
// this version's own are there, whole: a later version removes them when all programs
// are its own.
func look(dir string, spec *ebpf.CollectionSpec) (*survey, error) {
	s := &survey{dir: dir, groups: allGroups(spec), spec: spec, home: make(map[string]string)}
	homes, known := make(map[string]bool), make(map[string]group)
	for _, g := range s.groups {
		s.home[g.name] = filepath.Join(dir, g.dirName(g.hash(s.wanted)))
		homes[s.home[g.name]], known[g.name] = true, g
	}
	found, err := names(dir)
	if err != nil {
		return nil, fmt.Errorf("directory of maps: %w", err)
	}
	for _, name := range found {
		path := filepath.Join(dir, name)
		if homes[path] {
			continue
		}
		of, revision, grouped := splitDirName(name)
		if _, ours := known[of]; grouped && !ours && !isTablesOwn(path, of) {
			if s.isWhole() {
				s.newer = append(s.newer, path)
				continue
			}
			return nil, fmt.Errorf("tables in %s: %w: this version knows no group %s; start the newer version, "+
				"or remove them, and the connections in them, with fairway uninstall", path, ErrNewerTables, of)
		}
		if g := known[of]; g.bring != anew && revision > g.revision {
			if s.isComplete(g) {
				s.newer = append(s.newer, path)
				continue
			}
			return nil, fmt.Errorf("tables in %s: %w: revision %d of %s, and this version knows %d; "+
				"start the newer version, or remove them, and the connections in them, with fairway uninstall",
				path, ErrNewerTables, revision, g.name, g.revision)
		}
		s.others = append(s.others, path)
	}
	slices.SortStableFunc(s.others, func(a, b string) int { return revisionOf(a) - revisionOf(b) })
	return s, nil
}

// isTablesOwn knows the directory of a table that stands alone, by its name. Such a one is
// begun anew in any version.
func isTablesOwn(dir, group string) bool {
	found, err := names(dir)
	return err == nil && !slices.ContainsFunc(found, func(t string) bool { return t != group })
}

// isWhole reports whether all of this version's tables are there, so that its programs may
// work with them.
func (s *survey) isWhole() bool {
	return !slices.ContainsFunc(s.groups, func(g group) bool { return !s.isComplete(g) })
}

// revisionOf is what the name of a directory of maps says; 0 if it is from before there
// were groups.
func revisionOf(dir string) int {
	_, revision, _ := splitDirName(filepath.Base(dir))
	return revision
}

// OtherTables returns the directories of tables below an instance's directory that another
// version made.
func OtherTables(dir string) ([]string, error) {
	spec, err := object.LoadDatapath()
	if err != nil {
		return nil, fmt.Errorf("eBPF object: %w", err)
	}
	s, err := look(Config{Dir: dir}.mapsDir(), spec)
	if err != nil {
		return nil, err
	}
	return append(s.others, s.newer...), nil
}

// wanted is the layout that this version's table has.
func (s *survey) wanted(table string) layout {
	ms, ok := s.spec.Maps[table]
	if !ok {
		return layout{table: table}
	}
	return layoutOfSpec(table, ms)
}

// path is where a table of the group belongs.
func (s *survey) path(g group, table string) string { return filepath.Join(s.home[g.name], table) }

// others of a group are the directories of other versions that have one of its tables.
// Those from before there were groups have tables of all.
func (s *survey) othersOf(g group) []string {
	var dirs []string
	for _, dir := range s.others {
		if slices.ContainsFunc(g.tables, func(t string) bool { return exists(filepath.Join(dir, t)) }) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// twin returns the directory of another version with tables of the group that have this
// version's layout; "" if there is none. In one with another revision the same layout means
// something else.
func (s *survey) twin(g group) (string, error) {
	for _, dir := range s.othersOf(g) {
		of, revision, ok := splitDirName(filepath.Base(dir))
		if ok && (of != g.name || revision != g.revision) {
			continue
		}
		like, err := s.isLike(g, dir)
		if like || err != nil {
			return dir, err
		}
	}
	return "", nil
}

func (s *survey) isLike(g group, dir string) (bool, error) {
	for _, t := range g.tables {
		have, err := pinnedLayout(dir, t)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil || !have.isLike(s.wanted(t)) {
			return false, err
		}
	}
	return true, nil
}

func pinnedLayout(dir, table string) (layout, error) {
	path := filepath.Join(dir, table)
	m, err := ebpf.LoadPinnedMap(path, nil)
	if err != nil {
		return layout{}, explain(fmt.Errorf("pinned map %s: %w", path, err))
	}
	defer m.Close()
	return layoutOfMap(table, m)
}

// isComplete reports whether all tables of the group are where they belong.
func (s *survey) isComplete(g group) bool {
	return !slices.ContainsFunc(g.tables, func(t string) bool { return !exists(s.path(g, t)) })
}

// settle makes the directories of groups. Where another version's tables have the layout
// that is wanted, they are pinned there too: they are the same from now on.
func (s *survey) settle() error {
	for _, g := range s.groups {
		if err := s.makeHome(g); err != nil {
			return err
		}
		if s.isComplete(g) {
			continue
		}
		twin, err := s.twin(g)
		if err != nil {
			return err
		}
		if twin == "" {
			continue
		}
		for _, t := range g.tables {
			if exists(s.path(g, t)) {
				continue
			}
			if err := pinAt(filepath.Join(twin, t), s.path(g, t)); err != nil {
				return explain(err)
			}
		}
	}
	return nil
}

func (s *survey) makeHome(g group) error {
	err := errors.Join(os.MkdirAll(s.dir, 0o700), os.Mkdir(s.home[g.name], 0o700))
	switch {
	case err == nil:
		s.made = append(s.made, s.home[g.name])
	case !errors.Is(err, fs.ErrExist):
		return fmt.Errorf("directory of maps: %w", err)
	}
	return nil
}

// takeBack undoes settle, and what was pinned in the directories that it made. No program
// that is attached may use these tables.
func (s *survey) takeBack() error { return removeDirs(s.made) }

// older returns the directories of other versions' tables that something is to be brought
// over from, by group.
func (s *survey) older() (map[string][]string, error) {
	all := make(map[string][]string)
	for _, g := range s.groups {
		if g.bring == anew {
			continue
		}
		for _, dir := range s.othersOf(g) {
			same, err := s.shares(g, dir)
			if err != nil {
				return nil, err
			}
			if !same {
				all[g.name] = append(all[g.name], dir)
			}
		}
	}
	return all, nil
}

// shares reports whether the group's tables in dir are the very ones that are at home.
func (s *survey) shares(g group, dir string) (bool, error) {
	for _, t := range g.tables {
		theirs, err := mapID(filepath.Join(dir, t))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("pinned map %s: %w", filepath.Join(dir, t), err)
		}
		ours, err := mapID(s.path(g, t))
		if err != nil {
			return false, fmt.Errorf("pinned map %s: %w", s.path(g, t), err)
		}
		if ours != theirs {
			return false, nil
		}
	}
	return true, nil
}

// clear removes the directories of other versions, then the marks of what was copied.
func (s *survey) clear() error {
	err := removeDirs(append(s.others, s.newer...))
	s.others, s.newer = nil, nil
	var marks []string
	for _, g := range s.groups {
		marks = append(marks, s.path(g, copiedMark))
	}
	return errors.Join(err, removeDirs(marks))
}

func removeDirs(dirs []string) error {
	var errs []error
	for _, dir := range dirs {
		if err := os.RemoveAll(dir); err != nil {
			errs = append(errs, fmt.Errorf("directory of maps: %w", err))
		}
	}
	return errors.Join(errs...)
}
