// SPDX-License-Identifier: Apache-2.0

package testrun

import (
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/object"
)

// Verdicts of the programs, as tc knows them.
const (
	Next     int32 = -1
	Drop     int32 = 2
	Redirect int32 = 7
)

// Program is one of those that see packets.
type Program = object.DatapathProgram

// Short names of them.
const (
	FromContainer = object.DatapathProgramPROG_FROM_CONTAINER
	ToContainer   = object.DatapathProgramPROG_TO_CONTAINER
	FromUplink    = object.DatapathProgramPROG_FROM_UPLINK
	ToUplink      = object.DatapathProgramPROG_TO_UPLINK
	UplinkXDP     = object.DatapathProgramPROG_UPLINK_XDP
)

// Run is one packet through one program.
type Run struct {
	Program Program
	// Device that the program is attached to, and the one that the packet came
	// in on before; "" if it comes from the host itself or has no before.
	Device, Ingress string
	Frame           []byte
	// Generic is the form of the XDP program for the stack's hook.
	Generic bool
	// Segments and SegmentSize make it a GSO packet.
	Segments, SegmentSize uint32
	// TCIndex is the packet's skb->tc_index, which test runs don't take: a program of
	// the rig's sets it.
	TCIndex uint16
	// Tags are VLAN tags, the outermost first, which the kernel has taken out of a
	// frame before programs see it.
	Tags []uint16
}

// Result is what a program made of a packet.
type Result struct {
	Action int32
	Frame  []byte
}

// Programs returns the program that p stands for.
func (h *Host) Program(p Program) *ebpf.Program {
	switch p {
	case FromContainer:
		return h.FromContainer
	case ToContainer:
		return h.ToContainer
	case FromUplink:
		return h.FromUplink
	case ToUplink:
		return h.ToUplink
	case UplinkXDP:
		return h.DatapathPrograms.UplinkXdp
	}
	return nil
}

func (h *Host) program(r Run) *ebpf.Program {
	if r.Generic {
		return h.DatapathPrograms.UplinkXdpGeneric
	}
	return h.Program(r.Program)
}

// Run runs it on the host's thread.
func (h *Host) Run(r Run) (res Result, err error) {
	h.Do(func() { res, err = h.RunHere(r) })
	return res, err
}

// room is what programs may add to a frame.
const room = 256

// RunHere is Run for callers that are on a thread of the host.
func (h *Host) RunHere(r Run) (Result, error) {
	opts := &ebpf.RunOptions{
		Data:    r.Frame,
		DataOut: make([]byte, len(r.Frame)+room),
		Context: h.context(r),
	}
	prog := h.program(r)
	if r.TCIndex != 0 || len(r.Tags) > 0 {
		setter, err := newSetter(prog, r.TCIndex, r.Tags)
		if err != nil {
			return Result{}, err
		}
		defer setter.close()
		prog = setter.prog
	}
	code, err := prog.Run(opts)
	if err != nil {
		return Result{}, fmt.Errorf("run %v on %s: %w", r.Program, r.Device, err)
	}
	action := int32(code)
	if r.Program == UplinkXDP {
		action = actionOfXDP(code)
	}
	return Result{Action: action, Frame: opts.DataOut}, nil
}

// Options returns how the ebpf package runs r, for benchmarks.
func (h *Host) Options(r Run, repeat uint32) *ebpf.RunOptions {
	return &ebpf.RunOptions{Data: r.Frame, Context: h.context(r), Repeat: repeat}
}

// aborted is no verdict that a program may give.
const aborted int32 = 0

// actionOfXDP is enum xdp_action (linux/bpf.h) in the words of tc.
func actionOfXDP(code uint32) int32 {
	switch code {
	case 1:
		return Drop
	case 2:
		return Next
	case 4:
		return Redirect
	}
	return aborted
}

func (h *Host) context(r Run) any {
	if r.Program == UplinkXDP {
		return h.frameContext(r)
	}
	return h.packetContext(r)
}

// frameContext is a struct xdp_md (linux/bpf.h).
func (h *Host) frameContext(r Run) *[6]uint32 {
	const dataEnd, ingress = 1, 3
	var md [6]uint32
	md[dataEnd], md[ingress] = uint32(len(r.Frame)), uint32(h.Index[r.Device])
	return &md
}

// packetContext is a struct __sk_buff (linux/bpf.h) in which only members are set
// that test runs take.
func (h *Host) packetContext(r Run) *[192]byte {
	var b [192]byte
	const ingress, index, segments, segmentSize = 36, 40, 164, 176
	binary.NativeEndian.PutUint32(b[ingress:], uint32(h.Index[r.Ingress]))
	binary.NativeEndian.PutUint32(b[index:], uint32(h.Index[r.Device]))
	binary.NativeEndian.PutUint32(b[segments:], r.Segments)
	binary.NativeEndian.PutUint32(b[segmentSize:], r.SegmentSize)
	return &b
}
