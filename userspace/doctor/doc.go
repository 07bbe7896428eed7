// SPDX-License-Identifier: Apache-2.0

// Package doctor checks that a host has what Fairway needs. It first gathers
// facts, then judges them: the functions that judge are pure, and each returns
// lines with a result, the fact, and the command that mends it.
//
// Be aware:
//   - network facts are those of the calling process's network namespace;
//   - without root some facts can't be had; their checks say so with WARN;
//   - to see whether a published port is reserved, the port is bound for a moment;
//   - firewall rules are read with iptables-save and nft where these are installed,
//     and count as absent where they are not.
package doctor
