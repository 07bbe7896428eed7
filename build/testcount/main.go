// SPDX-License-Identifier: Apache-2.0

// Command testcount reads what go test -json wrote and prints one plain line:
//
//	N passed, N failed[, N skipped]
//
// Subtests count as tests. A package that fails without a failed test, because it
// doesn't build or ends early, counts as one failed test; so does a test that
// began and never ended. A test that was run again counts as it ended last, and is
// named before that line if it had failed. It exits with 1 if anything failed or
// nothing ran.
package main

import (
	"fmt"
	"os"
)

func main() {
	var c counter
	for _, path := range os.Args[1:] {
		if err := c.readFile(path); err != nil {
			fmt.Fprintf(os.Stderr, "testcount: %v\n", err)
			os.Exit(2)
		}
	}
	for _, test := range c.flaky() {
		fmt.Println("flaky:", test)
	}
	r := c.result()
	fmt.Println(r)
	if r.failed > 0 || r.passed == 0 {
		os.Exit(1)
	}
}
