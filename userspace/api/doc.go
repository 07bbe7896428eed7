// SPDX-License-Identifier: Apache-2.0

// Package api is the daemon's HTTP API: the types that travel, the Backend that
// answers, the server on a unix socket and the client that the CLI uses.
//
// A request names what is wanted in snake_case JSON (package request) and a Backend gets it
// checked as far as that is possible without knowing the host. A Backend answers
// in the values of package model; the shapes that users see, Docker's inspect
// documents among them, are made here and nowhere else.
//
// Be aware:
//   - Whoever may open the socket is root on this host: run starts any command.
//   - A name in a path is one name or ID, compared and never used as a path.
//   - Bodies are at most MaxBody bytes, and unknown fields are errors.
package api
