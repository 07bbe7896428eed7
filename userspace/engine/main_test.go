// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"os"
	"testing"

	"github.com/fairway-project/fairway/test/root"
	"github.com/fairway-project/fairway/userspace/sandbox"
)

// TestMain runs the tests in a network namespace that plays the host.
func TestMain(m *testing.M) {
	sandbox.Init(os.Args)
	os.Exit(root.InNetwork(m))
}
