// SPDX-License-Identifier: Apache-2.0

// Package world builds what a benchmark sends its packets through: a LAN host, a
// host, and containers, each a network namespace of its own, with an arm of the
// comparison as what carries the packets.
//
//	          192.0.2.0/24, 2001:db8::/64          172.30.0.0/24, fd30::/64
//	lan .10 ─────────────────────────────── .1 host ──┬── c0
//	    .16 to .31                                    └── c1
//
// In the arm veth there is no host: lan and c0 are two ends of one pair, and so
// are c0 and c1; in veth-xdp, c0's end towards lan has an XDP program too. In the arm
// route the host forwards without firewall, tracking, translation or bridge, and
// each container is behind a link of its own. In the arm redirect programs carry
// what is between lan, c0 and c1, and know all of it beforehand.
//
//	w, err := world.New(ctx, env, world.Options{Arm: plan.EBPF, Containers: []world.Container{{Name: "c0", Publish: ports}}})
//	ends, err := w.Ends(plan.LANToPublished, plan.IPv4)
//	before, err := w.Counters(ctx)
//	... ends.Client sends to ends.Target(80), something in ends.Server listens ...
//	proof, err := w.Prove(ctx, before, world.Traffic{Walk: plan.LANToPublished, Packets: n})
//	err = w.Close()
//
// Be aware:
//   - all worlds have the same addresses, in namespaces of their own;
//   - generic receive offload is on at both ends of every veth in every arm, and
//     everything else as the kernel has it. The packet generator needs that at the
//     far ends, the XDP program at the containers';
//   - published ports of the arms redirect, route, veth and veth-xdp are the
//     container's own: Target knows;
//   - a world that can't be built removes what there is of it.
package world
