// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fairway-project/fairway/userspace/model"
)

// Chains of services. The first two are always there, and nothing leads to them while
// there is no service; the others come and go with the services.
const (
	// chainServices leads to the pools in nat, and refuses in filter what no pool took.
	chainServices = "FAIRWAY-SERVICES"
	// chainHairpin leads from what was translated to the service that did.
	chainHairpin = "FAIRWAY-HAIRPIN"
	// chainPool has the rules that choose one of a pool's backends.
	chainPool = "FAIRWAY-POOL-"
	// chainAnswer hides clients from backends that couldn't answer them otherwise.
	chainAnswer = "FAIRWAY-ANSWER-"
)

// chainID is a chain of a table.
type chainID struct{ table, chain string }

func (r Rule) in() chainID { return chainID{r.Table, r.Chain} }

// ofService reports whether the chain is one service's. Such a chain is written as a
// whole or not at all: its rules mean something only in their order.
func ofService(chain string) bool {
	return strings.HasPrefix(chain, chainPool) || strings.HasPrefix(chain, chainAnswer)
}

// nameOf is a prefix followed by as much of a hash as a name of iptables can hold.
func nameOf(prefix string, of ...any) string {
	const longest = 28 // XT_EXTENSION_MAXNAMELEN less its end
	sum := sha256.Sum256(fmt.Append(nil, of...))
	return prefix + hex.EncodeToString(sum[:])[:longest-len(prefix)]
}

// poolChain names the chain of a pool of a service for one protocol: a rule that
// translates a port names it.
func poolChain(serviceID string, pool int, proto model.Proto) string {
	return nameOf(chainPool, serviceID, " ", pool, " ", proto)
}

func answerChain(serviceID string) string { return nameOf(chainAnswer, serviceID) }

// serviceChains are the chains of single services in a table, sorted.
func (s saved) serviceChains(table string) []string {
	if s[table] == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(s[table].chains)), func(c string) bool { return !ofService(c) })
}

// serviceChains are the chains of single services that the rules need in a table, sorted.
func (rs *Ruleset) serviceChains(table string) []string {
	var out []string
	for c := range rs.rest {
		if c[0] == table && ofService(c[1]) {
			out = append(out, c[1])
		}
	}
	slices.Sort(out)
	return out
}

// fixedChains are the chains of a table that hold nothing but this package's rules and
// belong to no single service, the journal among them.
func fixedChains(f Family, table string) []string { return append(ownChains(f, table), chainJournal) }
