// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"os"
	"testing"

	"github.com/fairway-project/fairway/test/root"
)

// TestMain runs the tests in a network namespace of their own: the watcher's
// goroutines work in that of the process.
func TestMain(m *testing.M) { os.Exit(root.InNetwork(m)) }
