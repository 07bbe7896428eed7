// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"errors"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/model"
)

// withoutIPv6 makes socket(2) answer this thread as a kernel without IPv6 does.
// The filter ends with the thread, see onHost.
func withoutIPv6(t *testing.T) {
	t.Helper()
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	skipUnless := func(value uint32, skip uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: value, Jf: skip}
	}
	answer := func(value uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: value}
	}
	// struct seccomp_data has the call's number at 0 and its first argument at 16.
	program := []unix.SockFilter{
		load(0), skipUnless(unix.SYS_SOCKET, 3), load(16), skipUnless(unix.AF_INET6, 1),
		answer(unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT)), answer(unix.SECCOMP_RET_ALLOW),
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&filter)), 0, 0); err != nil {
		t.Fatal(err)
	}
}

func TestKernelWithoutIPv6(t *testing.T) {
	onHost(t, func(t *testing.T) {
		withoutIPv6(t)
		a := newAllocator(t)
		checkOpened(t, 2, func() {
			checkList(t, mustAllocate(t, a, "web", "80:80", "53:53/udp"), "0.0.0.0:80->80/tcp", "0.0.0.0:53->53/udp")
		})
		checkClosedTo(t, model.TCP, "127.0.0.1:80")
		if a.Len() != 2 {
			t.Errorf("%d reservations", a.Len())
		}
		if _, err := allocate(t, a, "six", both, "[::]:81:81"); !errors.Is(err, errNoFamily) {
			t.Errorf("[::] by name: got %v, want %v", err, errNoFamily)
		}
		// Saved when the kernel had IPv6.
		a.Release("web")
		failures := a.Restore("web", pair80)
		if len(failures) != 1 || failures[0].PublishedPort != pair80[1] || !errors.Is(failures[0], errNoFamily) {
			t.Errorf("restore: got %v", failures)
		}
		checkClosedTo(t, model.TCP, "127.0.0.1:80")
	})
}
