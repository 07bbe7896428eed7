// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"bufio"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"

	"github.com/fairway-project/fairway/userspace/datapath"
)

// saved is what iptables-save -c said: the tables that exist, by name.
type saved map[string]*savedTable

type savedTable struct {
	// policies of built-in chains.
	policies map[string]string
	// chains holds the rules in order; a chain without rules has an empty entry.
	chains map[string][]savedRule
}

type savedRule struct {
	spec    string
	counter datapath.Counter
}

// parseSaved reads iptables-save output of either variant. Lines that it doesn't
// know (comments, warnings of iptables-nft about foreign tables) are skipped.
func parseSaved(text string) (saved, error) {
	out := make(saved)
	var table *savedTable
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "*"):
			table = &savedTable{policies: make(map[string]string), chains: make(map[string][]savedRule)}
			out[line[1:]] = table
		case table == nil:
		case line == "COMMIT":
			table = nil
		case strings.HasPrefix(line, ":"):
			table.addChain(line[1:])
		default:
			if err := table.addRule(line); err != nil {
				return nil, err
			}
		}
	}
	return out, lines.Err()
}

// addChain reads "NAME POLICY [packets:bytes]".
func (t *savedTable) addChain(line string) {
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return
	}
	if _, ok := t.chains[fields[0]]; !ok {
		t.chains[fields[0]] = nil
	}
	if fields[1] != "-" {
		t.policies[fields[0]] = fields[1]
	}
}

// addRule reads "[packets:bytes] -A CHAIN SPEC".
func (t *savedTable) addRule(line string) error {
	var rule savedRule
	if strings.HasPrefix(line, "[") {
		counters, rest, _ := strings.Cut(line, " ")
		if _, err := fmt.Sscanf(counters, "[%d:%d]", &rule.counter.Packets, &rule.counter.Bytes); err != nil {
			return fmt.Errorf("iptables-save line %q: counters: %w", line, err)
		}
		line = rest
	}
	rest, ok := strings.CutPrefix(line, "-A ")
	if !ok {
		return nil
	}
	chain, spec, _ := strings.Cut(rest, " ")
	rule.spec = spec
	t.chains[chain] = append(t.chains[chain], rule)
	return nil
}

// chain returns the rules of a chain and whether it exists.
func (s saved) chain(table, chain string) ([]savedRule, bool) {
	t := s[table]
	if t == nil {
		return nil, false
	}
	rules, ok := t.chains[chain]
	return rules, ok
}

// policy returns the policy of a built-in chain, ACCEPT where the table is absent.
func (s saved) policy(table, chain string) string {
	if t := s[table]; t != nil && t.policies[chain] != "" {
		return t.policies[chain]
	}
	return "ACCEPT"
}

var fingerprintSeed = maphash.MakeSeed()

// fingerprint is the same for tables with the same rules, counters aside, and never
// zero.
func (s saved) fingerprint() uint64 {
	var h maphash.Hash
	h.SetSeed(fingerprintSeed)
	for _, table := range slices.Sorted(maps.Keys(s)) {
		for _, chain := range slices.Sorted(maps.Keys(s[table].chains)) {
			h.WriteString("*" + table + " " + chain + "\n")
			for _, r := range s[table].chains[chain] {
				h.WriteString(r.spec)
				h.WriteByte('\n')
			}
		}
	}
	return h.Sum64() | 1
}
