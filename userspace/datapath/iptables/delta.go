// SPDX-License-Identifier: Apache-2.0

package iptables

import "slices"

// delta is the difference between two states of one thing's rules.
type delta struct {
	del, add []Rule
	// claimed are wanted too, and an earlier daemon has added them.
	claimed []Rule
}

// member is a rule in its group: the same text in another group is replaced too.
type member struct {
	key
	group string
}

// diff returns what leads from old to new. Rules of a group whose members or
// order changed are all replaced.
func diff(old, new []Rule) delta {
	was, is := members(old), members(new)
	changed := changedGroups(old, new)
	var d delta
	for _, r := range old {
		if !is[member{r.key(), r.Group}] || changed[r.Group] {
			d.del = append(d.del, r)
		}
	}
	for _, r := range new {
		if !was[member{r.key(), r.Group}] || changed[r.Group] {
			d.add = append(d.add, r)
		}
	}
	return d
}

func members(rules []Rule) map[member]bool {
	set := make(map[member]bool, len(rules))
	for _, r := range rules {
		set[member{r.key(), r.Group}] = true
	}
	return set
}

func keys(rules []Rule) map[key]bool {
	set := make(map[key]bool, len(rules))
	for _, r := range rules {
		set[r.key()] = true
	}
	return set
}

func changedGroups(old, new []Rule) map[string]bool {
	byGroup := func(rules []Rule) map[string][]key {
		m := make(map[string][]key)
		for _, r := range rules {
			if r.Group != "" {
				m[r.Group] = append(m[r.Group], r.key())
			}
		}
		return m
	}
	was, is := byGroup(old), byGroup(new)
	changed := make(map[string]bool)
	for group, list := range was {
		changed[group] = !slices.Equal(list, is[group])
	}
	for group := range is {
		changed[group] = changed[group] || !slices.Equal(was[group], is[group])
	}
	return changed
}

// claim takes the rules that an earlier daemon left, and this one wants too, out
// of what is to be added.
func (d *delta) claim(leftover map[key]int) {
	if len(leftover) == 0 {
		return
	}
	deleted := keys(d.del)
	var add []Rule
	for _, r := range d.add {
		if leftover[r.key()] > 0 && !deleted[r.key()] {
			leftover[r.key()]--
			d.claimed = append(d.claimed, r)
			continue
		}
		add = append(add, r)
	}
	d.add = add
}

// disclaim gives back what was claimed.
func (d *delta) disclaim(leftover map[key]int) {
	for _, r := range d.claimed {
		leftover[r.key()]++
	}
}

// tables are those that the difference touches, and filter, where the jumps are
// and which is flushed first. None where there is no difference.
func (d *delta) tables() map[string]bool {
	tables := make(map[string]bool)
	for _, rules := range [][]Rule{d.del, d.add} {
		for _, r := range rules {
			tables[tableFilter], tables[r.Table] = true, true
		}
	}
	return tables
}

// script fails where one of the tables isn't what the instance left it as.
func (d *delta) script(instance string) *script {
	s := new(script)
	for table := range d.tables() {
		s.del(markRule(table, instance))
		s.append(markRule(table, instance))
	}
	for _, r := range d.del {
		s.del(r)
	}
	for _, r := range d.add {
		s.add(r)
	}
	return s
}
