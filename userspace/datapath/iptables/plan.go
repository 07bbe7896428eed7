// SPDX-License-Identifier: Apache-2.0

package iptables

import "slices"

// plan returns the script that makes the kernel, which says cur, equal to want.
// Rules in keep are left where they are although nobody wants them: an earlier
// daemon's, until Prune knows better. It writes nothing where nothing differs.
// Docker puts its jumps back to the top of FORWARD at every start, and so does this.
func plan(cur saved, want *Ruleset, keep map[key]int) *script {
	return planWith(cur, want, keep, leads)
}

// planMend is plan for between two starts: what others have put before the jumps
// in FORWARD since the last one stays there.
func planMend(cur saved, want *Ruleset, keep map[key]int) *script {
	return planWith(cur, want, keep, follows)
}

// planWith leaves the jumps in FORWARD where inPlace says that they are right.
func planWith(cur saved, want *Ruleset, keep map[key]int, inPlace func([]savedRule, []Rule) bool) *script {
	s := new(script)
	j := readJournal(cur)
	if j == nil {
		j = new(journal)
	}
	planUserChain(s, cur)
	for _, table := range tableOrder {
		for _, chain := range fixedChains(want.Family, table) {
			current, exists := cur.chain(table, chain)
			planOwnChain(s, table, chain, current, exists, want.Chain(table, chain), keep)
		}
		for _, chain := range want.serviceChains(table) {
			current, exists := cur.chain(table, chain)
			planOwnChain(s, table, chain, current, exists, want.Chain(table, chain), nil)
		}
	}
	planBuiltin(s, cur, j.owned(cur), want, keep, inPlace)
	if len(keep) == 0 {
		planGoneServices(s, cur, want)
	}
	return s
}

// planGoneServices removes the chains of services that nobody wants, which nothing leads
// to any more.
func planGoneServices(s *script, cur saved, want *Ruleset) {
	for _, table := range tableOrder {
		wanted := want.serviceChains(table)
		s.dropAll(table, slices.DeleteFunc(cur.serviceChains(table), func(c string) bool { return slices.Contains(wanted, c) }))
	}
}

// planUserChain makes the administrator's chain where it is missing.
func planUserChain(s *script, cur saved) {
	if _, ok := cur.chain(tableFilter, chainUser); !ok {
		s.reset(tableFilter, chainUser)
	}
}

// planOwnChain rewrites a chain of one's own unless it is right.
func planOwnChain(s *script, table, chain string, cur []savedRule, exists bool, want []Rule, keep map[key]int) {
	switch {
	case exists && sameOrder(specs(cur), want):
	case exists && len(keep) > 0:
		planDifference(s, fromSaved(table, chain, cur), want, keep)
	default:
		s.reset(table, chain)
		for _, r := range want {
			s.append(r)
		}
	}
}

// planBuiltin changes the built-in chains, where foreign rules stay.
func planBuiltin(s *script, cur saved, owned []Rule, want *Ruleset, keep map[key]int, inPlace func([]savedRule, []Rule) bool) {
	for _, table := range tableOrder {
		for _, chain := range sharedChains {
			current, _ := cur.chain(table, chain)
			mine := slices.DeleteFunc(slices.Clone(owned), func(r Rule) bool {
				return r.Table != table || r.Chain != chain
			})
			wanted := want.Chain(table, chain)
			mine = withUnnoted(table, chain, mine, current, wanted)
			if chain == "FORWARD" && !inPlace(current, wanted) {
				replaceHead(s, mine, wanted)
				continue
			}
			planDifference(s, mine, wanted, keep)
		}
	}
}

// withUnnoted adds to mine what is wanted, is there, and isn't in the journal: its
// copies were removed, and a second rule would stay for ever.
func withUnnoted(table, chain string, mine []Rule, cur []savedRule, want []Rule) []Rule {
	take := make(map[string]int)
	for _, r := range want {
		take[r.Spec]++
	}
	noted := make(map[string]int)
	for _, r := range mine {
		noted[r.Spec]++
	}
	for spec, n := range noted {
		take[spec] = max(take[spec], n)
	}
	var out []Rule
	for _, r := range cur {
		if take[r.spec]--; take[r.spec] >= 0 {
			out = append(out, Rule{Table: table, Chain: chain, Spec: r.spec})
		}
	}
	return out
}

// leads reports whether the chain begins with these rules.
func leads(cur []savedRule, want []Rule) bool {
	if len(cur) < len(want) {
		return false
	}
	return slices.Equal(specs(cur[:len(want)]), texts(want))
}

// follows reports whether these rules are in the chain, in this order.
func follows(cur []savedRule, want []Rule) bool {
	return slices.Equal(wantedOf(cur, want), texts(want))
}

func replaceHead(s *script, mine, want []Rule) {
	for _, r := range mine {
		s.del(r)
	}
	for _, r := range slices.Backward(want) {
		s.add(r)
	}
}

// planDifference deletes what is unwanted and adds what is missing, head rules
// last first. A group that isn't whole is replaced: its order counts.
func planDifference(s *script, mine, want []Rule, keep map[key]int) {
	broken := brokenGroups(texts(mine), want)
	missing := make(map[key]int)
	replaced := make(map[key]bool)
	for _, r := range want {
		if replaced[r.key()] = broken[r.Group]; !broken[r.Group] {
			missing[r.key()]++
		}
	}
	for _, r := range mine {
		switch k := r.key(); {
		case missing[k] > 0:
			missing[k]--
		case keep[k] > 0 && !replaced[k]:
		default:
			s.del(r)
		}
	}
	for _, r := range want {
		if replaced[r.key()] {
			missing[r.key()]++
		}
	}
	absent := func(r Rule) bool {
		missing[r.key()]--
		return missing[r.key()] >= 0
	}
	for _, r := range slices.Backward(want) {
		if r.Head && absent(r) {
			s.add(r)
		}
	}
	for _, r := range want {
		if !r.Head && absent(r) {
			s.add(r)
		}
	}
}

// sameOrder reports whether the kernel's list is want in an order that means the
// same: head rules before others, members of a group in sequence.
func sameOrder(cur []string, want []Rule) bool {
	if len(cur) != len(want) {
		return false
	}
	places := make(map[string][]int)
	for i, r := range want {
		places[r.Spec] = append(places[r.Spec], i)
	}
	last := make(map[string]int)
	headsDone := false
	for _, spec := range cur {
		at := places[spec]
		if len(at) == 0 {
			return false
		}
		places[spec] = at[1:]
		r := want[at[0]]
		if r.Head && headsDone {
			return false
		}
		headsDone = headsDone || !r.Head
		if r.Group != "" {
			if at[0] < last[r.Group] {
				return false
			}
			last[r.Group] = at[0]
		}
	}
	return true
}

func specs(rules []savedRule) []string {
	out := make([]string, len(rules))
	for i, r := range rules {
		out[i] = r.spec
	}
	return out
}

func texts(rules []Rule) []string {
	out := make([]string, len(rules))
	for i, r := range rules {
		out[i] = r.Spec
	}
	return out
}

func fromSaved(table, chain string, rules []savedRule) []Rule {
	out := make([]Rule, len(rules))
	for i, r := range rules {
		out[i] = Rule{Table: table, Chain: chain, Spec: r.spec}
	}
	return out
}
