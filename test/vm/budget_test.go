// SPDX-License-Identifier: Apache-2.0

package vm

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// growth is how far a program may grow, in percent, before someone has to look
// and record the new count.
const growth = 20

//go:embed insns.json
var recorded []byte

// budget holds the recorded counts of one kernel series.
type budget struct {
	kernel string
	insns  map[string]int
}

// loadBudget returns the counts for the running kernel. A kernel that the file
// doesn't have has no budget: only whether its verifier accepts is tested there.
func loadBudget(t *testing.T) budget {
	t.Helper()
	var all map[string]map[string]int
	if err := json.Unmarshal(recorded, &all); err != nil {
		t.Fatalf("insns.json: %v", err)
	}
	kernel := series(t)
	return budget{kernel: kernel, insns: all[kernel]}
}

// check compares with the recorded count, unless counts are being recorded.
func (b budget) check(t *testing.T, program string, insns int) {
	t.Helper()
	want, known := b.insns[program]
	switch {
	case recording() || b.insns == nil:
	case !known:
		t.Errorf("kernel %s: no recorded count, now %d; run make update-insns", b.kernel, insns)
	case insns*100 > want*(100+growth):
		t.Errorf("kernel %s: verifier looks at %d instructions, recorded are %d, more than %d %% fewer; run make update-insns if that is meant",
			b.kernel, insns, want, growth)
	}
	t.Logf("kernel %s: %d instructions, recorded %d", b.kernel, insns, want)
}

// record prints the counts for the script that boots the kernel to collect.
func (b budget) record(t *testing.T, counted map[string]int) {
	t.Helper()
	for program := range b.insns {
		if _, ok := counted[program]; !ok && !t.Failed() && !recording() {
			t.Errorf("insns.json: program %s is gone; run make update-insns", program)
		}
	}
	if !recording() {
		return
	}
	line, err := json.Marshal(map[string]map[string]int{b.kernel: counted})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("insns: %s\n", line)
}

func recording() bool { return os.Getenv("FAIRWAY_RECORD_INSNS") != "" }

// series is the kernel's version up to the second number, as in "6.12".
func series(t *testing.T) string {
	t.Helper()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	parts := strings.SplitN(unix.ByteSliceToString(name.Release[:]), ".", 3)
	return parts[0] + "." + parts[1]
}
