// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"regexp"
	"strings"
)

// userChain is the one that Docker leaves to the operator.
const userChain = "DOCKER-USER"

// UserRules are an operator's rules for containers. The RETURN at the end that
// Docker made itself means nothing.
func UserRules(all []Rule) []Rule {
	var out []Rule
	for _, r := range all {
		if r.Chain == userChain && !r.Declared && r.Spec != "-j RETURN" {
			out = append(out, r)
		}
	}
	return out
}

// Policies are the chains of this name that drop what no rule decides about.
func Policies(all []Rule, chain string) []Rule {
	var out []Rule
	for _, r := range all {
		if r.Chain == chain && r.Policy == "DROP" {
			out = append(out, r)
		}
	}
	return out
}

var (
	// device is in a rule's interface match.
	device = regexp.MustCompile(`(?:^| )-[io] (\S+)`)
	// named is how Docker calls a bridge by itself.
	named = regexp.MustCompile(`^(docker0|docker_gwbridge|br-[0-9a-f]{12})$`)
	// jump leads to a chain of Docker's.
	jump = regexp.MustCompile(`(^| )-[jg] DOCKER(-[A-Z0-9-]+)?( |$)`)
	// hairpin is a masquerade of a container that talks to itself.
	hairpin = regexp.MustCompile(`^-s (\S+)/(32|128) -d (\S+)/(32|128) -p \S+ -m \S+ --dport \d+ -j MASQUERADE$`)
)

// Leftovers are the rules and chains of Docker's, to be removed in this order. The
// operator's rules in DOCKER-USER, and so the chain and the way there, are not
// among them. Where a tool has no chain of Docker's own any more, what looks like
// Docker's is the operator's: rules for docker0, a DOCKER-USER still empty.
func Leftovers(all []Rule) []Rule {
	engines := enginesIn(all)
	users := make(map[string]bool)
	for _, r := range UserRules(all) {
		users[r.Tool] = true
	}
	bridges := bridgesIn(all)
	var rules, chains []Rule
	for _, r := range all {
		switch {
		case r.Tool == nft:
			chains = append(chains, r)
		case !engines[r.Tool]:
		case r.Policy != "":
			// Without it the host would be a router.
		case users[r.Tool] && (r.Chain == userChain || r.Spec == "-j "+userChain):
		case r.Declared && dockers(r.Chain):
			chains = append(chains, r)
		case r.Declared:
		case dockers(r.Chain), jump.MatchString(r.Spec), bridgeRule(r, bridges), selfRule(r):
			rules = append(rules, r)
		}
	}
	return append(rules, chains...)
}

func dockers(chain string) bool { return chain == "DOCKER" || strings.HasPrefix(chain, "DOCKER-") }

// enginesIn finds the tools by which an engine made rules: its own chains are there
// until all that it made is removed (Flush).
func enginesIn(all []Rule) map[string]bool {
	out := make(map[string]bool)
	for _, r := range all {
		if r.Declared && dockers(r.Chain) && r.Chain != userChain {
			out[r.Tool] = true
		}
	}
	return out
}

// bridgesIn finds Docker's bridges by the rules in its own chains, which name each.
func bridgesIn(all []Rule) map[string]bool {
	out := make(map[string]bool)
	for _, r := range all {
		if !dockers(r.Chain) || r.Chain == userChain {
			continue
		}
		for _, m := range device.FindAllStringSubmatch(r.Spec, -1) {
			out[m[1]] = true
		}
	}
	return out
}

// bridgeRule is one that Docker put into a built-in chain for one of its bridges.
// One with a comment is an operator's or another program's.
func bridgeRule(r Rule, bridges map[string]bool) bool {
	builtin := r.Chain == "FORWARD" || r.Chain == "POSTROUTING" || r.Chain == "PREROUTING" && r.Table == "raw"
	if !builtin || strings.Contains(r.Spec, "--comment") {
		return false
	}
	matches := device.FindAllStringSubmatch(r.Spec, -1)
	for _, m := range matches {
		if !bridges[m[1]] && !named.MatchString(m[1]) {
			return false
		}
	}
	return len(matches) > 0
}

func selfRule(r Rule) bool {
	m := hairpin.FindStringSubmatch(r.Spec)
	return r.Table == "nat" && r.Chain == "POSTROUTING" && m != nil && m[1] == m[3]
}
