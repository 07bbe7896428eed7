// SPDX-License-Identifier: Apache-2.0

// Package child runs this program again as something else: in a network namespace
// and on a CPU that the new process has before its first thread starts, and told
// what to do by lines of JSON on its standard input, which it answers on its
// standard output.
//
// The program's main, and TestMain of tests, call Init with what there is to be
// run before anything else. A child ends with its input, and thereby with its
// parent.
package child
