// SPDX-License-Identifier: Apache-2.0

//go:build long

package docker

import "testing"

func TestLongThousandPorts(t *testing.T) { manyPorts(t, 1000) }

// TestLongFiguresOfOwnRules shows that TestFigures can measure the engine's own rules.
func TestLongFiguresOfOwnRules(t *testing.T) {
	f := &figures{cells: make(map[[2]string]string)}
	f.ofOwnRules(t, smokeSize)
	t.Cleanup(func() { t.Log("\n" + f.markdown()) })
}
