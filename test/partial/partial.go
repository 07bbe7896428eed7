// SPDX-License-Identifier: Apache-2.0

// Package partial is for runs on machines where not all is installed that tests need.
package partial

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"testing"
)

// Env, if not empty, leaves tests out that need a program which isn't installed.
// `make test` sets it where it couldn't install what is missing, and said so.
const Env = "FAIRWAY_TEST_PARTIAL"

// Skip skips the test if err says that a program or file isn't there and the run is
// a partial one. Else it does nothing.
func Skip(t testing.TB, err error) {
	t.Helper()
	if os.Getenv(Env) == "" {
		return
	}
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		t.Skipf("left out: %v", err)
	}
}

// Needs is for TestMain: it returns whether the programs are there that all tests of the
// package need, and says which isn't if the run is a partial one. Else it returns true, and
// the tests tell.
func Needs(programs ...string) bool {
	if os.Getenv(Env) == "" {
		return true
	}
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			fmt.Printf("left out, all tests of the package: %v\n", err)
			return false
		}
	}
	return true
}
