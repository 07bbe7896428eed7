// SPDX-License-Identifier: Apache-2.0

// Package attach has the workload of endpoints: how long it takes until a new one
// is answered, and what memory each takes.
//
//	op=attach  from the call of the daemon's API, with a namespace that is there,
//	           until the LAN has answered the namespace's first SYN, with so many
//	           endpoints present
//	op=memory  what the daemon and the kernel grow by with each of many endpoints:
//	           resident pages of a daemon that has just been started, and slab, per-CPU
//	           and vmalloc memory of the machine
//
// Be aware:
//   - a namespace tries a SYN when the call has returned, as a container does, and
//     every 100 µs from then on;
//   - the namespaces themselves are made before and are no part of the figures;
//   - tables of fixed size, as those of the programs, don't grow: what they take is
//     in workload flows;
//   - the kernel's memory is the whole machine's: what others take meanwhile shows.
package attach
