// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/model"
)

var both = Families{IPv4: true, IPv6: true}

// noAddr is no default address.
var noAddr netip.Addr

// parse reads arguments of -p.
func parse(t interface{ Fatal(...any) }, args []string) (all []model.PortSpec) {
	for _, arg := range args {
		specs, err := ParseSpec(arg)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, specs...)
	}
	return all
}

// allocate parses the specs and returns the publications in short.
func allocate(t *testing.T, a *Allocator, owner string, fam Families, args ...string) ([]string, error) {
	t.Helper()
	specs := parse(t, args)
	published, err := a.Allocate(owner, specs, fam, netip.Addr{})
	var list []string
	for _, p := range published {
		list = append(list, p.String())
	}
	return list, err
}

func mustAllocate(t *testing.T, a *Allocator, owner string, args ...string) []string {
	t.Helper()
	list, err := allocate(t, a, owner, both, args...)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func checkList(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
}

func TestReservedPortsAreClosedToPrograms(t *testing.T) {
	for _, proto := range []model.Proto{model.TCP, model.UDP} {
		t.Run(proto.String(), func(t *testing.T) {
			onHost(t, func(t *testing.T) {
				a := newAllocator(t)
				got := mustAllocate(t, a, "web", "8080:80/"+proto.String())
				checkList(t, got, "0.0.0.0:8080->80/"+proto.String(), "[::]:8080->80/"+proto.String())
				for _, addr := range []string{"0.0.0.0:8080", "127.0.0.1:8080", "127.1.2.3:8080", "[::]:8080", "[::1]:8080"} {
					checkClosedTo(t, proto, addr)
				}
				a.Release("web")
				a.Release("web")
				checkOpenTo(t, proto, "0.0.0.0:8080")
				checkOpenTo(t, proto, "[::]:8080")
			})
		})
	}
}

func TestReservationDoesNotListen(t *testing.T) {
	onHost(t, func(t *testing.T) {
		mustAllocate(t, newAllocator(t), "web", "8080:80")
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: 8080, Addr: [4]byte{127, 0, 0, 1}}); err != unix.ECONNREFUSED {
			t.Errorf("connect: %v", err)
		}
	})
}

func TestReservedPortIsNoSourcePort(t *testing.T) {
	onHost(t, func(t *testing.T) {
		mustAllocate(t, newAllocator(t), "web", "127.0.0.9:40000:80")
		setSysctl(t, "ip_local_port_range", "40000 40000")
		listener := program{proto: model.TCP, addr: "127.0.0.1:9"}.mustStart(t)
		defer unix.Close(listener)
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: 9, Addr: [4]byte{127, 0, 0, 1}}); err != unix.EADDRNOTAVAIL {
			t.Errorf("connect: %v", err)
		}
	})
}

func TestTakenByProgram(t *testing.T) {
	for name, p := range map[string]program{
		"tcp":            {proto: model.TCP, addr: "0.0.0.0:8080"},
		"tcp reuse":      {proto: model.TCP, addr: "127.0.0.1:8080", reuseAddr: true, reusePort: true},
		"tcp dual stack": {proto: model.TCP, addr: "[::]:8080", reuseAddr: true, dual: true},
		"tcp6":           {proto: model.TCP, addr: "[::1]:8080", reuseAddr: true},
		"udp":            {proto: model.UDP, addr: "127.0.0.1:8080"},
		"udp reuse":      {proto: model.UDP, addr: "0.0.0.0:8080", reuseAddr: true, reusePort: true},
	} {
		t.Run(name, func(t *testing.T) {
			onHost(t, func(t *testing.T) {
				a := newAllocator(t)
				fd := p.mustStart(t)
				defer unix.Close(fd)
				got, err := allocate(t, a, "web", both, "7000:70", "8080:80/"+p.proto.String(), "::90")
				if !errors.Is(err, ErrInUse) || errors.Is(err, ErrAllocated) || got != nil {
					t.Errorf("got %v, %v", got, err)
				}
				if n := a.Len(); n != 0 {
					t.Errorf("%d reservations are left", n)
				}
				checkOpenTo(t, model.TCP, "0.0.0.0:7000")
			})
		})
	}
}

