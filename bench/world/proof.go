// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/fairway-project/fairway/bench/plan"
)

// Traffic is what is known to have crossed the world since counters were read.
type Traffic struct {
	Walk plan.Walk
	// Packets that arrived, in both directions, at least. A packet that segments
	// were merged to counts once.
	Packets uint64
	// ToServer of them were the client's.
	ToServer uint64
	// Flows are connections that still exist.
	Flows uint64
	// UDP says that all of them are; then XDP forwards what comes from the LAN, but
	// for the first Opening packets, which came before their connection had an answer.
	UDP     bool
	Opening uint64
}

// Prove compares counters with what they were, and returns what they say, or an
// error that wraps plan.ErrWrongWay if the traffic went another way than the arm's.
func (w *World) Prove(ctx context.Context, before Counters, t Traffic) (plan.Proof, error) {
	now, err := w.Counters(ctx)
	if err != nil {
		return plan.Proof{}, err
	}
	text, err := w.carrier.check(before, now, t)
	if err != nil {
		return plan.Proof{}, fmt.Errorf("%w: arm %s, %s: %w", plan.ErrWrongWay, w.Arm, t.Walk, err)
	}
	return plan.Proof{Text: text}, nil
}

// claim is one thing that counters say, and whether that is as it has to be.
type claim struct {
	text string
	ok   bool
}

// expect joins claims to a sentence, or those that don't hold to an error.
func expect(claims ...claim) (string, error) {
	var all []string
	var errs []error
	for _, c := range claims {
		if all = append(all, c.text); !c.ok {
			errs = append(errs, errors.New(c.text))
		}
	}
	return strings.Join(all, "; "), errors.Join(errs...)
}

func atLeast(what string, have, want uint64) claim {
	return claim{fmt.Sprintf("%d %s for %d", have, what, want), have >= want}
}

// few allows for neighbour discovery and for what daemons do: a hundredth and some.
func few(what string, have, of uint64) claim {
	return claim{fmt.Sprintf("%d %s", have, what), have <= of/100+100}
}

// beyond is how many are more than expected.
func beyond(have, expected uint64) uint64 { return have - min(have, expected) }

func nothing(what string, have uint64) claim {
	return claim{fmt.Sprintf("%d %s", have, what), have == 0}
}

func noRules(tables string) claim { return onlyRules(tables, "") }

func onlyRules(tables, variant string) claim {
	if tables == "" {
		return claim{"no netfilter rules", variant == ""}
	}
	return claim{"netfilter rules: " + tables, tables == variant}
}

// check of Fairway's arms: rules and tracked connections in one mode, programs and
// neither of both in the other.
func (c *fairway) check(before, now Counters, t Traffic) (string, error) {
	if c.firewall != nil {
		return c.firewall.check(before, now, t)
	}
	claims := []claim{nothing("tracked connections", now.Tracked), noRules(now.Tables)}
	if !forwarded(t.Walk) {
		return expect(append(claims, few("routed packets", now.Routed-before.Routed, t.Packets))...)
	}
	claims = append(claims,
		atLeast("redirected packets", now.Redirected-before.Redirected, t.Packets),
		few("routed packets", now.Routed-before.Routed, t.Packets))
	if c.w.Arm != plan.XDP {
		return expect(append(claims, nothing("runs of XDP", now.XDP-before.XDP))...)
	}
	if t.Walk == plan.LANToPublished {
		claims = append(claims, atLeast("runs of XDP", now.XDP-before.XDP, t.ToServer))
		if t.UDP {
			claims = append(claims, few("that it left to others", beyond(now.Uplink-before.Uplink, t.Opening), t.ToServer))
		}
	}
	return expect(claims...)
}

// forwarded says whether packets of a walk go from one device to another. From the
// host's own sockets they go to a container as the host's own.
func forwarded(walk plan.Walk) bool { return walk != plan.LoopbackToPublished }

// check of iptables: every packet met a rule, and every connection is tracked.
func (f *firewall) check(before, now Counters, t Traffic) (string, error) {
	claims := []claim{
		onlyRules(now.Tables, f.variant),
		atLeast("tracked connections", now.Tracked, t.Flows),
		nothing("redirected packets", now.Redirected),
	}
	if forwarded(t.Walk) {
		claims = append(claims, atLeast("packets accepted by rules", now.Accepted-before.Accepted, t.Packets))
	}
	return expect(claims...)
}
