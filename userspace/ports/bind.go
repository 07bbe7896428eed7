// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"net/netip"
	"slices"
)

// bind gives r its socket if it lacks one, and with it the other wildcard
// address of the same owner. Beside are the reservations of the same slot, made
// and being made.
func bind(r *reservation, beside []*reservation, patient bool) (err error) {
	if r.sock != nil {
		return nil
	}
	if other := partner(r, beside); other != nil && bindPair(r, other, beside, patient) {
		return nil
	}
	r.sock, err = bindSocket(r.place(), neighbours(r, beside), patient)
	return err
}

// partner finds the reservation without a socket that can have one with r: the
// other family's wildcard address of the same owner.
func partner(r *reservation, beside []*reservation) *reservation {
	i := slices.IndexFunc(beside, func(other *reservation) bool {
		return other.sock == nil && other.owner == r.owner && other.HostIP.Is4() != r.HostIP.Is4() &&
			other.HostIP.IsUnspecified() && r.HostIP.IsUnspecified()
	})
	if i < 0 {
		return nil
	}
	return beside[i]
}

// bindPair gives both wildcard addresses one socket and reports whether it did.
// Why not doesn't matter: each address tried by itself tells whether it is the
// one that is taken, and 0.0.0.0 is all there is in a kernel without IPv6.
func bindPair(x, y *reservation, beside []*reservation, patient bool) bool {
	besideX, besideY := neighbours(x, beside), neighbours(y, beside)
	// A bind with SO_REUSEADDR overlooks more of foreign programs: the family
	// that needs none is tried without.
	if len(besideX) == 0 && len(besideY) > 0 && !isFree(x, patient) ||
		len(besideY) == 0 && len(besideX) > 0 && !isFree(y, patient) {
		return false
	}
	both := place{slot: x.slot(), ip: netip.IPv6Unspecified(), dual: true}
	sock, err := bindSocket(both, slices.Concat(besideX, besideY), patient)
	if err != nil || sock == nil {
		return false
	}
	sock.users = 2
	x.sock, y.sock = sock, sock
	return true
}

// isFree binds a socket for r and closes it.
func isFree(r *reservation, patient bool) bool {
	sock, err := bindSocket(r.place(), nil, patient)
	sock.release()
	return err == nil
}

// neighbours returns the sockets of the slot that include r's address or are
// included.
func neighbours(r *reservation, beside []*reservation) []*socket {
	var socks []*socket
	for _, other := range beside {
		if other.sock != nil && overlaps(other.HostIP, r.HostIP) {
			socks = append(socks, other.sock)
		}
	}
	return socks
}

// overlaps reports whether one of the addresses includes the other.
func overlaps(x, y netip.Addr) bool {
	return x.Is4() == y.Is4() && (x == y || x.IsUnspecified() || y.IsUnspecified())
}
