// SPDX-License-Identifier: Apache-2.0

package iptables

import "slices"

// damage names the first chain in which something of want is gone, or stands in an
// order that means something else, and returns "" where all is there. Rules of
// others don't count, wherever they stand: an administrator may have put them there.
func damage(cur saved, want *Ruleset) string {
	for _, table := range tableOrder {
		for _, chain := range append(fixedChains(want.Family, table), want.serviceChains(table)...) {
			current, exists := cur.chain(table, chain)
			wanted := want.Chain(table, chain)
			if !exists || !sameOrder(wantedOf(current, wanted), wanted) {
				return table + "/" + chain
			}
		}
		for _, chain := range sharedChains {
			current, _ := cur.chain(table, chain)
			wanted := want.Chain(table, chain)
			if !holds(wantedOf(current, wanted), wanted) {
				return table + "/" + chain
			}
		}
	}
	if _, ok := cur.chain(tableFilter, chainUser); !ok {
		return tableFilter + "/" + chainUser
	}
	return ""
}

// wantedOf are the texts of those rules of a chain that are wanted, in order.
func wantedOf(cur []savedRule, want []Rule) []string {
	left := make(map[string]int, len(want))
	for _, r := range want {
		left[r.Spec]++
	}
	var out []string
	for _, r := range cur {
		if left[r.spec]--; left[r.spec] >= 0 {
			out = append(out, r.spec)
		}
	}
	return out
}

// holds reports whether a chain that others use too has all that is wanted, with the
// members of each group in sequence: what planDifference sees to.
func holds(cur []string, want []Rule) bool {
	return len(cur) == len(want) && len(brokenGroups(cur, want)) == 0
}

// brokenGroups are the groups that lack a member, or have one in another place.
func brokenGroups(cur []string, want []Rule) map[string]bool {
	groupOf, is, should := make(map[string]string), make(map[string][]string), make(map[string][]string)
	for _, r := range want {
		if r.Group != "" {
			groupOf[r.Spec] = r.Group
			should[r.Group] = append(should[r.Group], r.Spec)
		}
	}
	for _, spec := range cur {
		if group := groupOf[spec]; group != "" {
			is[group] = append(is[group], spec)
		}
	}
	broken := make(map[string]bool)
	for group := range should {
		if !slices.Equal(is[group], should[group]) {
			broken[group] = true
		}
	}
	return broken
}
