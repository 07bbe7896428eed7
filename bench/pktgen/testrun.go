// SPDX-License-Identifier: Apache-2.0

package pktgen

import (
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// testRun is the part of union bpf_attr that BPF_PROG_TEST_RUN uses.
type testRun struct {
	progFD, retval            uint32
	dataSizeIn, dataSizeOut   uint32
	dataIn, dataOut           uint64
	repeat, duration          uint32
	ctxSizeIn, ctxSizeOut     uint32
	ctxIn, ctxOut             uint64
	flags, cpu, batchSize, _1 uint32
}

// runLive has the kernel run a program count times, each time on a frame that is
// then sent where the program says, and returns how long one took on average. That
// is the kernel's own measurement: a system call also waits twice for all CPUs, for
// some 20 ms, while the program is made known and unknown (bpf_prog_change_xdp).
func runLive(fd int, frame []byte, count uint32) (each time.Duration, err error) {
	attr := testRun{
		progFD: uint32(fd), dataSizeIn: uint32(len(frame)), dataIn: uint64(uintptr(unsafe.Pointer(&frame[0]))),
		repeat: count, flags: unix.BPF_F_TEST_XDP_LIVE_FRAMES,
	}
	_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_TEST_RUN, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(frame)
	if errno != 0 {
		return 0, fmt.Errorf("run with live frames (Linux 5.18 or later): %w", errno)
	}
	return time.Duration(attr.duration), nil
}
