// SPDX-License-Identifier: Apache-2.0

// Package pktgen makes small packets in the kernel, and counts them where they
// arrive.
//
// A Generator is an XDP program that BPF_PROG_TEST_RUN runs with
// BPF_F_TEST_XDP_LIVE_FRAMES (Linux 5.18 and later): each run writes one frame and
// redirects it to a device, from where the frame goes on as any other. A Sink
// counts them at a device as they come in (tc), or at a UDP socket, and ends them.
//
//	g, err := pktgen.New(pktgen.Config{Netns: lan, Device: "eth0", ...})
//	s, err := pktgen.AtDevice(container, "eth0", pktgen.Want{Mark: g.Mark()})
//	sent, err := g.Run(ctx, 1_000_000)
//	err = s.Wait(ctx, sent.Packets)
//
// Be aware:
//   - what is sent is what the program made; whether it arrived is what the sink
//     says. A device that takes no frames loses them without an error;
//   - a veth takes redirected frames only if its peer has NAPI: an XDP program, or
//     generic receive offload (SetGRO);
//   - everything up to the first queue happens in the system call that makes the
//     packets: generator, path and sink share one CPU, and the time per packet is
//     that of all three;
//   - a Generator is for one goroutine at a time.
package pktgen
