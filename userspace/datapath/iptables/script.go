// SPDX-License-Identifier: Apache-2.0

package iptables

import "strings"

// script is the input of one iptables-restore --noflush. The zero value is empty.
type script struct {
	// chains are the ":CHAIN POLICY [0:0]" lines and rules all others, by table.
	chains, rules map[string][]string
}

func (s *script) line(to *map[string][]string, table, text string) {
	if *to == nil {
		*to = make(map[string][]string)
	}
	(*to)[table] = append((*to)[table], text)
}

// reset makes a chain of one's own, or empties it.
func (s *script) reset(table, chain string) { s.line(&s.chains, table, ":"+chain+" - [0:0]") }

// policy of a built-in chain, whose rules stay.
func (s *script) policy(table, chain, policy string) {
	s.line(&s.chains, table, ":"+chain+" "+policy+" [0:0]")
}

func (s *script) add(r Rule) {
	verb := "-A "
	if r.Head {
		verb = "-I "
	}
	s.line(&s.rules, r.Table, verb+r.Chain+" "+r.Spec)
}

func (s *script) append(r Rule) { s.line(&s.rules, r.Table, "-A "+r.Chain+" "+r.Spec) }

func (s *script) del(r Rule) { s.line(&s.rules, r.Table, "-D "+r.Chain+" "+r.Spec) }

func (s *script) flush(table, chain string) { s.line(&s.rules, table, "-F "+chain) }

func (s *script) drop(table, chain string) { s.line(&s.rules, table, "-X "+chain) }

// dropAll removes chains that may lead to each other.
func (s *script) dropAll(table string, chains []string) {
	for _, c := range chains {
		s.flush(table, c)
	}
	for _, c := range chains {
		s.drop(table, c)
	}
}

func (s *script) empty() bool { return len(s.chains) == 0 && len(s.rules) == 0 }

func (s *script) String() string {
	var b strings.Builder
	for _, table := range tableOrder {
		if len(s.chains[table]) == 0 && len(s.rules[table]) == 0 {
			continue
		}
		b.WriteString("*" + table + "\n")
		for _, lines := range [][]string{s.chains[table], s.rules[table]} {
			for _, l := range lines {
				b.WriteString(l + "\n")
			}
		}
		b.WriteString("COMMIT\n")
	}
	return b.String()
}
