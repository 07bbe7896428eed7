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

// growth is how much more a verifier may look at than is recorded, in percent, before
// someone has to look and record the new count.
const growth = 20

// Measures of budget.txt beside kernel series, whose counts are of the instructions that
// their verifiers look at.
const (
	// size is the instructions of a program with all functions that it calls.
	size = "size"
	// stack is bytes: how deep its deepest chain of calls may be. The kernel takes 512
	// (MAX_BPF_STACK).
	stack = "stack"
)

// each stands for every program that has no line of its own.
const each = "*"

// recorded is the budget of all programs: lines of measure, program and number.
//
//go:embed budget.txt
var recorded string

// budget holds numbers by measure and program.
type budget map[string]map[string]int

func loadBudget(t *testing.T) budget {
	t.Helper()
	b := budget{}
	for line := range strings.Lines(recorded) {
		var measure, program string
		var number int
		if _, err := fmt.Sscan(line, &measure, &program, &number); err != nil {
			t.Fatalf("budget.txt: %q: %v", line, err)
		}
		if b[measure] == nil {
			b[measure] = map[string]int{}
		}
		b[measure][program] = number
	}
	return b
}

// of returns what a program may take of a measure.
func (b budget) of(t *testing.T, measure, program string) int {
	t.Helper()
	if n, ok := b[measure][program]; ok {
		return n
	}
	n, ok := b[measure][each]
	if !ok {
		t.Errorf("budget.txt: no line %s %s", measure, program)
	}
	return n
}

// verified returns how much the verifier of a kernel may look at. A kernel that the file
// doesn't have may look at twice the most that one does which it has.
func (b budget) verified(t *testing.T, kernel, program string) int {
	t.Helper()
	if b[kernel] != nil {
		return b.of(t, kernel, program)
	}
	most := 0
	for measure := range b {
		if measure != size && measure != stack {
			most = max(most, b[measure][program])
		}
	}
	if most == 0 {
		t.Errorf("budget.txt: no kernel's count of %s; run make update-insns", program)
	}
	return 2 * most
}

// checkVerified compares with the recorded count. While counts are recorded it prints
// the new one, for the script that boots the kernel to collect.
func (b budget) checkVerified(t *testing.T, kernel, program string, insns int) {
	t.Helper()
	if recording() {
		fmt.Printf("insns: %s %s %d\n", kernel, program, insns)
		return
	}
	want := b.verified(t, kernel, program)
	if insns*100 > want*(100+growth) {
		t.Errorf("kernel %s: the verifier looks at %d instructions, recorded are %d, and more than %d %% growth needs make update-insns",
			kernel, insns, want, growth)
	}
	t.Logf("kernel %s: %d instructions, recorded %d", kernel, insns, want)
}

// checkGone finds lines of programs that aren't in the object any more.
func (b budget) checkGone(t *testing.T, measure string, programs []string) {
	t.Helper()
	there := map[string]bool{each: true}
	for _, program := range programs {
		there[program] = true
	}
	for program := range b[measure] {
		if !there[program] && !recording() {
			t.Errorf("budget.txt: %s %s: the program is gone", measure, program)
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
