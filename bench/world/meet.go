// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/nl"
)

// Meet has all neighbours find each other, so that no packet has to wait for that
// later: few may wait, and the others are lost. It waits, too, until containers' programs
// are attached as they stay.
func (w *World) Meet(ctx context.Context, f plan.Family) error {
	if err := w.settle(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	everybody := w.everybody()
	for _, path := range everybody {
		if err := knock(path, w.addresses(f)); err != nil {
			return fmt.Errorf("arm %s: %w", w.Arm, err)
		}
	}
	for _, path := range everybody {
		if err := met(ctx, path, f); err != nil {
			return fmt.Errorf("arm %s: neighbours in %s: %w", w.Arm, path, err)
		}
	}
	return nil
}

func (w *World) everybody() []string {
	all := []string{w.lan}
	if w.hasHost() {
		all = append(all, w.host)
	}
	for _, n := range w.nodes {
		all = append(all, n.netns)
	}
	return all
}

func (w *World) addresses(f plan.Family) []netip.Addr {
	all := []netip.Addr{hostIP(f), lanIP(f)}
	for _, n := range w.nodes {
		all = append(all, n.addr(f))
	}
	addr := LANAddress(f)
	for range LANAddresses {
		all = append(all, addr)
		addr = addr.Next()
	}
	return all
}

// knock sends everybody a datagram to a port that nobody listens at. Whom there is
// no way to isn't a neighbour.
func knock(path string, addrs []netip.Addr) error {
	return netns.Do(path, func() error {
		conn, err := net.ListenUDP("udp", nil)
		if err != nil {
			return err
		}
		defer conn.Close()
		for _, to := range addrs {
			_, _ = conn.WriteToUDPAddrPort([]byte("knock"), netip.AddrPortFrom(to, 9))
		}
		return nil
	})
}

// met waits until the kernel waits for nobody's answer any more.
func met(ctx context.Context, path string, f plan.Family) error {
	family := netlink.FAMILY_V4
	if f == plan.IPv6 {
		family = netlink.FAMILY_V6
	}
	return netns.Do(path, func() error {
		for {
			waiting, err := incomplete(family)
			if err != nil || !waiting {
				return err
			}
			select {
			case <-ctx.Done():
				return errors.New("not found")
			case <-time.After(2 * time.Millisecond):
			}
		}
	})
}

func incomplete(family int) (bool, error) {
	all, err := nl.NeighList(nil, 0, family)
	for _, n := range all {
		if n.State&netlink.NUD_INCOMPLETE != 0 {
			return true, nil
		}
	}
	return false, err
}
