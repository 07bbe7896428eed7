// SPDX-License-Identifier: Apache-2.0

package world

import (
	"net/netip"

	"github.com/fairway-project/fairway/bench/plan"
)

// LANSources are the many addresses that the LAN host has beside its own.
func LANSources(f plan.Family) []netip.Addr {
	var all []netip.Addr
	for addr := LANAddress(f); len(all) < LANAddresses; addr = addr.Next() {
		all = append(all, addr)
	}
	return all
}
