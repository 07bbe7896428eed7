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

var (
	// bridge is a device of Docker's in a rule's interface match.
	bridge = regexp.MustCompile(`(^| )-[io] (docker0|docker_gwbridge|br-[0-9a-f]{12})( |$)`)
	// jump leads to a chain of Docker's.
	jump = regexp.MustCompile(`(^| )-[jg] DOCKER(-[A-Z0-9-]+)?( |$)`)
	// hairpin is a masquerade of a container that talks to itself.
	hairpin = regexp.MustCompile(`^-s (\S+)/(32|128) -d (\S+)/(32|128) -p \S+ -m \S+ --dport \d+ -j MASQUERADE$`)
)

// Leftovers are the rules and chains of Docker's, to be removed in this order. The
// operator's rules in DOCKER-USER, and so the chain, are not among them.
func Leftovers(all []Rule) []Rule {
	users := make(map[[2]string]bool)
	for _, r := range UserRules(all) {
		users[[2]string{r.Tool, r.Table}] = true
	}
	var rules, chains []Rule
	for _, r := range all {
		switch {
		case r.Chain == userChain && users[[2]string{r.Tool, r.Table}]:
		case r.Declared && dockers(r.Chain):
			chains = append(chains, r)
		case r.Declared:
		case strings.Contains(r.Spec, "-j "+userChain) && users[[2]string{r.Tool, r.Table}]:
		case dockers(r.Chain), jump.MatchString(r.Spec), bridgeRule(r), selfRule(r):
			rules = append(rules, r)
		}
	}
	return append(rules, chains...)
}

func dockers(chain string) bool { return chain == "DOCKER" || strings.HasPrefix(chain, "DOCKER-") }

// bridgeRule is one that Docker put into a built-in chain for one of its bridges.
// Comments are an operator's or another program's.
func bridgeRule(r Rule) bool {
	return bridge.MatchString(r.Spec) && !strings.Contains(r.Spec, "--comment") &&
		(r.Chain == "FORWARD" || r.Chain == "POSTROUTING" || r.Chain == "PREROUTING" && r.Table == "raw")
}

func selfRule(r Rule) bool {
	m := hairpin.FindStringSubmatch(r.Spec)
	return r.Table == "nat" && r.Chain == "POSTROUTING" && m != nil && m[1] == m[3]
}
