// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/fairway-project/fairway/userspace/datapath"
)

// The journal's facts: settings as they were before, kept in the filter table's
// journal, and factCreated in the journal of each table that wasn't there.
const (
	factPolicy   = "policy"
	factCreated  = "created"
	factSysctl   = "sysctl:"  // followed by the name below /proc/sys
	factInstance = "instance" // in the journal of each table; older versions wrote none
)

var (
	factForm    = regexp.MustCompile(`^-m comment --comment "?fairway:([^="]+)=([^"]*)"?$`)
	networkForm = regexp.MustCompile(`^-s (\S+) -o (\S+)$`)
	hairpinForm = regexp.MustCompile(`^-s (\S+) -d (\S+) -p (tcp|udp|sctp) -m (tcp|udp|sctp) --dport \d+ -j MASQUERADE$`)
)

// factRule writes a fact down. A comment in a chain that no packet passes is free.
func factRule(table, name, value string) Rule {
	return newRule(table, chainJournal, `-m comment --comment "fairway:%s=%s"`, name, value)
}

// markRule stands in each table's journal and says which instance the rules are of.
// Each change takes it out and puts it back, which fails where another program has
// flushed the table: the chains are still there then, and rules would be added to
// them that nothing leads to.
func markRule(table, instance string) Rule { return factRule(table, factInstance, instance) }

// journaled returns rules followed by the journal's copies of those in built-in chains.
func journaled(rules []Rule) []Rule {
	out := slices.Clone(rules)
	for _, r := range rules {
		if builtin(r.Chain) && !r.Recognized {
			out = append(out, Rule{Table: r.Table, Chain: chainJournal, Spec: r.Spec, Group: r.Group})
		}
	}
	return out
}

// networkJournal notes the subnet and bridge of a network: by them rules of
// single ports are recognized, and the bridge's settings taken back.
func networkJournal(f Family, n *datapath.Network) []Rule {
	subnet := f.subnet(n)
	if subnet == nil || n.Internal {
		return nil
	}
	return []Rule{newRule(tableNAT, chainJournal, "-s %s -o %s", subnet.Prefix, n.Device.Name)}
}

// facts of one family, by table and name.
type facts map[string]map[string]string

func (fs facts) set(table, name, value string) {
	if fs[table] == nil {
		fs[table] = make(map[string]string)
	}
	fs[table][name] = value
}

func (fs facts) clone() facts {
	out := make(facts, len(fs))
	for table, m := range fs {
		out[table] = maps.Clone(m)
	}
	return out
}

// rules writes the facts in a stable order.
func (fs facts) rules() []Rule {
	var rules []Rule
	for _, table := range tableOrder {
		for _, name := range slices.Sorted(maps.Keys(fs[table])) {
			rules = append(rules, factRule(table, name, fs[table][name]))
		}
	}
	return rules
}

// journal is what the journal chains of a family say.
type journal struct {
	// copies counts the rules noted, by table and spec.
	copies map[[2]string]int
	// facts but for the instance's name.
	facts facts
	// instance is Options.Instance of whose rules these are; empty if it isn't known.
	instance string
	// subnets and bridges of the networks noted.
	subnets []netip.Prefix
	bridges []string
}

// readJournal returns nil where there is no journal: nothing is Fairway's then.
// Each table has its share, and another program may have flushed one table alone:
// what the others say holds.
func readJournal(cur saved) *journal {
	j := &journal{copies: make(map[[2]string]int), facts: make(facts)}
	found := false
	for _, table := range tableOrder {
		rules, ok := cur.chain(table, chainJournal)
		found = found || ok
		for _, r := range rules {
			j.note(table, r.spec)
		}
	}
	if !found {
		return nil
	}
	return j
}

func (j *journal) note(table, spec string) {
	if m := factForm.FindStringSubmatch(spec); m != nil {
		if m[1] == factInstance {
			j.instance = m[2]
			return
		}
		j.facts.set(table, m[1], m[2])
		return
	}
	if m := networkForm.FindStringSubmatch(spec); m != nil && table == tableNAT {
		if p, err := netip.ParsePrefix(m[1]); err == nil {
			j.subnets = append(j.subnets, p)
			j.bridges = append(j.bridges, m[2])
		}
		return
	}
	j.copies[[2]string{table, spec}]++
}

// owned lists the rules of built-in chains that are Fairway's, in order.
func (j *journal) owned(cur saved) []Rule {
	var rules []Rule
	copies := maps.Clone(j.copies)
	for _, table := range tableOrder {
		for _, chain := range sharedChains {
			current, _ := cur.chain(table, chain)
			for _, r := range current {
				id := [2]string{table, r.spec}
				switch {
				case copies[id] > 0:
					copies[id]--
					rules = append(rules, Rule{Table: table, Chain: chain, Spec: r.spec})
				case table == tableNAT && chain == "POSTROUTING" && j.recognizes(r.spec):
					rules = append(rules, Rule{Table: table, Chain: chain, Spec: r.spec, Recognized: true})
				}
			}
		}
	}
	return rules
}

// recognizes reports whether spec is the hairpin rule of a port of a noted network.
func (j *journal) recognizes(spec string) bool {
	m := hairpinForm.FindStringSubmatch(spec)
	if m == nil || m[1] != m[2] || m[3] != m[4] {
		return false
	}
	p, err := netip.ParsePrefix(m[1])
	return err == nil && p.IsSingleIP() && slices.ContainsFunc(j.subnets, func(s netip.Prefix) bool {
		return s.Contains(p.Addr())
	})
}

// checkForeign returns ErrForeign where chains of the package's names exist in a
// table without a journal.
func checkForeign(f Family, cur saved) error {
	var found []string
	for _, table := range tableOrder {
		if _, ok := cur.chain(table, chainJournal); ok {
			continue
		}
		for _, chain := range ownChains(f, table) {
			if _, ok := cur.chain(table, chain); ok {
				found = append(found, table+"/"+chain)
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	return fmt.Errorf("%s chains %s exist and are not Fairway's: stop Docker and remove its rules, or use --datapath ebpf: %w",
		f, strings.Join(found, ", "), ErrForeign)
}
