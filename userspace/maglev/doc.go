// SPDX-License-Identifier: Apache-2.0

// Package maglev makes the tables by which a service spreads its clients over its backends:
// a hash of the client is a place in the table, and what stands there the backend.
//
// The tables are those of Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load
// Balancer" (NSDI 2016), section 3.4: each backend has as many places as its weight is worth,
// and when one comes or goes, nearly all other places stay as they are. A table follows from
// its backends alone, so that every daemon, and every host, makes the same one.
//
// Everything here is a pure function.
package maglev