func TestErrorTexts(t *testing.T) {
	onHost(t, func(t *testing.T) {
		a := newAllocator(t)
		fd := program{proto: model.UDP, addr: "127.0.0.1:53"}.mustStart(t)
		defer unix.Close(fd)
		mustAllocate(t, a, "web", "8080:80", "[::1]:9090:90")
		for arg, want := range map[string]string{
			"8080:80":               "bind for 0.0.0.0:8080 failed: port is already allocated",
			"[::1]:9090:1":          "bind for [::1]:9090 failed: port is already allocated",
			"127.0.0.1:53:53/udp":   "bind host port 127.0.0.1:53/udp: address already in use",
			"192.0.2.1:80:80":       "bind host port 192.0.2.1:80/tcp: 192.0.2.1 is not an address of this host",
			"127.0.0.1:53-53:1/udp": "bind host port 127.0.0.1:53/udp: address already in use",
			"[::1]:9089-9090:1-2":   "bind for [::1]:9090 failed: port is already allocated",
		} {
			_, err := allocate(t, a, "other", both, arg)
			if err == nil || err.Error() != want {
				t.Errorf("%s: got %v, want %s", arg, err, want)
			}
		}
		var taken *TakenError
		_, err := allocate(t, a, "other", both, "8080:80")
		if !errors.As(err, &taken) || taken.Owner != "web" || !errors.Is(err, ErrAllocated) {
			t.Errorf("got %#v, want the owner", err)
		}
		if a.Len() != 3 {
			t.Errorf("%d reservations after refusals", a.Len())
		}
	})
}

func TestFamiliesAndDefaultAddress(t *testing.T) {
	onHost(t, func(t *testing.T) {
		a := newAllocator(t)
		got, err := allocate(t, a, "four", Families{IPv4: true}, "1001:80")
		if err != nil {
			t.Fatal(err)
		}
		checkList(t, got, "0.0.0.0:1001->80/tcp")
		got, err = allocate(t, a, "six", Families{IPv6: true}, "1001:80")
		if err != nil {
			t.Fatal(err)
		}
		checkList(t, got, "[::]:1001->80/tcp")
		specs := []model.PortSpec{spec(80, model.TCP, "", 1002, 1002), spec(81, model.TCP, "127.0.0.2", 1003, 1003)}
		published, err := a.Allocate("def", specs, both, netip.MustParseAddr("127.0.0.1"))
		if err != nil || len(published) != 2 || published[0].HostIP.String() != "127.0.0.1" || published[1].HostIP.String() != "127.0.0.2" {
			t.Errorf("got %v, %v", published, err)
		}
		published, err = a.Allocate("zero", []model.PortSpec{spec(80, model.TCP, "", 1004, 1004)}, both, netip.IPv4Unspecified())
		if err != nil || len(published) != 2 {
			t.Errorf("default 0.0.0.0: got %v, %v", published, err)
		}
		if diff := cmp.Diff(published, a.Published("zero"), compareAddr); diff != "" {
			t.Errorf("Published (-want +got):\n%s", diff)
		}
	})
}

func TestSCTP(t *testing.T) {
	onHost(t, func(t *testing.T) {
		a := newAllocator(t)
		got := mustAllocate(t, a, "web", "3868:3868/sctp")
		checkList(t, got, "0.0.0.0:3868->3868/sctp", "[::]:3868->3868/sctp")
		if _, err := allocate(t, a, "other", both, "3868:1/sctp"); !errors.Is(err, ErrAllocated) {
			t.Errorf("got %v, want %v", err, ErrAllocated)
		}
		mustAllocate(t, a, "other", "3868:1/tcp")
	})
}

func TestTimeWaitIsNoObstacle(t *testing.T) {
	onHost(t, func(t *testing.T) {
		p := program{proto: model.TCP, addr: "127.0.0.1:8080", reuseAddr: true}
		leaveTimeWait(t, p)
		// A bind without SO_REUSEADDR is refused: the socket is there.
		if fd, err := (program{proto: model.TCP, addr: p.addr, bindOnly: true}).start(t); err == nil {
			unix.Close(fd)
			t.Fatal("no socket in TIME_WAIT, the test shows nothing")
		}
		mustAllocate(t, newAllocator(t), "web", "8080:80")
		checkClosedTo(t, model.TCP, "127.0.0.1:8080")
		checkClosedTo(t, model.TCP, "0.0.0.0:8080")
	})
}

// leaveTimeWait serves one connection and closes it first.
func leaveTimeWait(t *testing.T, p program) {
	t.Helper()
	at := netip.MustParseAddrPort(p.addr)
	listener := p.mustStart(t)
	client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(client, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}); err != nil {
		t.Fatal(err)
	}
	server, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range []int{server, client, listener} {
		if err := unix.Close(fd); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTenThousandPorts(t *testing.T) {
	onHost(t, func(t *testing.T) {
		a := newAllocator(t)
		for range 100 {
			if _, err := allocate(t, a, "web", Families{IPv4: true}, "1-100"); err != nil {
				t.Fatal(err)
			}
		}
		if n := a.Len(); n != 10000 {
			t.Errorf("%d reservations", n)
		}
		a.Release("web")
		if n := a.Len(); n != 0 {
			t.Errorf("%d reservations after the release", n)
		}
	})
}
