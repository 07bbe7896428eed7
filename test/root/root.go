// SPDX-License-Identifier: Apache-2.0

// Package root tells tests that need root from those that don't: who needs it asks, and is
// skipped without. What doesn't ask has to pass without any capability.
package root

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Need skips a test that can't do its work here.
func Need(t testing.TB) {
	t.Helper()
	if !Here() {
		t.Skip("needs root")
	}
}

// Main is for TestMain of a package all of whose tests need root: it runs them, or none.
// It returns the exit code.
func Main(m *testing.M) int {
	if !Here() {
		fmt.Fprintln(os.Stderr, "skipped: needs root")
		return 0
	}
	return m.Run()
}

// Here reports whether the process may make namespaces and load programs. Root without
// capabilities may not.
func Here() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0 && data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
}
