// SPDX-License-Identifier: Apache-2.0

package iptables

import "slices"

// delta is the difference between two states of one thing's rules.
type delta struct {
	del, add []Rule
	// made are the chains of services that are made, or emptied where they are there, and
	// filled by what is added. gone are those that are removed.
	made, gone []chainID
	// claimed are wanted too, and an earlier daemon has added them.
	claimed []Rule
}

// diff returns what leads from old to new. Rules of a group whose members or
// order changed are all replaced, and so are those of a service's chain.
func diff(old, new []Rule) delta {
	was, is := members(old), members(new)
	changed := changedGroups(old, new)
	wasChain, isChain := byChain(old), byChain(new)
	same := func(c chainID) bool { return slices.Equal(keysOf(wasChain[c]), keysOf(isChain[c])) }
	var d delta
	for _, r := range old {
		c := r.in()
		switch {
		case !ofService(c.chain):
			if m := (member{r.key(), r.Group}); is[m] > 0 && !changed[r.Group] {
				is[m]--
			} else {
				d.del = append(d.del, r)
			}
		case len(isChain[c]) == 0 && !slices.Contains(d.gone, c):
			d.gone = append(d.gone, c)
		}
	}
	for _, r := range new {
		c := r.in()
		switch {
		case !ofService(c.chain):
			if m := (member{r.key(), r.Group}); was[m] > 0 && !changed[r.Group] {
				was[m]--
			} else {
				d.add = append(d.add, r)
			}
		case !same(c) && !slices.Contains(d.made, c):
			d.made = append(d.made, c)
			d.add = append(d.add, isChain[c]...)
		}
	}
	return d
}

// byChain returns the rules of each chain of a service.
func byChain(rules []Rule) map[chainID][]Rule {
	out := make(map[chainID][]Rule)
	for _, r := range rules {
		if ofService(r.Chain) {
			out[r.in()] = append(out[r.in()], r)
		}
	}
	return out
}

func keysOf(rules []Rule) []key {
	out := make([]key, len(rules))
	for i, r := range rules {
		out[i] = r.key()
	}
	return out
}

// members counts the rules: two services may want the same one.
func members(rules []Rule) map[member]int {
	count := make(map[member]int, len(rules))
	for _, r := range rules {
		count[member{r.key(), r.Group}]++
	}
	return count
}

// member is a rule in its group: the same text in another group is replaced too.
type member struct {
	key
	group string
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
	d.claimChains(leftover)
	deleted := keys(d.del)
	var add []Rule
	for _, r := range d.add {
		if !ofService(r.Chain) && leftover[r.key()] > 0 && !deleted[r.key()] {
			leftover[r.key()]--
			d.claimed = append(d.claimed, r)
			continue
		}
		add = append(add, r)
	}
	d.add = add
}

// claimChains claims the services' chains that an earlier daemon left as they are
// wanted. Of others nothing is left over: they are filled anew.
func (d *delta) claimChains(leftover map[key]int) {
	if len(d.made) == 0 {
		return
	}
	left := make(map[chainID]map[key]int)
	for k, n := range leftover {
		if n > 0 && ofService(k.chain) {
			c := chainID{k.table, k.chain}
			if left[c] == nil {
				left[c] = make(map[key]int)
			}
			left[c][k] = n
		}
	}
	wanted := byChain(d.add)
	d.made = slices.DeleteFunc(d.made, func(c chainID) bool {
		as := sameRules(left[c], wanted[c])
		for k, n := range left[c] {
			for range n {
				d.claimed = append(d.claimed, Rule{Table: k.table, Chain: k.chain, Spec: k.spec})
			}
			delete(leftover, k)
		}
		if as {
			d.add = slices.DeleteFunc(d.add, func(r Rule) bool { return r.in() == c })
		}
		return as
	})
}

// sameRules reports whether these are the rules of a chain. Their order follows from
// what they are: the chances in it only rise.
func sameRules(left map[key]int, want []Rule) bool {
	count := make(map[key]int, len(want))
	for _, r := range want {
		count[r.key()]++
	}
	if len(left) != len(count) || len(want) == 0 {
		return false
	}
	for k, n := range count {
		if left[k] != n {
			return false
		}
	}
	return true
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
	for _, c := range d.gone {
		tables[tableFilter], tables[c.table] = true, true
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
	for _, c := range d.made {
		s.reset(c.table, c.chain)
	}
	for _, r := range d.del {
		s.del(r)
	}
	for _, r := range d.add {
		s.add(r)
	}
	for _, c := range d.gone {
		s.dropAll(c.table, []string{c.chain})
	}
	return s
}
