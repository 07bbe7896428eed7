// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"net/netip"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
)

func TestParseReverse(t *testing.T) {
	for _, s := range []string{"172.30.0.2", "0.0.0.0", "255.255.255.255", "fd00:30::2", "::", "2001:db8:1:2:3:4:5:abcd"} {
		name, err := mdns.ReverseAddr(s)
		must(t, err)
		for _, n := range []string{name, strings.ToUpper(name), strings.TrimSuffix(name, ".")} {
			if got, ok := parseReverse(n); !ok || got != netip.MustParseAddr(s) {
				t.Errorf("%s: %s %v, want %s", n, got, ok, s)
			}
		}
	}
	v6, err := mdns.ReverseAddr("fd00::1")
	must(t, err)
	for _, n := range []string{
		"", ".", "web.", "in-addr.arpa.", ".in-addr.arpa.", "ip6.arpa.", "0.30.172.in-addr.arpa.", "256.0.30.172.in-addr.arpa.",
		"1.2.0.30.172.in-addr.arpa.", "-1.0.0.1.in-addr.arpa.", "a.b.c.d.in-addr.arpa.", "2.0.30.172.in-addr.arpa.example.",
		v6[2:], "1." + v6, strings.Replace(v6, "f", "g", 1), strings.Replace(v6, "0.0", ":::", 1), strings.Replace(v6, "arpa", "int", 1),
		strings.Replace(v6, "1.0.0", "1..00", 1),
	} {
		if got, ok := parseReverse(n); ok {
			t.Errorf("%q: %s, want none", n, got)
		}
	}
}
