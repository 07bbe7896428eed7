// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/userspace/netns"
)

// pairXDP is a pair whose first container's device runs an XDP program that passes
// everything. It shows what XDP on a veth costs by itself: above all, the kernel
// turns segmentation offload off at the other end.
type pairXDP struct {
	pair
	program *ebpf.Program
	link    link.Link
}

func (c *pairXDP) start(ctx context.Context) (err error) {
	const pass = 2 // XDP_PASS
	c.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "pass", Type: ebpf.XDP, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, pass), asm.Return()},
	})
	if err != nil {
		return fmt.Errorf("XDP program: %w", err)
	}
	return c.pair.start(ctx)
}

func (c *pairXDP) add(ctx context.Context, n *node) error {
	if err := c.pair.add(ctx, n); err != nil || len(c.w.nodes) > 0 {
		return err
	}
	err := netns.Do(n.netns, c.attach)
	if errors.Is(err, ebpf.ErrNotSupported) {
		err = fmt.Errorf("%w: %w", plan.ErrUnavailable, err)
	}
	if err != nil {
		return errors.Join(err, c.pair.remove(ctx, n))
	}
	return nil
}

func (c *pairXDP) attach() error {
	dev, err := netlink.LinkByName(device)
	if err == nil {
		c.link, err = link.AttachXDP(link.XDPOptions{Interface: dev.Attrs().Index, Program: c.program, Flags: link.XDPDriverMode})
	}
	if err != nil {
		return fmt.Errorf("XDP at device %s: %w", device, err)
	}
	return nil
}

// ends leave containers among themselves out: their devices have no program.
func (c *pairXDP) ends(walk plan.Walk, f plan.Family) (Ends, error) {
	if walk == plan.ContainerToContainer {
		return Ends{}, fmt.Errorf("%w: XDP is at the LAN's veth only", plan.ErrUnavailable)
	}
	return c.pair.ends(walk, f)
}

// check asks the kernel: a program that counts would cost more than one that passes.
func (c *pairXDP) check(before, now Counters, t Traffic) (string, error) {
	text, err := c.pair.check(before, now, t)
	if err != nil {
		return "", err
	}
	first, err := c.w.node(0)
	if err != nil {
		return "", err
	}
	attached := claim{"no XDP program attached by the driver", false}
	err = netns.Do(first.netns, func() error {
		dev, err := netlink.LinkByName(device)
		if err == nil && dev.Attrs().Xdp != nil && dev.Attrs().Xdp.AttachMode == nl.XDP_ATTACHED_DRV {
			attached = claim{"XDP program attached by the driver", true}
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return expect(claim{text, true}, attached)
}

func (c *pairXDP) close(ctx context.Context) error {
	err := c.pair.close(ctx)
	if c.link != nil {
		err = errors.Join(err, c.link.Close())
	}
	if c.program != nil {
		err = errors.Join(err, c.program.Close())
	}
	return err
}
