// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/model"
)

// TestWildcardBesideSpecific: 0.0.0.0 and single addresses of one port belong to
// different publications, come and go in any order, and stay closed to programs.
func TestWildcardBesideSpecific(t *testing.T) {
	for _, proto := range []string{"tcp", "udp"} {
		for _, order := range [][]string{{"all", "one", "two"}, {"one", "all", "two"}, {"two", "one", "all"}} {
			t.Run(proto+"/"+order[0]+"-"+order[1], func(t *testing.T) {
				onHost(t, func(t *testing.T) { shareAndRelease(t, proto, order) })
			})
		}
	}
}

func shareAndRelease(t *testing.T, protoName string, order []string) {
	proto, err := model.ParseProto(protoName)
	if err != nil {
		t.Fatal(err)
	}
	specs := map[string]string{"all": "0.0.0.0:80:1/", "one": "127.0.0.1:80:2/", "two": "127.0.0.2:80:3/"}
	addrs := map[string]string{"all": "0.0.0.0:80", "one": "127.0.0.1:80", "two": "127.0.0.2:80"}
	for _, first := range order {
		a := newAllocator(t)
		held := map[string]bool{}
		for _, owner := range order {
			mustAllocate(t, a, owner, specs[owner]+protoName)
			held[owner] = true
			checkHeld(t, proto, addrs, held)
			if _, err := allocate(t, a, "again", both, specs[owner]+protoName); !errors.Is(err, ErrAllocated) {
				t.Errorf("%s twice: %v", owner, err)
			}
		}
		a.Release(first)
		delete(held, first)
		checkHeld(t, proto, addrs, held)
		mustAllocate(t, a, first, specs[first]+protoName)
		held[first] = true
		checkHeld(t, proto, addrs, held)
		for _, owner := range order {
			a.Release(owner)
			delete(held, owner)
			checkHeld(t, proto, addrs, held)
		}
	}
}

// checkHeld compares what programs can bind with what is held.
func checkHeld(t *testing.T, proto model.Proto, addrs map[string]string, held map[string]bool) {
	t.Helper()
	for owner, addr := range addrs {
		if held[owner] || held["all"] || owner == "all" && len(held) > 0 {
			checkClosedTo(t, proto, addr)
		} else {
			checkOpenTo(t, proto, addr)
		}
	}
}

// TestPairBesideBothFamilies: the same of a publication for both families and
// single addresses of each, of which none needs more than one descriptor.
func TestPairBesideBothFamilies(t *testing.T) {
	orders := [][]string{
		{"all", "four", "six"}, {"all", "six", "four"}, {"four", "all", "six"},
		{"six", "all", "four"}, {"four", "six", "all"}, {"six", "four", "all"},
	}
	for _, proto := range []model.Proto{model.TCP, model.UDP} {
		for _, order := range orders {
			t.Run(proto.String()+"/"+strings.Join(order, "-"), func(t *testing.T) {
				onHost(t, func(t *testing.T) {
					for _, first := range order {
						besideBoth(t, proto, order, first)
					}
				})
			})
		}
	}
}

func besideBoth(t *testing.T, proto model.Proto, order []string, first string) {
	a := newAllocator(t)
	specs := map[string]string{"all": "80:1/", "four": "127.0.0.1:80:2/", "six": "[::1]:80:3/"}
	take := func(owner string) { mustAllocate(t, a, owner, specs[owner]+proto.String()) }
	release := func(owner string) { a.Release(owner) }
	restore := func(owner string) {
		published := a.Published(owner)
		a.Release(owner)
		if failures := a.Restore(owner, published); len(failures) > 0 {
			t.Error(failures)
		}
	}
	steps := func(opened int, do func(owner string), owners ...string) {
		t.Helper()
		for _, owner := range owners {
			checkOpened(t, opened, func() { do(owner) })
			checkOverlaps(t, a, proto)
		}
	}
	steps(1, take, order...)
	steps(0, restore, order...)
	steps(-1, release, first)
	steps(1, take, first)
	steps(-1, release, order...)
}

// checkOverlaps wants port 80 closed at what the reservations overlap with, and
// open elsewhere.
func checkOverlaps(t *testing.T, a *Allocator, proto model.Proto) {
	t.Helper()
	for _, addr := range []string{"0.0.0.0", "127.0.0.1", "127.0.0.2", "::", "::1"} {
		ip := netip.MustParseAddr(addr)
		taken := slices.ContainsFunc(a.slots[slot{proto, 80}], func(r *reservation) bool { return overlaps(r.HostIP, ip) })
		check := checkOpenTo
		if taken {
			check = checkClosedTo
		}
		check(t, proto, netip.AddrPortFrom(ip, 80).String())
	}
}

// TestListenerBesideOwnSpecific: a program's listener is seen although
// SO_REUSEADDR is on for the bind beside our own socket.
func TestListenerBesideOwnSpecific(t *testing.T) {
	onHost(t, func(t *testing.T) {
		a := newAllocator(t)
		mustAllocate(t, a, "one", "127.0.0.1:80:80")
		fd := program{proto: model.TCP, addr: "127.0.0.2:80", reuseAddr: true, reusePort: true}.mustStart(t)
		defer unix.Close(fd)
		if _, err := allocate(t, a, "all", both, "80:80"); !errors.Is(err, ErrInUse) {
			t.Errorf("got %v, want %v", err, ErrInUse)
		}
		checkClosedTo(t, model.TCP, "127.0.0.1:80")
	})
}

// TestChoiceAvoidsOverlap: only who names the port gets it beside another publication.
func TestChoiceAvoidsOverlap(t *testing.T) {
	onHost(t, func(t *testing.T) {
		a := newAllocator(t)
		mustAllocate(t, a, "one", "127.0.0.1:8000:80")
		checkList(t, mustAllocate(t, a, "two", "8000-8001:80"), "0.0.0.0:8001->80/tcp", "[::]:8001->80/tcp")
	})
}
