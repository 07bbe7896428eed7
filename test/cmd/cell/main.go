// SPDX-License-Identifier: Apache-2.0

// Command cell runs a program in a cell, see package cell. It is for go test -exec.
//
//	cell PROGRAM [ARGUMENT]...   runs it, and exits with its code
//	cell -clean                  removes what killed runs left
package main

import (
	"fmt"
	"os"

	"github.com/fairway-project/fairway/test/cell"
)

func main() {
	switch {
	case len(os.Args) == 2 && os.Args[1] == "-clean":
		if err := cell.Clean(); err != nil {
			fmt.Fprintf(os.Stderr, "cell: %v\n", err)
			os.Exit(1)
		}
	case len(os.Args) > 1:
		os.Exit(cell.Run(os.Args[1:]...))
	default:
		fmt.Fprintln(os.Stderr, "usage: cell PROGRAM [ARGUMENT]... | cell -clean")
		os.Exit(2)
	}
}
