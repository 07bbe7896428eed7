// SPDX-License-Identifier: Apache-2.0

package link

import (
	"fmt"
	"net/netip"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Introduce tells an interface that is up which MAC address its gateways have, so that its
// first packet needn't ask the whole network. The kernel takes that for something that it
// learnt a while ago (stale): it asks the gateway again, and nobody else, once it has used
// it, and everybody if there is no answer.
func (s *Sandbox) Introduce(name string, gateways []netip.Addr, mac model.MAC) error {
	if len(gateways) == 0 {
		return nil
	}
	l, err := find(s.nl, name)
	if err != nil {
		return err
	}
	for _, ip := range gateways {
		family := netlink.FAMILY_V4
		if ip.Is6() {
			family = netlink.FAMILY_V6
		}
		err := s.nl.NeighSet(&netlink.Neigh{
			LinkIndex: l.Attrs().Index, Family: family, State: unix.NUD_STALE, IP: ip.AsSlice(), HardwareAddr: mac.HardwareAddr(),
		})
		if err != nil {
			return fmt.Errorf("interface %s: neighbour %s at %s: %w", name, ip, mac, err)
		}
	}
	return nil
}
