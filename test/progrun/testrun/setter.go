// SPDX-License-Identifier: Apache-2.0

package testrun

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// setter is a program that gives a packet what test runs don't take, and goes on with
// another program.
type setter struct {
	calls *ebpf.Map
	prog  *ebpf.Program
}

// tcIndexOff is where it is in struct __sk_buff (linux/bpf.h).
const tcIndexOff = 44

// etherVLAN is the type of a tag (IEEE 802.1Q) in network byte order.
const etherVLAN = 0x0081

func newSetter(next *ebpf.Program, tcIndex uint16, tags []uint16) (*setter, error) {
	calls, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return nil, fmt.Errorf("setter: %w", err)
	}
	s := &setter{calls: calls}
	if err := calls.Put(uint32(0), next); err != nil {
		return nil, errors.Join(fmt.Errorf("setter: %w", err), s.close())
	}
	s.prog, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "setter", Type: ebpf.SchedCLS, License: "Dual BSD/GPL", Instructions: s.instructions(tcIndex, tags),
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("setter: %w", err), s.close())
	}
	return s, nil
}

// instructions push the innermost tag first: each goes before those that are there.
func (s *setter) instructions(tcIndex uint16, tags []uint16) asm.Instructions {
	ins := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.Mov.Imm(asm.R2, int32(tcIndex)),
		asm.StoreMem(asm.R6, tcIndexOff, asm.R2, asm.Word),
	}
	for _, tag := range slices.Backward(tags) {
		ins = append(ins,
			asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, etherVLAN), asm.Mov.Imm(asm.R3, int32(tag)),
			asm.FnSkbVlanPush.Call())
	}
	return append(ins,
		asm.Mov.Reg(asm.R1, asm.R6), asm.LoadMapPtr(asm.R2, s.calls.FD()), asm.Mov.Imm(asm.R3, 0),
		asm.FnTailCall.Call(),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return())
}

func (s *setter) close() error {
	if s.prog != nil {
		s.prog.Close()
	}
	return s.calls.Close()
}
