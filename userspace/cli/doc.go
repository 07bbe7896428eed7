// SPDX-License-Identifier: Apache-2.0

// Package cli is the command line: Docker's words and Docker's looks over the
// client of package api.
//
// A noun by itself (network ls, flow ls, status) only reads; a verb changes
// something. Lists are tables with upper-case headers; --format json prints one
// object per line with Docker's keys, -o json one document with the API's.
//
// Exit codes: 0; 1 for an error; 2 for a command line that can't be understood.
// run and exec exit with the command's own code, 127 where it doesn't exist,
// 126 where it can't be executed, 125 where the daemon failed or isn't there.
package cli
