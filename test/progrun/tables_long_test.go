// SPDX-License-Identifier: Apache-2.0

//go:build long

package progrun

import (
	"testing"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/test/progrun/rig"
)

// Kernels before 6.2 leave transport checksums to the helpers.
func TestLongProgramsWithoutKernCtx(t *testing.T) {
	runTables(t, rig.Options{Constants: map[string]any{object.DatapathVarHaveKernCtx: false}})
}
