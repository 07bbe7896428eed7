// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"hash/maphash"
	"time"
)

// Damage that is the same as what was mended before is mended twice at once, and then
// after waits that double between these bounds while it comes back before their end:
// another program removes the rules each time, or iptables doesn't print them as they
// were written.
const (
	firstWait = 5 * time.Second
	maxWait   = time.Minute
)

// again is what is known of one family's damage that comes back after mending.
type again struct {
	// what is the remainder of the damaged tables that were mended last, at the time
	// mended; times counts how often it was the same one in a row.
	what   uint64
	mended time.Time
	times  int
	// wait is how long the same damage stays from now on.
	wait time.Duration
	// held is set where the damage was seen before its wait was over.
	held bool
}

// due reports whether damage that leaves what is to be mended at a time.
func (a *again) due(what uint64, at time.Time) bool {
	if what != a.what || at.Sub(a.mended) >= a.wait {
		return true
	}
	a.held = true
	return false
}

// note counts a mend that is due. Damage that stayed away for long is new.
func (a *again) note(what uint64, at time.Time) {
	if what != a.what || at.Sub(a.mended) >= 2*maxWait {
		*a = again{what: what}
	}
	a.mended = at
	a.times++
	switch {
	case a.times == 2:
		a.wait = firstWait
	case a.held:
		a.wait = min(2*a.wait, maxWait)
	}
	a.held = false
}

// waiting reports whether the damage came back so often that mending waits.
func (a *again) waiting() bool { return a.wait > 0 }

// remainder is a fingerprint of what is left of want in cur, in order. Rules of others
// don't count: mending may add to them, where iptables prints a rule in another way than
// it was written. It is never zero.
func remainder(cur saved, want *Ruleset) uint64 {
	var h maphash.Hash
	h.SetSeed(fingerprintSeed)
	note := func(table, chain string) {
		current, exists := cur.chain(table, chain)
		if !exists {
			return
		}
		h.WriteString("*" + table + " " + chain + "\n")
		for _, spec := range wantedOf(current, want.Chain(table, chain)) {
			h.WriteString(spec + "\n")
		}
	}
	for _, table := range tableOrder {
		for _, chain := range append(fixedChains(want.Family, table), want.serviceChains(table)...) {
			note(table, chain)
		}
		for _, chain := range sharedChains {
			note(table, chain)
		}
	}
	note(tableFilter, chainUser)
	return h.Sum64() | 1
}
