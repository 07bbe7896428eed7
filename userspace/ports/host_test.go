// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"errors"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/model"
)

// onHost runs f on a thread in a network namespace of its own, with loopback up.
// The namespace ends with the thread and the sockets that f closes.
func onHost(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done) // also when f ends in t.Fatal
		// Never unlocked: the runtime ends a thread that isn't as it was.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Errorf("new network namespace: %v", err)
			return
		}
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.LinkSetUp(lo)
		}
		if err != nil {
			t.Errorf("loopback: %v", err)
			return
		}
		f(t)
	}()
	<-done
}

// newAllocator is closed at the end of the test, and no descriptor may be left then.
func newAllocator(t *testing.T) *Allocator {
	a := NewAllocator()
	before := openFiles(t)
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		if after := openFiles(t); after > before {
			t.Errorf("%d descriptors are left", after-before)
		}
		if len(a.slots) > 0 || len(a.owners) > 0 {
			t.Errorf("left in the table: %v %v", a.slots, a.owners)
		}
	})
	return a
}

func openFiles(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func setSysctl(t *testing.T, name, value string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(value), 0o644); err != nil {
		t.Fatal(err)
	}
}

// program is a foreign program's socket, with the options that it sets.
type program struct {
	proto     model.Proto
	addr      string
	reuseAddr bool
	reusePort bool
	dual      bool
	bindOnly  bool
}

// start binds and listens as the program would.
func (p program) start(t *testing.T) (fd int, err error) {
	t.Helper()
	at := netip.MustParseAddrPort(p.addr)
	family, kind := unix.AF_INET, unix.SOCK_STREAM
	var sa unix.Sockaddr = &unix.SockaddrInet4{Port: int(at.Port())}
	if at.Addr().Is4() {
		sa.(*unix.SockaddrInet4).Addr = at.Addr().As4()
	} else {
		family, sa = unix.AF_INET6, &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
	}
	if p.proto == model.UDP {
		kind = unix.SOCK_DGRAM
	}
	if fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	// The kernel takes IPv4-mapped addresses for dual-stack sockets only.
	p.dual = p.dual || at.Addr().Is4In6()
	p.setOptions(t, fd, family)
	if err = unix.Bind(fd, sa); err == nil && p.proto == model.TCP && !p.bindOnly {
		err = unix.Listen(fd, 8)
	}
	if err != nil {
		unix.Close(fd)
	}
	return fd, err
}

func (p program) setOptions(t *testing.T, fd, family int) {
	t.Helper()
	set := func(level, opt int, on bool) {
		value := 0
		if on {
			value = 1
		}
		if err := unix.SetsockoptInt(fd, level, opt, value); err != nil {
			t.Fatal(err)
		}
	}
	set(unix.SOL_SOCKET, unix.SO_REUSEADDR, p.reuseAddr)
	set(unix.SOL_SOCKET, unix.SO_REUSEPORT, p.reusePort)
	if family == unix.AF_INET6 {
		set(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, !p.dual)
	}
}

func (p program) mustStart(t *testing.T) (fd int) {
	t.Helper()
	fd, err := p.start(t)
	if err != nil {
		t.Fatalf("%+v: %v", p, err)
	}
	return fd
}

// checkClosedTo wants that no program gets the port at addr, whatever it tries.
func checkClosedTo(t *testing.T, proto model.Proto, addr string) {
	t.Helper()
	for _, p := range []program{
		{}, {reuseAddr: true}, {reusePort: true}, {reuseAddr: true, reusePort: true}, {reuseAddr: true, bindOnly: true},
		{dual: true}, {reuseAddr: true, dual: true},
	} {
		p.proto, p.addr = proto, addr
		fd, err := p.start(t)
		if err == nil {
			unix.Close(fd)
			t.Errorf("a program got the reserved port: %+v", p)
		} else if !errors.Is(err, unix.EADDRINUSE) {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

// checkOpenTo wants that a program gets the port at addr.
func checkOpenTo(t *testing.T, proto model.Proto, addr string) {
	t.Helper()
	fd, err := program{proto: proto, addr: addr}.start(t)
	if err != nil {
		t.Errorf("%s/%s isn't free: %v", addr, proto, err)
		return
	}
	unix.Close(fd)
}
