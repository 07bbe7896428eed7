// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/fairway-project/fairway/test/progrun/rig"
)

// rewinder runs a program over and over on the same packet. The kernel repeats a
// run on what the last one left, so every repetition begins with writing the
// packet's head anew; what that costs is measured with an empty program.
type rewinder struct {
	h       *rig.Host
	run     rig.Run
	wrapper *ebpf.Program
	next    *ebpf.Map
	empty   *ebpf.Program
}

// head is how much of a packet programs may change.
const head = 128

func newRewinder(b *testing.B, h *rig.Host, run rig.Run) *rewinder {
	b.Helper()
	r := &rewinder{h: h, run: run}
	frame := newMap(b, &ebpf.MapSpec{Name: "frame", Type: ebpf.Array, KeySize: 4, ValueSize: head, MaxEntries: 1})
	r.next = newMap(b, &ebpf.MapSpec{Name: "next", Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	value := make([]byte, head)
	size := copy(value, run.Frame)
	check(b, frame.Put(uint32(0), value))
	r.empty = newProgram(b, "empty", emptyCode())
	r.wrapper = newProgram(b, "rewind", asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.Mov.Imm(asm.R2, 0),
		asm.LoadMapValue(asm.R3, frame.FD(), 0),
		asm.Mov.Imm(asm.R4, int32(size)),
		asm.Mov.Imm(asm.R5, 0),
		asm.FnSkbStoreBytes.Call(),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.LoadMapPtr(asm.R2, r.next.FD()),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnTailCall.Call(),
		asm.Mov.Imm(asm.R0, 99),
		asm.Return(),
	})
	return r
}

// repeat is how many packets one operation of a benchmark is.
const repeat = 1000

// measure runs n times repeat packets and returns the median time of one in ns,
// which neighbours on the machine move less than the mean, and its verdict.
func (r *rewinder) measure(b *testing.B, target *ebpf.Program, n int) (ns float64, action int32) {
	b.Helper()
	check(b, r.next.Put(uint32(0), target))
	times := make([]time.Duration, n)
	var code uint32
	var err error
	r.h.Do(func() {
		for i := range times {
			start := time.Now()
			if code, err = r.wrapper.Run(r.h.Options(r.run, repeat)); err != nil {
				return
			}
			times[i] = time.Since(start)
		}
	})
	check(b, err)
	return median(times) / repeat, int32(code)
}

// median in ns.
func median(times []time.Duration) float64 {
	slices.Sort(times)
	return float64(times[len(times)/2].Nanoseconds())
}

func emptyCode() asm.Instructions {
	return asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}
}

func newMap(b *testing.B, spec *ebpf.MapSpec) *ebpf.Map {
	b.Helper()
	m, err := ebpf.NewMap(spec)
	check(b, err)
	b.Cleanup(func() { check(b, m.Close()) })
	return m
}

func newProgram(b *testing.B, name string, code asm.Instructions) *ebpf.Program {
	b.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: name, Type: ebpf.SchedCLS, License: "Dual BSD/GPL", Instructions: code})
	check(b, err)
	b.Cleanup(func() { check(b, p.Close()) })
	return p
}

func check(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
