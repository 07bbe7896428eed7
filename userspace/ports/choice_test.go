// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/model"
)

func TestEphemeralPortsGoUpwards(t *testing.T) {
	onHost(t, func(t *testing.T) {
		setSysctl(t, "ip_local_port_range", "40000 40007")
		setSysctl(t, "ip_local_reserved_ports", "39000,40001-40002,40006")
		six := program{proto: model.TCP, addr: "[::1]:40003"}.mustStart(t)
		defer unix.Close(six)
		a := newAllocator(t)
		checkList(t, mustAllocate(t, a, "a", "80", "81"),
			"0.0.0.0:40000->80/tcp", "[::]:40000->80/tcp", "0.0.0.0:40004->81/tcp", "[::]:40004->81/tcp")
		checkList(t, mustAllocate(t, a, "u", "80/udp"), "0.0.0.0:40000->80/udp", "[::]:40000->80/udp")
		a.Release("a")
		checkList(t, mustAllocate(t, a, "b", "80"), "0.0.0.0:40005->80/tcp", "[::]:40005->80/tcp")
		checkList(t, mustAllocate(t, a, "c", "127.0.0.1::80"), "127.0.0.1:40007->80/tcp")
		checkList(t, mustAllocate(t, a, "d", "80"), "0.0.0.0:40000->80/tcp", "[::]:40000->80/tcp")
		checkList(t, mustAllocate(t, a, "e", "127.0.0.1::80"), "127.0.0.1:40003->80/tcp")
		mustAllocate(t, a, "f", "80")
		if _, err := allocate(t, a, "g", both, "80"); !errors.Is(err, ErrExhausted) {
			t.Errorf("got %v, want %v", err, ErrExhausted)
		}
	})
}

func TestSamePortForAllAddressesOfARequest(t *testing.T) {
	onHost(t, func(t *testing.T) {
		setSysctl(t, "ip_local_port_range", "40000 40009")
		six := program{proto: model.TCP, addr: "[::1]:40000"}.mustStart(t)
		defer unix.Close(six)
		a := newAllocator(t)
		checkList(t, mustAllocate(t, a, "a", "127.0.0.1::80", "[::1]::80"), "127.0.0.1:40001->80/tcp", "[::1]:40001->80/tcp")
		checkList(t, mustAllocate(t, a, "b", "127.0.0.1::80", "127.0.0.1::80"), "127.0.0.1:40002->80/tcp", "127.0.0.1:40003->80/tcp")
	})
}

func TestRangeTakesFirstFree(t *testing.T) {
	onHost(t, func(t *testing.T) {
		fd := program{proto: model.TCP, addr: "0.0.0.0:8001"}.mustStart(t)
		defer unix.Close(fd)
		a := newAllocator(t)
		four := Families{IPv4: true}
		for owner, want := range []string{"0.0.0.0:8000->80/tcp", "0.0.0.0:8002->80/tcp"} {
			got, err := allocate(t, a, string(rune('a'+owner)), four, "8000-8002:80")
			if err != nil {
				t.Fatal(err)
			}
			checkList(t, got, want)
		}
		_, err := allocate(t, a, "c", four, "9999:99", "8000-8002:80")
		if !errors.Is(err, ErrExhausted) || err.Error() != "host ports 8000-8002 of 0.0.0.0 for port 80/tcp: all ports are allocated" {
			t.Errorf("got %v", err)
		}
		checkOpenTo(t, model.TCP, "0.0.0.0:9999")
		a.Release("a")
		got, err := allocate(t, a, "c", four, "8000-8002:80")
		if err != nil {
			t.Fatal(err)
		}
		checkList(t, got, "0.0.0.0:8000->80/tcp")
	})
}

// TestExactPortsComeFirst: the choice doesn't take what the next spec names.
func TestExactPortsComeFirst(t *testing.T) {
	onHost(t, func(t *testing.T) {
		setSysctl(t, "ip_local_port_range", "8000 8005")
		got, err := allocate(t, newAllocator(t), "a", Families{IPv4: true}, "79", "8000-8001:80", "8000:81")
		if err != nil {
			t.Fatal(err)
		}
		checkList(t, got, "0.0.0.0:8002->79/tcp", "0.0.0.0:8001->80/tcp", "0.0.0.0:8000->81/tcp")
	})
}

func TestRestore(t *testing.T) {
	onHost(t, func(t *testing.T) {
		a := newAllocator(t)
		published, err := a.Allocate("web", []model.PortSpec{spec(80, model.TCP, "", 80, 80), spec(53, model.UDP, "127.0.0.1", 53, 53)}, both, noAddr)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		fd := program{proto: model.UDP, addr: "127.0.0.1:53"}.mustStart(t)
		b := newAllocator(t)
		failures := b.Restore("web", published)
		if len(failures) != 1 || !errors.Is(failures[0], ErrInUse) || failures[0].HostPort != 53 {
			t.Errorf("got %v", failures)
		}
		checkClosedTo(t, model.TCP, "0.0.0.0:80")
		if _, err := allocate(t, b, "other", both, "127.0.0.1:53:53/udp"); !errors.Is(err, ErrAllocated) {
			t.Errorf("a port in force: got %v, want %v", err, ErrAllocated)
		}
		if failures := b.Restore("other", published[:1]); len(failures) != 1 || !errors.Is(failures[0], ErrAllocated) {
			t.Errorf("another's port: got %v", failures)
		}
		if err := unix.Close(fd); err != nil {
			t.Fatal(err)
		}
		if failures := b.Restore("web", published); len(failures) != 0 {
			t.Errorf("again: %v", failures)
		}
		checkClosedTo(t, model.UDP, "127.0.0.1:53")
		if b.Len() != 3 {
			t.Errorf("%d reservations", b.Len())
		}
	})
}
