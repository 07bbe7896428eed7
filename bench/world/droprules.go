// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	"errors"
)

// DropRules empties the chains that a firewall of Fairway's has a rule in for each
// port. It is for worlds that are about to be closed: the daemon would remove those
// rules one by one, which takes minutes for 10,000, and so mends what is left.
func (w *World) DropRules(ctx context.Context) error {
	c, ok := w.carrier.(*fairway)
	if !ok || c.firewall == nil {
		return nil
	}
	var errs []error
	for _, family := range []string{"iptables", "ip6tables"} {
		program := family + "-" + c.firewall.variant
		for _, args := range [][]string{{"-t", "nat", "-F", "DOCKER"}, {"-t", "nat", "-F", "POSTROUTING"}, {"-F", "DOCKER"}} {
			_, err := output(ctx, w.host, c.firewall.env, "", program, append([]string{"-w"}, args...)...)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
