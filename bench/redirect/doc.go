// SPDX-License-Identifier: Apache-2.0

// Package redirect carries packets by programs at tc's hooks that know everything
// beforehand: what any datapath at these hooks costs at the least.
//
//	p, err := redirect.New(redirect.Host{...}, first)
//	err = p.Connect(second)
//	n, err := p.Redirected()
//	err = p.Close()
//
// What comes in at the uplink for the host's address becomes the first container's,
// and what that one sends to the gateway's MAC leaves by the uplink with the host's
// address. Between the two containers packets are switched. The programs translate
// addresses and no ports, ask no table, and remember nothing.
//
// With Host.Entries they look each packet's connection up, in a table with entries as large as
// the datapath's, and enter it with its first packet: what any datapath costs that remembers
// connections.
//
// Be aware:
//   - a packet is believed to be what it looks like: this isolates nobody;
//   - only TCP and UDP are carried, in one piece and right behind an IP header
//     without options; all else is left to the stack;
//   - the programs are attached by tcx (Linux 6.6). Where there is none, errors wrap
//     ebpf.ErrNotSupported.
package redirect
