// SPDX-License-Identifier: Apache-2.0

// Package loader brings the eBPF object into the kernel and keeps it there:
// probes of the kernel's features, maps and links pinned below one directory of a
// BPF filesystem, attachment to devices and to the cgroup root, replacement by a
// newer build, and removal. It has no policy: what is attached where, and what
// the maps hold, is the caller's.
//
// The directory looks like this:
//
//	<dir>/maps/<group>-<revision>-<hash>/<map>  maps; the hash is of the group's layout
//	<dir>/programs/<fingerprint>/<program>      programs, for the next start
//	<dir>/links/<ifindex>-<program>             tcx links
//	<dir>/links/cgroup-<program>                cgroup links
//	<dir>/links/*-<ifindex>-clsact              marks of devices that have filters, or had
//
// A later process adopts the maps of each group that has the layout that it wants. If the
// programs are what it would load, by a fingerprint of the object, its constants, the
// maps and the kernel, it adopts them too; else it loads its own and replaces those of the
// links, each in one step, in Open: established flows see nothing.
//
// A group whose layout is another begins anew beside the older tables, which the older
// programs go on with. What the older tables hold is brought over, entry by entry, by the
// names of members, which the kernel keeps with each map; fillers say what members are that
// the older layout lacks. Connections are carried over while older programs work, then
// the programs are replaced, then what changed in between follows (see carrying). Where
// tables change that the control plane fills, it says all again before that, and
// calls Switch.
//
// Killed at any moment, a process leaves a state from which the next one goes on: older
// tables stay until all programs are replaced, and what comes over twice does no harm.
//
// Be aware:
//   - connections that begin in the milliseconds in which programs are replaced may need
//     their first packet twice;
//   - tables of a later revision are refused (ErrNewerTables) once that version has replaced
//     the programs; those of a start of it that came to nothing are removed. Versions from
//     before there were groups can't know: they begin new tables, and connections break;
//   - versions from before programs were pinned leave <dir>/programs where it is: what is in
//     it costs memory until a later version starts, or it is removed;
//   - without tcx (before Linux 6.6) programs are clsact filters, which no link
//     guards: they are found again by their name, priority and handle. With
//     Config.Others, the maps that they use tell whose they are. If the BPF filesystem
//     is unmounted while no process works, they stay, and drop what they have to
//     go on with elsewhere, as new connections;
//   - with tcx a container's device has filters too, until Settle. A device that goes to
//     another network namespace before that loses them;
//   - devices and filters are those of the calling thread's network namespace, and
//     a directory is one namespace's: Open, Switch and Forget leave tcx links alone
//     whose device is in another; XDP links are detached, and attached anew there;
//   - the size of the flow tables is kept as long as their maps are: another
//     FlowTableSize takes effect after Uninstall or a reboot;
//   - Close never detaches anything. Uninstall does, and Remove, which doesn't need
//     programs that load.
package loader
