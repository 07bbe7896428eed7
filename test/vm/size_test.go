// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/fairway-project/fairway/maps/object"
)

// frameUnit is what the verifier rounds each function's stack up to, in bytes; since 6.8
// it is 16 where programs are compiled to machine code (round_up_stack_depth).
const frameUnit = 32

// TestStackDepth compares what each program's deepest chain of calls needs with what
// budget.txt allows, so that a change which eats up the room is seen where it is made, and
// not by the next one, on another kernel.
func TestStackDepth(t *testing.T) {
	spec, err := object.LoadDatapath()
	if err != nil {
		t.Fatal(err)
	}
	b := loadBudget(t)
	for name, program := range spec.Programs {
		depth, chain := deepest(framesOf(program), name)
		if want := b.of(t, stack, name); depth > want {
			t.Errorf("%s: budget.txt allows %d bytes, %s need %d", name, want, strings.Join(chain, " → "), depth)
		}
		t.Logf("%s: %d bytes: %s", name, depth, strings.Join(chain, " → "))
	}
	b.checkGone(t, stack, slices.Collect(maps.Keys(spec.Programs)))
}

// TestSize holds programs to the number of instructions that budget.txt allows: what a
// program costs a kernel that loads it grows with the square of that, since for each call of
// a helper that it inlines it copies the whole program.
func TestSize(t *testing.T) {
	spec, err := object.LoadDatapath()
	if err != nil {
		t.Fatal(err)
	}
	b := loadBudget(t)
	for name, program := range spec.Programs {
		got := int(program.Instructions.Size() / asm.InstructionSize)
		if want := b.of(t, size, name); got > want {
			t.Errorf("%s: %d instructions, budget.txt allows %d", name, got, want)
		}
		t.Logf("%s: %d instructions", name, got)
	}
	b.checkGone(t, size, slices.Collect(maps.Keys(spec.Programs)))
}

// frame is a function's stack in bytes, and whom it calls.
type frame struct {
	size  int
	calls []string
}

// framesOf reads the stack of a program's functions off their instructions: the lowest
// offset from the frame pointer that any of them uses.
func framesOf(program *ebpf.ProgramSpec) map[string]*frame {
	frames := map[string]*frame{}
	var in *frame
	var pointers map[asm.Register]bool
	for _, ins := range program.Instructions {
		if name := ins.Symbol(); name != "" && frames[name] == nil {
			in, pointers = &frame{}, map[asm.Register]bool{asm.RFP: true}
			frames[name] = in
		}
		if ins.IsFunctionCall() {
			in.calls = append(in.calls, ins.Reference())
		}
		in.size = max(in.size, -lowest(ins, pointers))
	}
	return frames
}

// lowest returns the offset from the frame pointer that an instruction refers to, 0 if
// none. pointers holds the registers that are copies of it.
func lowest(ins asm.Instruction, pointers map[asm.Register]bool) int {
	switch class := ins.OpCode.Class(); {
	case class == asm.LdXClass && pointers[ins.Src], (class == asm.StXClass || class == asm.StClass) && pointers[ins.Dst]:
		return int(ins.Offset)
	case class != asm.ALU64Class:
		return 0
	case ins.OpCode.ALUOp() == asm.Mov:
		pointers[ins.Dst] = ins.OpCode.Source() == asm.RegSource && pointers[ins.Src] || ins.Dst == asm.RFP
	case ins.OpCode.ALUOp() == asm.Add && ins.OpCode.Source() == asm.ImmSource && pointers[ins.Dst]:
		pointers[ins.Dst] = false
		return int(ins.Constant)
	}
	return 0
}

// deepest returns the bytes that the deepest chain of calls from a function on takes, as
// the verifier counts them, and the chain.
func deepest(frames map[string]*frame, name string) (int, []string) {
	var below int
	var chain []string
	slices.Sort(frames[name].calls)
	for _, called := range slices.Compact(frames[name].calls) {
		if depth, calls := deepest(frames, called); depth > below {
			below, chain = depth, calls
		}
	}
	size := max(frames[name].size, 1)
	rounded := (size + frameUnit - 1) / frameUnit * frameUnit
	return rounded + below, slices.Insert(chain, 0, fmt.Sprintf("%s (%d)", name, size))
}
