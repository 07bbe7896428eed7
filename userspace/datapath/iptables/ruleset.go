// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// Ruleset is all rules of one family, in the order they stand in each chain.
type Ruleset struct {
	Family Family
	// heads were inserted one after the other, so that the last stands first; rest
	// were appended. Both by table and chain.
	heads, rest map[[2]string][]Rule
}

// rules returns the rules that carry out want. Networks follow each other by
// their time of creation, endpoints by their IDs, so that the same want always
// gives the same text. The proxy's rules are not among them: they depend on the
// ports that it got from the kernel. masquerade are the source ports; the zero
// range leaves them to netfilter, as Docker does.
func rules(f Family, want datapath.Desired, masquerade model.PortRange) *Ruleset {
	rs := &Ruleset{Family: f, heads: make(map[[2]string][]Rule), rest: make(map[[2]string][]Rule)}
	rs.add(staticRules(f)...)
	networks := make(map[string]datapath.Network, len(want.Networks))
	for _, n := range slices.SortedFunc(slices.Values(want.Networks), byCreation) {
		networks[n.ID] = n
		rs.add(networkRules(f, &n, masquerade)...)
	}
	endpoints := make(map[string]datapath.Endpoint, len(want.Endpoints))
	for _, e := range slices.SortedFunc(slices.Values(want.Endpoints), byID) {
		endpoints[e.ID] = e
		if n, ok := networks[e.NetworkID]; ok {
			rs.add(endpointRules(f, &n, &e)...)
			rs.add(portRules(f, &n, want.Ports[e.ID])...)
		}
	}
	if len(want.Services) > 0 {
		rs.add(servingRules()...)
	}
	for _, s := range slices.SortedFunc(slices.Values(want.Services), byServiceID) {
		of := served{&s, networks, endpoints, masquerade}
		rs.add(of.rules(f)...)
	}
	return rs
}

func byCreation(a, b datapath.Network) int {
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
}

func byID(a, b datapath.Endpoint) int { return cmp.Compare(a.ID, b.ID) }

func byServiceID(a, b datapath.Service) int { return cmp.Compare(a.ID, b.ID) }

// add does what -I and -A would, one after the other.
func (rs *Ruleset) add(rules ...Rule) {
	for _, r := range rules {
		to := rs.rest
		if r.Head {
			to = rs.heads
		}
		c := [2]string{r.Table, r.Chain}
		to[c] = append(to[c], r)
	}
}

// Chain returns the rules of a chain in order.
func (rs *Ruleset) Chain(table, chain string) []Rule {
	c := [2]string{table, chain}
	out := make([]Rule, 0, len(rs.heads[c])+len(rs.rest[c]))
	for _, r := range slices.Backward(rs.heads[c]) {
		out = append(out, r)
	}
	return append(out, rs.rest[c]...)
}

// chainNames lists a table's chains: the package's own, then built-in ones.
func (rs *Ruleset) chainNames(table string) []string {
	names := append(ownChains(rs.Family, table), rs.serviceChains(table)...)
	for _, name := range []string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"} {
		if len(rs.Chain(table, name)) > 0 {
			names = append(names, name)
		}
	}
	return names
}

// String writes the rules as iptables-save would, without policies and counters.
func (rs *Ruleset) String() string {
	var b strings.Builder
	for _, table := range tableOrder {
		fmt.Fprintf(&b, "*%s\n", table)
		names := rs.chainNames(table)
		for _, chain := range names {
			if !builtin(chain) {
				fmt.Fprintf(&b, "-N %s\n", chain)
			}
		}
		slices.Sort(names)
		for _, chain := range names {
			for _, r := range rs.Chain(table, chain) {
				fmt.Fprintf(&b, "-A %s %s\n", chain, r.Spec)
			}
		}
	}
	return b.String()
}
