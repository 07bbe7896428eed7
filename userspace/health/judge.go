// SPDX-License-Identifier: Apache-2.0

package health

import (
	"time"

	"github.com/fairway-project/fairway/userspace/model"
)

const (
	// firstPause is between the first two checks of a target that isn't healthy yet. It
	// doubles up to the interval: containers take some time to listen.
	firstPause = 100 * time.Millisecond
	// spread is the part of an interval by which pauses differ.
	spread = 0.1
)

// judge takes note of a check's answer. It reports whether there is news.
func (k *check) judge(err error) (news bool) {
	before, reason := k.state, k.reason
	k.reason = ""
	if err != nil {
		k.reason = err.Error()
	}
	k.slow = late(err)
	is := Healthy
	if err != nil {
		is = Unhealthy
	}
	switch {
	case k.state == is:
		k.row = 0
	case k.state == Unknown, k.eager > 0:
		k.state, k.row = is, 0
	default:
		if k.row++; k.row >= k.needs(is) {
			k.state, k.row = is, 0
		}
	}
	return k.state != before || k.reason != reason
}

// needs is how many checks in a row make the target what it wasn't.
func (k *check) needs(is State) int {
	if is == Healthy {
		return k.target.Check.Rise
	}
	return k.target.Check.Fall
}

// pause is until the next check after one. random is from 0 to 1.
func (k *check) pause(random float64) time.Duration {
	interval := k.target.Check.Interval
	switch {
	case k.eager == 0:
		return vary(interval, random)
	case k.state == Healthy:
		// Those that came together part here.
		k.eager = 0
		return part(interval, random)
	}
	p := min(k.eager, interval)
	k.eager = min(2*k.eager, interval)
	return vary(p, random)
}

// vary is d, more or less.
func vary(d time.Duration, random float64) time.Duration {
	return part(d, 1-spread+2*spread*random)
}

func part(d time.Duration, of float64) time.Duration { return time.Duration(float64(d) * of) }

// newCheck is a target's, first due now or, if something is known, within its interval.
func newCheck(group, name string, t Target, now time.Time, random float64) *check {
	k := &check{group: group, name: name, target: t, state: t.Before, due: now, place: -1}
	if t.Before == Unknown {
		k.eager = firstPause
	} else {
		k.due = now.Add(part(t.Check.Interval, random))
	}
	return k
}

// Checked reports whether a service's backends are asked.
func Checked(h model.Health) bool { return h.Kind == model.HealthTCP || h.Kind == model.HealthHTTP }
