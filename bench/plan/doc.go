// SPDX-License-Identifier: Apache-2.0

// Package plan has the words in which a workload tells the bench engine what it
// measures. It is the seam between both: a workload knows nothing of pairs,
// order, busy machines and reports, and the engine nothing of packets.
//
//	Workload  one kind of traffic or work: "pps"
//	Case      one row of its table: walk, family, flows and what else varies
//	Arm       what carries the traffic: "ebpf", "iptables", "veth"
//	Subject   a case on an arm
//	Instance  a subject that is set up and runs slices
//	Sample    what one slice measured
//
// The engine asks a workload for its cases, starts one Instance per arm (and one
// more of the first arm, for the A/A row), keeps them all up at the same time,
// runs short slices of them in random order, and closes them.
//
// Be aware:
//   - an idle instance must take no CPU: the slices of others run meanwhile;
//   - a measuring process has a PID namespace and mounts of its own, which end with
//     it, whatever way it ends. Tests of a workload run without them, so Close has
//     to remove all there is;
//   - a workload that can't prove that its packets went the arm's way returns an
//     error. There is no number without a proof.
package plan
