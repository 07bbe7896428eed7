// SPDX-License-Identifier: Apache-2.0

// Package netns makes, finds and enters network namespaces that are named by a
// path: a bind mount like /run/netns/NAME or a link like /proc/PID/ns/net.
//
// Be aware:
//   - namespaces belong to threads. Do runs a function on a thread of its own;
//     goroutines that the function starts are not in the namespace;
//   - /proc/self/ns/net and /proc/net are the first thread's. Nothing here takes
//     that one anywhere, so they always mean the namespace of the process;
//   - a namespace lives as long as a mount, a process, a socket or an open file
//     holds it: Delete removes the name, and the namespace with its last user;
//   - /proc/PID/ns/net names another namespace once the PID is used again, and a
//     bind mount once somebody makes it anew: keep the cookie along with such a
//     path and compare.
package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Errors that callers test for.
var (
	// ErrNotExist is returned for a path that isn't there and for the path of a
	// process that isn't.
	ErrNotExist = fs.ErrNotExist
	// ErrNotNetns is returned for a path that is something else.
	ErrNotNetns = errors.New("not a network namespace")
)

// NS is an open network namespace; it stays alive until Close.
type NS struct {
	path string
	file *os.File
}

// ID tells a namespace from every other one that exists at the same time.
type ID struct {
	Dev, Ino uint64
}

// Open returns the namespace at path, or an error that wraps ErrNotExist or
// ErrNotNetns. The caller closes it.
func Open(path string) (*NS, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, openError(path, err)
	}
	file := os.NewFile(uintptr(fd), path)
	if err := isNetns(fd); err != nil {
		file.Close()
		return nil, fmt.Errorf("namespace %s: %w", path, err)
	}
	return &NS{path: path, file: file}, nil
}

// Current returns the namespace of the calling thread.
func Current() (*NS, error) {
	ns, err := Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	ns.path = "the current one"
	return ns, nil
}

// Check returns nil if there is a network namespace at path.
func Check(path string) error {
	ns, err := Open(path)
	if err != nil {
		return err
	}
	return ns.Close()
}

// Path is what the namespace was opened by.
func (n *NS) Path() string { return n.path }

// Fd returns the descriptor, which is valid until Close.
func (n *NS) Fd() int { return int(n.file.Fd()) }

// Close gives up the reference to the namespace.
func (n *NS) Close() error { return n.file.Close() }

// ID returns what identifies the namespace.
func (n *NS) ID() (ID, error) {
	var st unix.Stat_t
	if err := unix.Fstat(n.Fd(), &st); err != nil {
		return ID{}, fmt.Errorf("namespace %s: stat: %w", n.path, err)
	}
	return ID{Dev: st.Dev, Ino: st.Ino}, nil
}

// Is reports whether the namespace is the one that path names now. It opens
// nothing, so that many paths are asked quickly.
func (id ID) Is(path string) bool {
	var st unix.Stat_t
	return unix.Stat(path, &st) == nil && id == ID{Dev: st.Dev, Ino: st.Ino}
}

// Handle returns a netlink handle whose sockets for the given families
// (unix.NETLINK_ROUTE if none) are in the namespace. The caller closes it.
func (n *NS) Handle(families ...int) (h *netlink.Handle, err error) {
	if len(families) == 0 {
		families = []int{unix.NETLINK_ROUTE}
	}
	// Not netlink.NewHandleAt: that takes any thread there, also the first.
	err = n.Do(func() error {
		h, err = netlink.NewHandle(families...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("namespace %s: open netlink socket: %w", n.path, err)
	}
	return h, nil
}

// Cookie returns the number by which BPF programs know the namespace
// (SO_NETNS_COOKIE, bpf_get_netns_cookie). Until the next boot no other one gets it,
// unlike an ID.
func (n *NS) Cookie() (cookie uint64, err error) {
	err = n.Do(func() error {
		s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("socket: %w", err)
		}
		defer unix.Close(s)
		size := uint32(unsafe.Sizeof(cookie))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(s), unix.SOL_SOCKET, unix.SO_NETNS_COOKIE,
			uintptr(unsafe.Pointer(&cookie)), uintptr(unsafe.Pointer(&size)), 0)
		if errno != 0 {
			return fmt.Errorf("namespace %s: cookie (needs Linux 5.14): %w", n.path, errno)
		}
		return nil
	})
	return cookie, err
}

// Cookie is NS.Cookie for the namespace at path.
func Cookie(path string) (uint64, error) {
	ns, err := Open(path)
	if err != nil {
		return 0, err
	}
	defer ns.Close()
	return ns.Cookie()
}

func openError(path string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("namespace %s: open: %w", path, err)
	}
	if pid, ok := pidOf(path); ok {
		return fmt.Errorf("namespace %s: no process with PID %d: %w", path, pid, ErrNotExist)
	}
	return fmt.Errorf("namespace %s: %w", path, ErrNotExist)
}

func pidOf(path string) (int, bool) {
	rest, ok := strings.CutPrefix(path, "/proc/")
	if !ok {
		return 0, false
	}
	number, _, _ := strings.Cut(rest, "/")
	pid, err := strconv.Atoi(number)
	return pid, err == nil
}

func isNetns(fd int) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return fmt.Errorf("statfs: %w", err)
	}
	if st.Type != unix.NSFS_MAGIC {
		// The file below a namespace's mount stays when the mount is gone, as
		// after a reboot on a disk.
		return ErrNotNetns
	}
	kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	if err != nil {
		return fmt.Errorf("namespace type: %w", err)
	}
	if kind != unix.CLONE_NEWNET {
		return ErrNotNetns
	}
	return nil
}
