// SPDX-License-Identifier: Apache-2.0

package vm

import (
	_ "embed"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// growth is how far a program may grow, in percent, before someone has to look
// and record the new count.
const growth = 20

// insns.txt has lines of kernel series, program and count.
//
//go:embed insns.txt
var recorded string

// budget holds the recorded counts of one kernel series.
type budget struct {
	kernel string
	insns  map[string]int
}

// loadBudget returns the counts for the running kernel. A kernel that the file
// doesn't have has no budget: only whether its verifier accepts is tested there.
func loadBudget(t *testing.T) budget {
	t.Helper()
	b := budget{kernel: series(t), insns: map[string]int{}}
	for line := range strings.Lines(recorded) {
		var kernel, program string
		var insns int
		if _, err := fmt.Sscan(line, &kernel, &program, &insns); err != nil {
			t.Fatalf("insns.txt: %q: %v", line, err)
		}
		if kernel == b.kernel {
			b.insns[program] = insns
		}
	}
	return b
}

// check compares with the recorded count. While counts are recorded it prints
// the new one, for the script that boots the kernel to collect.
func (b budget) check(t *testing.T, program string, insns int) {
	t.Helper()
	if recording() {
		fmt.Printf("insns: %s %s %d\n", b.kernel, program, insns)
		return
	}
	want, known := b.insns[program]
	switch {
	case len(b.insns) == 0:
	case !known:
		t.Errorf("kernel %s: no recorded count, now %d; run make update-insns", b.kernel, insns)
	case insns*100 > want*(100+growth):
		t.Errorf("kernel %s: the verifier looks at %d instructions, recorded are %d, and more than %d %% growth needs make update-insns",
			b.kernel, insns, want, growth)
	}
	t.Logf("kernel %s: %d instructions, recorded %d", b.kernel, insns, want)
}

// checkGone finds recorded programs that aren't in the object any more.
func (b budget) checkGone(t *testing.T, programs []string) {
	t.Helper()
	for _, program := range programs {
		delete(b.insns, program)
	}
	for program := range b.insns {
		if !recording() {
			t.Errorf("insns.txt: program %s is gone; run make update-insns", program)
		}
	}
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
