// SPDX-License-Identifier: Apache-2.0

package testrun

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// setter is a program that sets tc_index and goes on with another program.
type setter struct {
	calls *ebpf.Map
	prog  *ebpf.Program
}

// tcIndexOff is where it is in struct __sk_buff (linux/bpf.h).
const tcIndexOff = 44

func newSetter(next *ebpf.Program, tcIndex uint16) (*setter, error) {
	calls, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return nil, fmt.Errorf("setter: %w", err)
	}
	s := &setter{calls: calls}
	if err := calls.Put(uint32(0), next); err != nil {
		return nil, errors.Join(fmt.Errorf("setter: %w", err), s.close())
	}
	s.prog, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "set_tc_index", Type: ebpf.SchedCLS, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{
			asm.Mov.Imm(asm.R2, int32(tcIndex)),
			asm.StoreMem(asm.R1, tcIndexOff, asm.R2, asm.Word),
			asm.LoadMapPtr(asm.R2, calls.FD()),
			asm.Mov.Imm(asm.R3, 0),
			asm.FnTailCall.Call(),
			asm.Mov.Imm(asm.R0, 0),
			asm.Return(),
		},
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("setter: %w", err), s.close())
	}
	return s, nil
}

func (s *setter) close() error {
	if s.prog != nil {
		s.prog.Close()
	}
	return s.calls.Close()
}
