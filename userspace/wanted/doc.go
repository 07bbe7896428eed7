// SPDX-License-Identifier: Apache-2.0

// Package wanted holds what this host should have: networks, endpoints, published ports,
// resolvers and services, each with its owner. Owners say what they want; nobody else tells the
// datapath.
//
// An owner says it in one of two ways. By edits: one thing at a time, and the answer is
// the datapath's; what is refused the owner takes back, or leaves wanted. Or whole: all
// that it wants (Set), and the difference is told in an order that is safe; what is
// refused is told again, ever less often, until it isn't wanted any more. Services are
// edited by either.
//
// What isn't as it should be is said here (Report), and what can be mended by trying
// again is tried again here (Mend). That is the one list behind "degraded".
//
// What an earlier process left in the datapath stays until its owner has said all
// (SaidAll) and everything was taken, or for Patience after that at most. Whose a
// leftover is, the device tells that it is about: Fairway's owners make devices with
// an alias, others theirs without. So the leftovers of one owner go, and no other's.
//
// Be aware:
//   - an owner orders its own edits of one object; edits of different objects, and of
//     different owners, may run at the same time;
//   - no two owners have objects with the same ID, and no two networks have subnets that
//     overlap, whoever's they are: the later one is refused;
//   - functions given to Mend are called from a goroutine of the owner's, which Close
//     ends and waits for;
//   - after Stop everything is refused but deletions.
package wanted
