// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/fairway-project/fairway/userspace/model"
)

// TestAllocatorAgainstModel: random owners and specs on few ports. No host
// address and port is given out twice, a refusal leaves what there was, and
// every reservation has its socket.
func TestAllocatorAgainstModel(t *testing.T) {
	onHost(t, func(t *testing.T) {
		setSysctl(t, "ip_local_port_range", "9000 9004")
		rapid.Check(t, checkAllocator)
	})
}

func checkAllocator(t *rapid.T) {
	a := NewAllocator()
	defer a.Close()
	type place struct {
		ip    netip.Addr
		port  uint16
		proto model.Proto
	}
	held := map[place]string{}
	owners := rapid.SampledFrom([]string{"a", "b", "c"})
	specs := rapid.SliceOfN(rapid.SampledFrom([]string{
		"80", "81/udp", "9001:80", "9001:80/udp", "9000-9002:80", "127.0.0.1:9001:80", "127.0.0.2::80",
		"[::1]:9002:80", "[::1]::80/udp", "9000-9001:80-81",
	}), 1, 3)
	t.Repeat(map[string]func(*rapid.T){
		"allocate": func(t *rapid.T) {
			owner := owners.Draw(t, "owner")
			parsed := parse(t, specs.Draw(t, "specs"))
			published, err := a.Allocate(owner, parsed, Families{IPv4: true, IPv6: true}, noAddr)
			if err != nil {
				if len(published) > 0 || !errors.Is(err, ErrAllocated) && !errors.Is(err, ErrExhausted) {
					t.Fatalf("got %v, %v", published, err)
				}
				return
			}
			for _, p := range published {
				at := place{p.HostIP, p.HostPort, p.Port.Proto}
				if other, taken := held[at]; taken {
					t.Fatalf("%v given to %s and %s", at, other, owner)
				}
				held[at] = owner
			}
		},
		"release": func(t *rapid.T) {
			owner := owners.Draw(t, "owner")
			a.Release(owner)
			for at, who := range held {
				if who == owner {
					delete(held, at)
				}
			}
		},
		"": func(t *rapid.T) {
			if err := a.consistent(len(held)); err != nil {
				t.Fatal(err)
			}
		},
	})
}

// consistent compares the two indexes of the table.
func (a *Allocator) consistent(want int) error {
	inSlots := 0
	users := map[*socket]int{}
	for s, list := range a.slots {
		for _, r := range list {
			if r.slot() != s || r.sock == nil {
				return fmt.Errorf("%v in slot %v", r, s)
			}
			users[r.sock]++
		}
		inSlots += len(list)
	}
	for sock, n := range users {
		if sock.users != n {
			return fmt.Errorf("socket of %d reservations counts %d", n, sock.users)
		}
	}
	if inSlots != want || a.Len() != want {
		return fmt.Errorf("%d and %d reservations, want %d", inSlots, a.Len(), want)
	}
	return nil
}
