// SPDX-License-Identifier: Apache-2.0

package iptables

import "fmt"

// Tables that the package uses. Scripts name them in this order: what refuses
// packets comes before what leads packets in.
const (
	tableRaw    = "raw"
	tableFilter = "filter"
	tableNAT    = "nat"
)

var tableOrder = [...]string{tableRaw, tableFilter, tableNAT}

// Chains by Docker's names, and the package's own.
const (
	chainDocker   = "DOCKER"
	chainBridge   = "DOCKER-BRIDGE"
	chainCT       = "DOCKER-CT"
	chainForward  = "DOCKER-FORWARD"
	chainInternal = "DOCKER-INTERNAL"
	chainUser     = "DOCKER-USER"

	chainProxy   = "FAIRWAY-PROXY"
	chainJournal = "FAIRWAY"
)

// Rule is one rule of one chain.
type Rule struct {
	Table, Chain string
	// Spec is what follows "-A CHAIN", exactly as iptables-save prints it.
	Spec string
	// Head rules are inserted at the top of the chain, others appended.
	Head bool
	// Group names rules whose order among themselves matters. They are replaced
	// together. Empty where any order does.
	Group string
	// Recognized rules of built-in chains are found again by their form and
	// have no copy in the journal.
	Recognized bool
}

// key is what makes two rules the same one for the kernel.
type key struct{ table, chain, spec string }

func (r Rule) key() key { return key{r.Table, r.Chain, r.Spec} }

// builtin reports whether the chain is one that always exists.
func builtin(chain string) bool {
	switch chain {
	case "PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING":
		return true
	}
	return false
}

// sharedChains are the built-in chains in which rules of this package stand beside
// others'.
var sharedChains = [...]string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}

// ownChains lists the chains of a table that hold nothing but this package's
// rules, the journal and those of single services excepted.
func ownChains(f Family, table string) []string {
	switch {
	case table == tableFilter:
		return []string{chainDocker, chainBridge, chainCT, chainForward, chainInternal, chainServices}
	case table == tableNAT && f == IPv6:
		return []string{chainDocker, chainProxy, chainServices, chainHairpin}
	case table == tableNAT:
		return []string{chainDocker, chainServices, chainHairpin}
	}
	return nil
}

func newRule(table, chain, format string, args ...any) Rule {
	return Rule{Table: table, Chain: chain, Spec: fmt.Sprintf(format, args...)}
}

func (r Rule) atHead() Rule { r.Head = true; return r }

func (r Rule) inGroup(group string) Rule { r.Group = group; return r }

// staticRules are there as long as the package is in use: the jumps from the
// built-in chains and between its own.
func staticRules(f Family) []Rule {
	const group = "static"
	rules := []Rule{
		newRule(tableFilter, "FORWARD", "-j %s", chainForward).atHead().inGroup(group),
		newRule(tableFilter, "FORWARD", "-j %s", chainUser).atHead().inGroup(group),
		newRule(tableFilter, chainForward, "-j %s", chainBridge).atHead().inGroup(group),
		newRule(tableFilter, chainForward, "-j %s", chainInternal).atHead().inGroup(group),
		newRule(tableFilter, chainForward, "-j %s", chainCT).atHead().inGroup(group),
		newRule(tableNAT, "PREROUTING", "-m addrtype --dst-type LOCAL -j %s", chainDocker),
		newRule(tableNAT, "OUTPUT", "-m addrtype --dst-type LOCAL -j %s", chainDocker),
	}
	if f == IPv6 {
		rules = append(rules,
			newRule(tableNAT, "OUTPUT", "-m addrtype --dst-type LOCAL -j %s", chainProxy).atHead())
	}
	return rules
}
