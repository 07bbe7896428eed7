// SPDX-License-Identifier: Apache-2.0

package prog

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/fairway-project/fairway/test/progrun/testrun"
)

// wrapper runs a program over and over. The kernel repeats a run on what the last
// one left of the packet, so every repetition begins with writing its head anew,
// with the next flow's address, and calls the program then. What that costs an
// empty program tells.
type wrapper struct {
	host    *testrun.Host
	series  series
	program *ebpf.Program
	frame   *ebpf.Map
	next    *ebpf.Map
}

// head is how much of a packet programs may change.
const head = 128

// newWrapper has packets of as many flows, a power of two of at most 65,536.
func newWrapper(h *testrun.Host, s series, v6 bool, flows int, target *ebpf.Program) (w *wrapper, err error) {
	w = &wrapper{host: h, series: s}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("wrapper: %w", err), w.close())
		}
	}()
	// The counter of packets follows the head.
	w.frame, err = ebpf.NewMap(&ebpf.MapSpec{Name: "frame", Type: ebpf.Array, KeySize: 4, ValueSize: head + 8, MaxEntries: 1})
	if err != nil {
		return w, err
	}
	value := make([]byte, head+8)
	size := copy(value[:head], s.Frame)
	if err := w.frame.Put(uint32(0), value); err != nil {
		return w, err
	}
	w.next, err = ebpf.NewMap(&ebpf.MapSpec{Name: "next", Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return w, err
	}
	if err := w.next.Put(uint32(0), target); err != nil {
		return w, err
	}
	w.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "rewind", Type: ebpf.SchedCLS, License: "Dual BSD/GPL", Instructions: w.code(size, v6, flows),
	})
	return w, err
}

func (w *wrapper) code(size int, v6 bool, flows int) asm.Instructions {
	code := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMapValue(asm.R3, w.frame.FD(), 0),
	}
	if w.series.outside != same {
		code = append(code,
			asm.LoadMem(asm.R1, asm.R3, head, asm.Word),
			asm.Mov.Reg(asm.R2, asm.R1),
			asm.Add.Imm(asm.R2, 1),
			asm.StoreMem(asm.R3, head, asm.R2, asm.Word),
			asm.And.Imm(asm.R1, int32(flows-1)),
			asm.StoreMem(asm.R3, w.series.outside.offset(v6), asm.R1, asm.Half),
		)
	}
	return append(code,
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, 0),
		asm.Mov.Imm(asm.R4, int32(size)),
		asm.Mov.Imm(asm.R5, 0),
		asm.FnSkbStoreBytes.Call(),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.LoadMapPtr(asm.R2, w.next.FD()),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnTailCall.Call(),
		asm.Mov.Imm(asm.R0, 99),
		asm.Return(),
	)
}

// run runs packets, returns the time of all, and fails if the last one's action
// isn't this. The caller is on a thread of the host.
func (w *wrapper) run(packets uint32, action int32) (time.Duration, error) {
	opts := w.host.Options(w.series.Run, packets)
	start := time.Now()
	got, err := w.program.Run(opts)
	took := time.Since(start)
	if err != nil {
		return 0, fmt.Errorf("test run: %w", err)
	}
	if int32(got) != action {
		return 0, fmt.Errorf("action %d, want %d", int32(got), action)
	}
	return took, nil
}

func (w *wrapper) close() error {
	var errs []error
	for _, c := range []*ebpf.Map{w.frame, w.next} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	if w.program != nil {
		errs = append(errs, w.program.Close())
	}
	return errors.Join(errs...)
}

// newEmpty is a program that returns at once.
func newEmpty() (*ebpf.Program, error) {
	return ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "empty", Type: ebpf.SchedCLS, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
}
