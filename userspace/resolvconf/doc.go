// SPDX-License-Identifier: Apache-2.0

// Package resolvconf makes the three files that name resolution in a sandbox
// starts from: /etc/resolv.conf out of the host's one and the user's options,
// /etc/hosts and /etc/hostname. What goes into them is what Docker Engine 29 puts there
// (daemon/libnetwork/internal/resolvconf and daemon/libnetwork/etchosts).
//
// There are three kinds of resolv.conf:
//
//   - Embedded, for sandboxes on a user-defined network: 127.0.0.11 alone; the
//     servers it replaces are returned as the resolver's upstreams.
//   - Bridge, for sandboxes on the default bridge only: the host's servers
//     without those that can't be reached from another network namespace.
//   - Host, for sandboxes in the host's namespace: the host's file and the
//     user's options.
//
// Be aware:
//
//   - The files are bind-mounted into sandboxes, so they are only ever rewritten
//     in place ([Write]); replacing the inode would leave the old one mounted.
//   - The functions that build content don't check it: Overrides have Validate, and
//     names are checked by package request. A newline in one would be a line of the file.
package resolvconf
