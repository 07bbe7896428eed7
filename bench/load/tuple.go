// SPDX-License-Identifier: Apache-2.0

package load

import "net/netip"

// Ports that connections of crr are bound to: all that need no privilege.
const (
	firstPort = 1024
	lastPort  = 65535
)

// tuples goes through all addresses and ports that a side can dial from and to,
// over all of its jobs, so that no connection meets what an earlier one left in a
// table before all others were used.
type tuples struct{ next uint64 }

// tuple is one of them. An invalid source address stands for any.
type tuple struct {
	source netip.AddrPort
	target netip.AddrPort
}

// take returns the next tuple of a job. The port changes each time: what only
// has one source and one target comes around after all ports.
func (t *tuples) take(j *Job) tuple {
	n := t.next
	t.next++
	const ports = lastPort - firstPort + 1
	port := uint16(firstPort + n%ports)
	n /= ports
	source := netip.AddrPortFrom(unspecified(j.Targets[0].Addr()), port)
	if len(j.Sources) > 0 {
		source = netip.AddrPortFrom(j.Sources[n%uint64(len(j.Sources))], port)
		n /= uint64(len(j.Sources))
	}
	return tuple{source: source, target: j.Targets[n%uint64(len(j.Targets))]}
}

func unspecified(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}
