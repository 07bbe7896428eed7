// SPDX-License-Identifier: Apache-2.0

// Package wirefuzz makes frames as an attacker may send them: each is put together layer
// by layer from what a parser knows, with addresses and ports that mean something in the
// world at hand, and many are broken afterwards.
//
// The same seed makes the same frames. Each carries marks in its payload, several times,
// so that a sniffer tells who sent what it sees, also of a fragment and inside of an ICMP
// error; Find reads them.
package wirefuzz
