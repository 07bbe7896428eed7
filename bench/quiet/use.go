// SPDX-License-Identifier: Apache-2.0

package quiet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Use is what others took of the machine between two readings, as shares of one
// CPU's time.
type Use struct {
	Foreign, Steal, Memory, IO float64
	// Who used the most, by name, for people who want it quiet.
	Who []string
}

// Since returns the use between an earlier reading and r.
func (r Reading) Since(before Reading) Use {
	took := r.at.Sub(before.at)
	share := func(d time.Duration) float64 { return float64(max(d, 0)) / float64(max(took, 1)) }
	used := make(map[string]time.Duration)
	for pid, p := range r.foreign {
		d := p.used + p.reaped
		if old, ok := before.foreign[pid]; ok && old.started == p.started {
			d -= old.used + old.reaped
		}
		used[p.name] += d
	}
	// What a process had used before counts anew with its parent's children.
	for pid, old := range before.foreign {
		parent, alive := r.foreign[old.parent]
		if p, ok := r.foreign[pid]; alive && (!ok || p.started != old.started) {
			used[parent.name] = max(0, used[parent.name]-old.used-old.reaped)
		}
	}
	var total time.Duration
	for _, d := range used {
		total += max(d, 0)
	}
	return Use{
		Foreign: share(total), Steal: share(r.steal - before.steal),
		Memory: share(r.stalled["memory"] - before.stalled["memory"]), IO: share(r.stalled["io"] - before.stalled["io"]),
		Who: most(used, share),
	}
}

func most(used map[string]time.Duration, share func(time.Duration) float64) []string {
	type user struct {
		name  string
		share float64
	}
	var users []user
	for name, d := range used {
		if s := share(d); s >= 0.005 {
			users = append(users, user{name, s})
		}
	}
	slices.SortFunc(users, func(a, b user) int {
		return cmp.Or(cmp.Compare(b.share, a.share), cmp.Compare(a.name, b.name))
	})
	var who []string
	for _, u := range users[:min(3, len(users))] {
		who = append(who, fmt.Sprintf("%s %.0f %%", u.name, u.share*100))
	}
	return who
}

// Limit of each share: above it a slice doesn't count.
const Limit = 0.05

// Busy says why a slice doesn't count, "" if it does.
func (u Use) Busy() string {
	var why []string
	for _, part := range []struct {
		share float64
		name  string
	}{{u.Foreign, "foreign CPU"}, {u.Steal, "steal"}, {u.Memory, "stalled on memory"}, {u.IO, "stalled on I/O"}} {
		if part.share > Limit {
			why = append(why, fmt.Sprintf("%s %.0f %%", part.name, part.share*100))
		}
	}
	if len(why) == 0 {
		return ""
	}
	text := strings.Join(why, ", ")
	if len(u.Who) > 0 && u.Foreign > Limit {
		text += " (" + strings.Join(u.Who, ", ") + ")"
	}
	return text
}
