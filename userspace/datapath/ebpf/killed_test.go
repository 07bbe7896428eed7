// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// killedAfter makes calls of which no write to a map succeeds after the first n, and then begins
// again with what the kernel has: that is what a process leaves which is killed there. It reports
// whether the calls came so far.
func (w *world) killedAfter(n int, calls ...func(context.Context) error) (killed bool) {
	w.t.Helper()
	// What runs in the background would go on writing.
	w.dp.stop()
	<-w.dp.done
	w.dp.services.table.SwapInline()
	var failed error
	w.do(func() error {
		// The thread stays as it is for good, so nobody else is to get it.
		runtime.LockOSThread()
		stop, err := refuseWritesAfter(n)
		if err != nil {
			return err
		}
		for _, call := range calls {
			if failed == nil {
				failed = call(context.Background())
			}
		}
		killed = stop()
		return nil
	})
	if failed != nil && !killed {
		w.t.Fatal(failed)
	}
	w.dp.mu.Lock()
	w.dp.ports.takeMoved()
	w.dp.ports.takeClosed()
	w.dp.addresses.takeLost()
	w.dp.services.takeEnded()
	w.dp.mu.Unlock()
	w.restart()
	return killed
}

// refuseWritesAfter has the calling thread's writes to maps fail, but for the first n. stop ends
// that and reports whether one did.
func refuseWritesAfter(n int) (stop func() bool, err error) {
	fd, err := listenToWrites()
	if err != nil {
		return nil, err
	}
	var stopped, refused atomic.Bool
	done := make(chan error, 1)
	go func() { done <- answerWrites(fd, n, &stopped, &refused) }()
	return func() bool {
		stopped.Store(true)
		if err := errors.Join(<-done, unix.Close(fd)); err != nil {
			panic(err)
		}
		return refused.Load()
	}, nil
}

// notification and response are struct seccomp_notif and seccomp_notif_resp (linux/seccomp.h).
type notification struct {
	id         uint64
	pid, flags uint32
	data       [64]byte
}

type response struct {
	id    uint64
	val   int64
	error int32
	flags uint32
}

func answerWrites(fd, n int, stopped, refused *atomic.Bool) error {
	const goOn = 1 // SECCOMP_USER_NOTIF_FLAG_CONTINUE
	for !stopped.Load() {
		if ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 1); ready == 0 || err == unix.EINTR {
			continue
		} else if err != nil {
			return err
		}
		var ask notification
		if err := control(fd, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&ask)); err != nil {
			return err
		}
		answer := response{id: ask.id, flags: goOn}
		if n--; n < 0 {
			refused.Store(true)
			answer.flags, answer.error = 0, -int32(unix.EPERM)
		}
		if err := control(fd, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&answer)); err != nil {
			return err
		}
	}
	return nil
}

func control(fd int, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

// listenToWrites returns where the kernel asks before the calling thread writes to a map, or runs
// a program on one.
func listenToWrites() (fd int, err error) {
	const (
		offNumber, offCommand = 0, 16                  // struct seccomp_data
		allow, ask            = 0x7fff0000, 0x7fc00000 // SECCOMP_RET_ALLOW, SECCOMP_RET_USER_NOTIF
	)
	// enum bpf_cmd: update, delete, look up and delete, test run, and in batches.
	commands := []uint32{2, 3, 10, 21, 25, 26, 27}
	load := func(off uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: off}
	}
	equal := func(k uint32, yes, no int) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jt: uint8(yes), Jf: uint8(no)}
	}
	filter := []unix.SockFilter{load(offNumber), equal(unix.SYS_BPF, 0, len(commands)+1), load(offCommand)}
	for i, c := range commands {
		filter = append(filter, equal(c, len(commands)-i, 0))
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET, K: allow}, unix.SockFilter{Code: unix.BPF_RET, K: ask})
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	const setFilter, newListener = 1, 1 << 3 // SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER
	r, _, errno := unix.Syscall(unix.SYS_SECCOMP, setFilter, newListener, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}
