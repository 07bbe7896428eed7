// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fairway-project/fairway/userspace/model"
)

// mine lists the chains that have rules of the package's, as "table chain".
func (rs *Ruleset) mine() []string {
	out := []string{tableFilter + " " + chainUser}
	for _, table := range tableOrder {
		for _, chain := range append(rs.chainNames(table), chainJournal) {
			if len(rs.Chain(table, chain)) > 0 {
				out = append(out, table+" "+chain)
			}
		}
	}
	return out
}

// hurt removes what is drawn of a chain: a rule of want, all rules, or two that
// change places. It tells what it did.
func hurt(t *rapid.T, cur saved, want *Ruleset) string {
	where := rapid.SampledFrom(want.mine()).Draw(t, "chain")
	table, chain, _ := strings.Cut(where, " ")
	rules := cur[table].chains[chain]
	if chain == chainUser {
		delete(cur[table].chains, chain)
		return "no " + where
	}
	if rapid.Bool().Draw(t, "flush") {
		cur[table].chains[chain] = nil
		return "flushed " + where
	}
	gone := rapid.SampledFrom(want.Chain(table, chain)).Draw(t, "rule").Spec
	i := slices.IndexFunc(rules, func(r savedRule) bool { return r.spec == gone })
	if i < 0 {
		return "nothing in " + where
	}
	cur[table].chains[chain] = slices.Delete(slices.Clone(rules), i, i+1)
	return fmt.Sprintf("%s without %s", where, gone)
}

// Whatever of the package's rules is removed is noticed and comes back once, with the
// order that counts; what isn't the package's stays where it is.
func TestMendIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cur, noProxy := foreign(), newProxy(nil, nil)
		s := drawState(t)
		if rapid.Bool().Draw(t, "masquerade ports") {
			s.masquerade = model.PortRange{First: 20000, Last: 29999}
		}
		want := s.ruleset(IPv4, noProxy, nil)
		mustHold(t, cur.restore(plan(cur, want, nil).String()))
		mustHold(t, cur.restore("*filter\n-I FORWARD -i wg1 -j DROP\n"))
		if where := damage(cur, want); where != "" {
			t.Fatalf("damage in %s, where nothing was done", where)
		}
		before := rulesOf(cur)
		for range rapid.IntRange(1, 3).Draw(t, "times") {
			what := hurt(t, cur, want)
			if damage(cur, want) == "" && !strings.HasPrefix(what, "nothing") && cmp.Diff(before, rulesOf(cur)) != "" {
				t.Fatalf("%s: no damage", what)
			}
		}
		mustHold(t, cur.restore(planMend(cur, want, nil).String()))
		if where := damage(cur, want); where != "" {
			t.Fatalf("damage is left in %s", where)
		}
		after := rulesOf(cur)
		for chain, rules := range before {
			table, name, _ := strings.Cut(chain, " ")
			wanted := want.Chain(table, name)
			if builtin(name) && len(after[chain]) > len(rules) || !builtin(name) && name != chainUser && len(after[chain]) != len(wanted) {
				t.Fatalf("%s has %q, had %q", chain, after[chain], rules)
			}
		}
		mustHold(t, cur.restore(plan(cur, want, nil).String()))
		mustHold(t, cur.restore(removal(IPv4, cur, readJournal(cur)).String()))
		for chain, rules := range rulesOf(cur) {
			if slices.ContainsFunc(rules, func(r string) bool { return strings.Contains(r, "DOCKER") || strings.Contains(r, "10.9.") }) {
				t.Fatalf("after removal %s has %q", chain, rules)
			}
		}
	})
}

// Whoever reads the counters finds a chain that was flushed and rules that were
// deleted one by one, in the kernel's own words; what others added stays.
func TestStatsMendsSingleRules(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		want := fill(w)
		must(t, w.d.Prune(t.Context(), want))
		w.iptables("-I FORWARD -i wg0 -j ACCEPT")
		w.iptables("-A DOCKER-USER -i wg0 -j RETURN")
		chains := w.ownRules()
		mends := func(what string) {
			t.Helper()
			before := w.saveTables()
			for _, chain := range slices.Sorted(maps.Keys(chains)) {
				family, where, _ := strings.Cut(chain, " ")
				for _, line := range w.damageOf(what, where, chains[chain]) {
					w.run(w.host, fmt.Sprintf("%s-%s -w %s", family, w.variant, line))
				}
			}
			if before == w.saveTables() {
				t.Fatalf("%s: nothing was done", what)
			}
			_, err := w.d.Stats(t.Context())
			must(t, err)
			if diff := cmp.Diff(sorted(before), sorted(w.saveTables())); diff != "" {
				t.Errorf("%s (-before +after):\n%s", what, diff)
			}
			if notes := w.notes(); strings.Contains(notes, "removed by another") {
				t.Errorf("%s: status says %s", what, notes)
			}
		}
		mends("first")
		mends("last")
		w.iptables("-I FORWARD -i wg1 -j ACCEPT")
		mends("journal")
		if got := w.saveTables(); !strings.Contains(got, "-A FORWARD -i wg1 -j ACCEPT\n-A FORWARD -j DOCKER-USER\n-A FORWARD -j DOCKER-FORWARD\n") {
			t.Errorf("want the administrator's rule before the jumps, in which nothing was to mend:\n%s", got)
		}
		if notes := w.notes(); !strings.Contains(notes, "IPv4 rules of another program") || strings.Contains(notes, "IPv6 rules of another program") {
			t.Errorf("status with a rule before the jumps of IPv4: %s", notes)
		}
		must(t, w.d.Uninstall(t.Context()))
		if left := w.saveTables(); strings.Contains(left, "10.9.") || strings.Contains(left, "-j DOCKER") {
			t.Errorf("left after an uninstall:\n%s", left)
		}
	})
}

// notes are the lines of the status.
func (w *world) notes() string {
	w.t.Helper()
	st, err := w.d.Status(w.t.Context())
	must(w.t, err)
	return strings.Join(st.Notes, "\n")
}

// ownRules counts the package's rules in the chains of the host, by
// "iptables TABLE CHAIN".
func (w *world) ownRules() map[string]int {
	out := make(map[string]int)
	for _, f := range families {
		rs := w.d.state.ruleset(f, w.d.proxy, w.d.kernel[f].facts)
		for _, where := range rs.mine() {
			table, chain, _ := strings.Cut(where, " ")
			out[command(f)+" "+where] = len(rs.Chain(table, chain))
		}
	}
	return out
}

// damageOf are the arguments of iptables that do some damage to a chain of n rules.
func (w *world) damageOf(what, where string, n int) []string {
	table, chain, _ := strings.Cut(where, " ")
	switch {
	case what == "journal" && chain == chainJournal:
		return []string{"-t " + table + " -F " + chain}
	case what == "journal" || n == 0:
		return nil
	case what == "first" && chain == "FORWARD": // the first one is the administrator's
		return []string{"-t " + table + " -D FORWARD -j " + chainUser}
	case what == "first":
		return []string{"-t " + table + " -D " + chain + " 1"}
	}
	if chain == "FORWARD" {
		return []string{"-t " + table + " -D FORWARD -j " + chainForward}
	}
	return []string{fmt.Sprintf("-t %s -D %s %d", table, chain, n)}
}
