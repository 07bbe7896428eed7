// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/request"
)

func drops(isolated, icc uint64) []datapath.Drop {
	return []datapath.Drop{
		{Reason: "isolated", Direction: datapath.Transmit, Counter: datapath.Counter{Packets: isolated, Bytes: 60 * isolated}},
		{Reason: "icc", Direction: datapath.Transmit, Counter: datapath.Counter{Packets: icc, Bytes: 60 * icc}},
	}
}

// What was counted before the daemon's first look isn't recent, and neither is what is
// over a minute ago.
func TestRecentDrops(t *testing.T) {
	var w dropWindow
	start := time.Now()
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	expect := func(when int, seconds float64, isolated, icc uint64) {
		t.Helper()
		want := request.RecentDrops{Seconds: seconds, Drops: []datapath.Drop{}}
		if isolated > 0 {
			want.Drops = append(want.Drops, drops(isolated, 0)[0])
		}
		if diff := gocmp.Diff(want, w.recent(at(when), drops(107, 1))); diff != "" {
			t.Errorf("after %d s (-want +got):\n%s", when, diff)
		}
	}
	expect(0, 0, 0, 0)
	w.add(at(0), drops(100, 1))
	expect(5, 5, 7, 0)
	w.add(at(10), drops(104, 1))
	w.add(at(65), drops(107, 1))
	expect(66, 66, 7, 0)
	w.add(at(75), drops(107, 1))
	expect(76, 66, 3, 0)
	w.add(at(140), drops(107, 1))
	expect(141, 66, 0, 0)
}
