// SPDX-License-Identifier: Apache-2.0

package object

import (
	"testing"

	"github.com/cilium/ebpf/asm"
)

// Somebody sets the host's clock: no flow may expire, or live on, for that. The programs
// know the time since the boot only (jiffies, CLOCK_MONOTONIC).
func TestProgramsDoNotKnowTheWallClock(t *testing.T) {
	spec, err := LoadDatapath()
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for name, p := range spec.Programs {
		for _, ins := range p.Instructions {
			if !ins.IsBuiltinCall() {
				continue
			}
			switch asm.BuiltinFunc(ins.Constant) {
			case asm.FnJiffies64, asm.FnKtimeGetNs:
				asked++
			case asm.FnKtimeGetTaiNs, asm.FnKtimeGetBootNs, asm.FnKtimeGetCoarseNs:
				t.Errorf("%s calls %s", name, asm.BuiltinFunc(ins.Constant))
			}
		}
	}
	if asked == 0 {
		t.Error("no program asks for the time")
	}
}
