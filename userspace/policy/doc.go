// SPDX-License-Identifier: Apache-2.0

// Package policy says what follows from the wishes that package model holds: which
// endpoint is a container's gateway, who carries a publication, what a gateway mode
// means, what the options of a bridge network are, which subnets may not overlap. All
// owners ask it, so that a network means the same whoever made it.
//
// Everything here is a pure function: nothing is looked at but the arguments.
// Where a comment names Docker's code it is Engine 29's.
package policy
