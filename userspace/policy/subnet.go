// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"iter"
	"net/netip"

	"github.com/fairway-project/fairway/userspace/model"
)

// Overlap refuses a network with a subnet that overlaps one of another network's,
// whoever made it. A network is no other of itself.
func Overlap(n *model.Network, all iter.Seq[*model.Network]) error {
	for other := range all {
		if other.ID == n.ID {
			continue
		}
		for _, p := range subnets(n) {
			for _, q := range subnets(other) {
				if p.Overlaps(q) {
					return fmt.Errorf("network %s: subnet %s overlaps with %s of network %s", n.Name, p, q, other.Name)
				}
			}
		}
	}
	return nil
}

func subnets(n *model.Network) (all []netip.Prefix) {
	for _, s := range []*model.Subnet{n.IPv4, n.IPv6} {
		if s != nil {
			all = append(all, s.Prefix.Masked())
		}
	}
	return all
}
