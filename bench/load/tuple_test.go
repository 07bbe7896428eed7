// SPDX-License-Identifier: Apache-2.0

package load

import (
	"net/netip"
	"testing"
)

func TestTuplesAreUnique(t *testing.T) {
	j := Job{
		Targets: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:80"), netip.MustParseAddrPort("192.0.2.1:81")},
		Sources: []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")},
	}
	const ports = lastPort - firstPort + 1
	seen := make(map[tuple]bool, 4*ports)
	var ts tuples
	for range 4 * ports {
		seen[ts.take(&j)] = true
	}
	if len(seen) != 4*ports {
		t.Errorf("%d tuples, want %d", len(seen), 4*ports)
	}
}

func TestTupleWithoutSources(t *testing.T) {
	for _, target := range []string{"192.0.2.1:80", "[2001:db8::1]:80"} {
		j := Job{Targets: []netip.AddrPort{netip.MustParseAddrPort(target)}}
		got := (&tuples{}).take(&j)
		if !got.source.Addr().IsUnspecified() || got.source.Addr().Is4() != j.Targets[0].Addr().Is4() {
			t.Errorf("source of %s is %s", target, got.source)
		}
	}
}
