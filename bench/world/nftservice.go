// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	"fmt"
	"strings"
)

// serve finds the service by one map lookup, however many there are, and draws a backend
// by another: as kube-proxy's nftables mode does.
func (c *nftables) serve(ctx context.Context, s Service, backends []*node) error {
	if err := c.have(s); err != nil {
		return err
	}
	var text strings.Builder
	if !c.serves {
		text.WriteString("add map ip bench services { type ipv4_addr . inet_service : verdict; }\n")
		for _, chain := range []string{"prerouting", "output"} {
			fmt.Fprintf(&text, "insert rule ip bench %s meta l4proto tcp ip daddr . tcp dport vmap @services\n", chain)
		}
		c.serves = true
	}
	for i := range s.Ports {
		port := int(s.First) + i
		chain := fmt.Sprintf("%s-%d", s.Name, port)
		var targets []string
		for n, b := range backends {
			targets = append(targets, fmt.Sprintf("%d : %s . %d", n, b.ip4, port))
		}
		fmt.Fprintf(&text, "add chain ip bench %s\n", chain)
		fmt.Fprintf(&text, "add rule ip bench %s meta l4proto tcp dnat ip to numgen random mod %d map { %s }\n", chain, len(backends), strings.Join(targets, ", "))
		fmt.Fprintf(&text, "add element ip bench services { %s . %d : goto %s }\n", s.Address(), port, chain)
		if i == 0 && s.Published != 0 {
			fmt.Fprintf(&text, "add element ip bench services { %s . %d : goto %s }\n", hostIP4, s.Published, chain)
		}
	}
	return c.nft(ctx, text.String())
}
