// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"crypto/rand"
	"net/netip"

	"github.com/fairway-project/fairway/userspace/model"
)

// MAC chooses the address of an endpoint. It is made from the IPv4 address, as Docker's was
// until version 28, so that peers' caches stay right when an address comes back. It is
// random without one, and where another of the network has that, as a user may have chosen.
func MAC(ip netip.Addr, taken func(model.MAC) bool) model.MAC {
	m := model.MAC{0x02, 0x42}
	if ip.Is4() {
		raw := ip.As4()
		copy(m[2:], raw[:])
		if !taken(m) {
			return m
		}
	}
	// Never fails (crypto/rand).
	_, _ = rand.Read(m[2:])
	return m
}
