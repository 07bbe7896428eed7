// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"errors"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/model"
)

// pair80 is what 80:80 publishes.
var pair80 = []model.PublishedPort{
	{Port: model.Port{Num: 80, Proto: model.TCP}, HostIP: netip.IPv4Unspecified(), HostPort: 80},
	{Port: model.Port{Num: 80, Proto: model.TCP}, HostIP: netip.IPv6Unspecified(), HostPort: 80},
}

// checkOpened wants that f opens so many descriptors.
func checkOpened(t *testing.T, want int, f func()) {
	t.Helper()
	before := openFiles(t)
	f()
	if got := openFiles(t) - before; got != want {
		t.Errorf("%d descriptors opened, want %d", got, want)
	}
}

func TestOneDescriptorForBothFamilies(t *testing.T) {
	onHost(t, func(t *testing.T) {
		a := newAllocator(t)
		for _, specs := range [][]string{
			{"80:80"}, {"80:80/udp"}, {"90"}, {"8000-8002:91"}, {"0.0.0.0:70:70", "[::]:70:70"},
			{"[::]:71:71", "127.0.0.1:71:71", "0.0.0.0:71:71", "[::1]:71:71"},
		} {
			checkOpened(t, max(1, len(specs)-1), func() { mustAllocate(t, a, "web", specs...) })
		}
		published := a.Published("web")
		checkOpened(t, -8, func() { a.Release("web") })
		checkOpened(t, 8, func() {
			if failures := a.Restore("web", published); len(failures) > 0 {
				t.Error(failures)
			}
		})
		checkOpened(t, 0, func() { a.Restore("web", published) })
	})
}

func TestSharedSocketIsClosedToPrograms(t *testing.T) {
	for _, proto := range []model.Proto{model.TCP, model.UDP} {
		t.Run(proto.String(), func(t *testing.T) {
			onHost(t, func(t *testing.T) {
				checkOpened(t, 1, func() { mustAllocate(t, newAllocator(t), "web", "80:80/"+proto.String()) })
				for _, addr := range []string{
					"0.0.0.0:80", "127.0.0.1:80", "127.1.2.3:80", "[::]:80", "[::1]:80", "[::ffff:127.0.0.1]:80", "[::ffff:0.0.0.0]:80",
				} {
					checkClosedTo(t, proto, addr)
				}
			})
		})
	}
}

// TestTenThousandPortsInFewFiles: a host where root may not raise its limit.
func TestTenThousandPortsInFewFiles(t *testing.T) {
	onHost(t, func(t *testing.T) {
		var now unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); err != nil {
			t.Fatal(err)
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 12000, Max: now.Max}); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &now); err != nil {
				t.Error(err)
			}
		}()
		a := newAllocator(t)
		checkOpened(t, 10000, func() {
			for range 100 {
				mustAllocate(t, a, "web", "1-100")
			}
		})
		published := a.Published("web")
		a.Release("web")
		checkOpened(t, 10000, func() {
			if failures := a.Restore("web", published); len(failures) > 0 {
				t.Error(failures[0])
			}
		})
		_, err := allocate(t, a, "more", both, "1-2500")
		if !errors.Is(err, ErrTooManyFiles) || a.Len() != 20000 {
			t.Errorf("above the limit: got %v and %d reservations", err, a.Len())
		}
	})
}

// TestTakenHalfIsNamed: the error tells the family that is taken, and Restore
// keeps the other one.
func TestTakenHalfIsNamed(t *testing.T) {
	for held, want := range map[string]struct {
		text string
		half int
	}{
		"0.0.0.0:80":   {"bind host port 0.0.0.0:80/tcp: address already in use", 0},
		"127.0.0.1:80": {"bind host port 0.0.0.0:80/tcp: address already in use", 0},
		"[::]:80":      {"bind host port [::]:80/tcp: address already in use", 1},
		"[::1]:80":     {"bind host port [::]:80/tcp: address already in use", 1},
	} {
		t.Run(held, func(t *testing.T) {
			onHost(t, func(t *testing.T) {
				a := newAllocator(t)
				fd := program{proto: model.TCP, addr: held, reuseAddr: true}.mustStart(t)
				if _, err := allocate(t, a, "web", both, "80:80"); err == nil || err.Error() != want.text {
					t.Errorf("got %v, want %s", err, want.text)
				}
				failures := a.Restore("web", pair80)
				if len(failures) != 1 || failures[0].PublishedPort != pair80[want.half] || failures[0].Err.Error() != want.text {
					t.Errorf("restore: got %v, want %s", failures, want.text)
				}
				checkClosedTo(t, model.TCP, []string{"[::1]:80", "127.0.0.1:80"}[want.half])
				if err := unix.Close(fd); err != nil {
					t.Fatal(err)
				}
				if failures := a.Restore("web", pair80); len(failures) > 0 {
					t.Errorf("again: %v", failures)
				}
				checkClosedTo(t, model.TCP, held)
			})
		})
	}
}

// TestOneHalfGoes: what is left of a pair holds its own family only, and the
// shared socket goes with its second user.
func TestOneHalfGoes(t *testing.T) {
	addrs := []string{"127.0.0.1:80", "[::1]:80"}
	for stays := range pair80 {
		t.Run(addrs[stays], func(t *testing.T) {
			onHost(t, func(t *testing.T) {
				a := newAllocator(t)
				mustAllocate(t, a, "web", "80:80")
				checkOpened(t, 0, func() {
					a.Release("web")
					if failures := a.Restore("web", pair80[stays:stays+1]); len(failures) > 0 {
						t.Error(failures)
					}
				})
				checkClosedTo(t, model.TCP, addrs[stays])
				checkOpenTo(t, model.TCP, addrs[1-stays])
				a.Release("web")

				mustAllocate(t, a, "web", "80:80")
				halves := append([]*reservation{}, a.owners["web"]...)
				checkOpened(t, 0, func() { a.remove(halves[1-stays : 2-stays]) })
				checkClosedTo(t, model.TCP, addrs[stays])
				checkOpened(t, -1, func() { a.remove(halves[stays : stays+1]) })
				checkOpenTo(t, model.TCP, addrs[0])
				checkOpenTo(t, model.TCP, addrs[1])
			})
		})
	}
}

// TestForeignUDPBesideNeighbour: the neighbour in one family doesn't hide a
// program in the other.
func TestForeignUDPBesideNeighbour(t *testing.T) {
	for own, foreign := range map[string]string{"127.0.0.1": "[::1]:53", "[::1]": "127.0.0.1:53"} {
		t.Run(own, func(t *testing.T) {
			onHost(t, func(t *testing.T) {
				a := newAllocator(t)
				mustAllocate(t, a, "one", own+":53:53/udp")
				fd := program{proto: model.UDP, addr: foreign, reuseAddr: true}.mustStart(t)
				defer unix.Close(fd)
				if _, err := allocate(t, a, "all", both, "53:53/udp"); !errors.Is(err, ErrInUse) {
					t.Errorf("got %v, want %v", err, ErrInUse)
				}
			})
		})
	}
}
