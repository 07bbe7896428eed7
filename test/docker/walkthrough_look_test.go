// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"fmt"
	"strings"
	"time"

	"github.com/fairway-project/fairway/test/harness"
)

// What an HTTP request and its answer are at least: a handshake, the two, and the end.
const perFetch = 8

// noRulesAnywhere demands that no netfilter rule is on the host, by whichever tool.
func (w *walk) noRulesAnywhere() {
	w.t.Helper()
	for _, tool := range []string{"iptables-legacy-save", "ip6tables-legacy-save", "iptables-nft-save", "ip6tables-nft-save", "nft list ruleset"} {
		f := strings.Fields(tool)
		if left := harness.Normalise(w.Host.Must(w.t, f[0], f[1:]...)); left != "" {
			w.t.Errorf("%s: %s shows\n%s", w.title, tool, left)
		}
	}
}

// paths are the packets so far, by who carried them: the programs, or the host's
// stack past the programs of containers' devices; and those that came by an uplink.
type paths struct{ ebpf, stack, uplink uint64 }

// paths reads the counters when they have come to rest: the last segments of a
// connection may still be on their way.
func (w *walk) paths() (now paths) {
	w.t.Helper()
	harness.Eventually(w.t, "the counters rest", func() error {
		before := now
		now = w.countedSoFar()
		if before != now {
			time.Sleep(20 * time.Millisecond)
			return fmt.Errorf("%+v, then %+v", before, now)
		}
		return nil
	})
	return now
}

func (w *walk) countedSoFar() (p paths) {
	w.t.Helper()
	var status struct {
		Stats struct {
			Forwarded map[string]struct{ Packets uint64 }
			Programs  []struct {
				Name string
				Runs uint64
			}
		}
	}
	w.JSON(w.t, &status, "status", "-o", "json")
	p.ebpf, p.stack = status.Stats.Forwarded["ebpf"].Packets, status.Stats.Forwarded["stack"].Packets
	for _, program := range status.Stats.Programs {
		if program.Name == "from_uplink" {
			p.uplink = program.Runs
		}
	}
	return p
}

// during tells what was counted from one rest of the counters to the next.
func (w *walk) during(steps func()) paths {
	w.t.Helper()
	w.counted = true
	before := w.paths()
	steps()
	after := w.paths()
	return paths{after.ebpf - before.ebpf, after.stack - before.stack, after.uplink - before.uplink}
}

// carries demands that the programs sent on exactly as many packets as there were.
func (w *walk) carries(packets uint64, which string, steps func()) {
	w.t.Helper()
	if got := w.during(steps); got.ebpf != packets {
		w.t.Errorf("%s: %d packets were carried by eBPF, want %d, %s", w.title, got.ebpf, packets, which)
	}
	number := fmt.Sprintf("exactly %d packets", packets)
	if packets == 0 {
		number = "no packet"
	}
	w.page.checked("The programs sent on " + number + ": " + which + ".")
}

// carriesFetches demands that the programs sent on what the fetches need.
func (w *walk) carriesFetches(fetches uint64, steps func()) {
	w.t.Helper()
	if got := w.during(steps); got.ebpf < fetches*perFetch {
		w.t.Errorf("%s: %d packets were carried by eBPF, want %d for %d fetches", w.title, got.ebpf, fetches*perFetch, fetches)
	}
	w.page.checked(fmt.Sprintf("The programs sent on the packets of %s.", plural(fetches, "fetch", "fetches")))
}

// passes demands that what the host itself exchanged with containers was seen: its
// stack delivers it, past the programs of the containers' devices.
func (w *walk) passes(packets uint64, steps func()) {
	w.t.Helper()
	if got := w.during(steps); got.stack < packets {
		w.t.Errorf("%s: %d packets were seen between the host and containers, want %d", w.title, got.stack, packets)
	}
	w.page.checked("The programs at the containers' devices saw all packets between them and the host.")
}

// arrives demands that what comes for the host itself was seen, and left alone.
func (w *walk) arrives(packets uint64, steps func()) {
	w.t.Helper()
	got := w.during(steps)
	if got.uplink < packets || got.ebpf != 0 {
		w.t.Errorf("%s: %d packets came by an uplink and %d were sent on, want %d and none", w.title, got.uplink, got.ebpf, packets)
	}
	w.page.checked("The programs saw what came by the uplink, and left all of it to the host.")
}

func plural(n uint64, one, many string) string {
	if n == 1 {
		return "one " + one
	}
	return fmt.Sprint(n, " ", many)
}
