// SPDX-License-Identifier: Apache-2.0

// Package loader brings the eBPF object into the kernel and keeps it there:
// probes of the kernel's features, maps and links pinned below one directory of a
// BPF filesystem, attachment to devices and to the cgroup root, replacement by a
// newer build, and removal. It has no policy: what is attached where, and what
// the maps hold, is the caller's.
//
// The directory looks like this:
//
//	<dir>/maps/<schema>/<map>         maps; schema is a hash of their layout
//	<dir>/links/<ifindex>-<program>   tcx links
//	<dir>/links/cgroup-<program>      cgroup links
//
// A later process with the same schema adopts the maps as they are and replaces
// the programs of the links by its own, each in one step, in Open: established
// flows see nothing. With another schema it starts with empty maps, while the
// older programs go on with the older maps; the caller fills the new maps and
// then calls Switch, which replaces the programs and removes the older maps.
//
// Be aware:
//   - with another schema the tracked flows are not carried over: connections
//     through address translation break once, at Switch;
//   - without tcx (before Linux 6.6) programs are clsact filters, which no link
//     guards: they are found again by their name, priority and handle. With
//     Config.Others, the maps that they use tell whose they are;
//   - devices and filters are those of the calling thread's network namespace, and
//     a directory is one namespace's: Open, Switch and Forget leave tcx links alone
//     whose device is in another; XDP links are detached, and attached anew there;
//   - the size of the flow tables is kept as long as their maps are: another
//     FlowTableSize takes effect after Uninstall or a reboot;
//   - Close never detaches anything. Uninstall does, and Remove, which doesn't need
//     programs that load.
package loader
