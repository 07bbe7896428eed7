// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"net/netip"
	"slices"
	"strings"
)

// parseReverse returns the address that a PTR name stands for: four decimal
// labels under in-addr.arpa (RFC 1035, 3.5) or 32 hexadecimal ones under
// ip6.arpa (RFC 3596, 2.5), in any case.
func parseReverse(name string) (netip.Addr, bool) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if s, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		labels := strings.Split(s, ".")
		slices.Reverse(labels)
		addr, err := netip.ParseAddr(strings.Join(labels, "."))
		return addr, err == nil && addr.Is4()
	}
	s, ok := strings.CutSuffix(name, ".ip6.arpa")
	if !ok || len(s) != 63 {
		return netip.Addr{}, false
	}
	return parseNibbles(s)
}

func parseNibbles(s string) (netip.Addr, bool) {
	labels := strings.Split(s, ".")
	if len(labels) != 32 {
		return netip.Addr{}, false
	}
	slices.Reverse(labels)
	var b strings.Builder
	for i, nibble := range labels {
		if i > 0 && i%4 == 0 {
			b.WriteByte(':')
		}
		if len(nibble) != 1 {
			return netip.Addr{}, false
		}
		b.WriteString(nibble)
	}
	addr, err := netip.ParseAddr(b.String())
	return addr, err == nil && addr.Is6()
}
