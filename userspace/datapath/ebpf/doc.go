// SPDX-License-Identifier: Apache-2.0

// Package ebpf is the datapath that the eBPF programs carry. It translates the
// values of package datapath into the content of maps and decides where programs
// are attached; package loader does the attaching.
//
// All that the programs need is in pinned maps, and nothing else is kept: a new
// process reads the maps, finds its networks and endpoints in them by the numbers
// of their devices, and goes on with the same slots and generations, so that
// established flows stay valid. A crash between any two writes leaves something
// that the next Ensure completes or the next Prune removes.
//
// Be aware:
//   - an endpoint that is removed while its device exists keeps its programs,
//     which drop everything. They go with the device;
//   - trusted_host_interfaces counts for uplinks with Ethernet headers and for
//     bridges of other networks; nothing else leads into a network. Status names
//     those that it trusts in vain;
//   - two instances in one network namespace work side by side with tcx only:
//     clsact has one place for our filter. New refuses to be the second.
package ebpf
