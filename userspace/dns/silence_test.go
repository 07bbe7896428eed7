// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/resolvconf"
)

func TestSilentUpstreamIsLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s silence
		all := via(server1, server2, server3)
		expect := func(when string, stream bool, want ...netip.Addr) {
			t.Helper()
			got := s.order(all, stream)
			if !cmp.Equal(got, via(want...), cmp.Comparer(func(a, b resolvconf.Upstream) bool { return a == b })) {
				t.Errorf("%s: %v, want %v", when, got, want)
			}
		}
		miss := func(names ...string) {
			for _, name := range names {
				s.unanswered(all[0], false, name)
			}
		}
		miss("a.", "b.")
		expect("two lost", false, server1, server2, server3)
		s.answered(all[0], false)
		miss("a.", "b.")
		expect("two lost since a reply", false, server1, server2, server3)
		miss("b.", "B.", "a.", "b.", "A.")
		expect("two dead names", false, server1, server2, server3)
		miss("c.")
		expect("three lost", false, server2, server3, server1)
		expect("the other transport", true, server1, server2, server3)
		time.Sleep(silentFor - time.Millisecond)
		expect("for some time", false, server2, server3, server1)
		time.Sleep(time.Millisecond)
		expect("one tries it", false, server1, server2, server3)
		expect("the others don't wait for it", false, server2, server3, server1)
		s.answered(all[0], false)
		expect("it answers again", false, server1, server2, server3)
		for range maxMisses - 1 {
			miss("a.")
			s.outdone(all[:1], false)
		}
		expect("one name that another answered, twice", false, server1, server2, server3)
		miss("a.")
		s.outdone(all[:1], false)
		expect("three times", false, server2, server3, server1)
	})
}
