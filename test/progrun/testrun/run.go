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
)

// Run is one packet through one program.
type Run struct {
	Program Program
	// Device that the program is attached to, and the one that the packet came
	// in on before; "" if it comes from the host itself or has no before.
	Device, Ingress string
	Frame           []byte
	// Segments and SegmentSize make it a GSO packet.
	Segments, SegmentSize uint32
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
	}
	return nil
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
	code, err := h.Program(r.Program).Run(opts)
	if err != nil {
		return Result{}, fmt.Errorf("run %v on %s: %w", r.Program, r.Device, err)
	}
	return Result{Action: int32(code), Frame: opts.DataOut}, nil
}

// Options returns how the ebpf package runs r, for benchmarks.
func (h *Host) Options(r Run, repeat uint32) *ebpf.RunOptions {
	return &ebpf.RunOptions{Data: r.Frame, Context: h.context(r), Repeat: repeat}
}

// context is a struct __sk_buff (linux/bpf.h) in which only members are set that
// test runs take.
func (h *Host) context(r Run) *[192]byte {
	var b [192]byte
	const ingress, index, segments, segmentSize = 36, 40, 164, 176
	binary.NativeEndian.PutUint32(b[ingress:], uint32(h.Index[r.Ingress]))
	binary.NativeEndian.PutUint32(b[index:], uint32(h.Index[r.Device]))
	binary.NativeEndian.PutUint32(b[segments:], r.Segments)
	binary.NativeEndian.PutUint32(b[segmentSize:], r.SegmentSize)
	return &b
}
