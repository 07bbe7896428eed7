// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
	"github.com/fairway-project/fairway/userspace/model"
)

// longSecond is what counts as one, in jiffies: long enough for no test to outlast it.
const longSecond = 80000

// lan is a host with more neighbours than its table of next hops has slots. A container
// sends to them.
type lan struct {
	*rig.Host
	f family
}

// onLAN runs a test with each family and an empty table.
func onLAN(t *testing.T, test func(*testing.T, lan)) {
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			l := lan{rig.New(t, rig.Options{Constants: map[string]any{object.DatapathVarTouchJiffies: uint32(longSecond)}}), f}
			stayOnCPU(t, l.Host)
			l.Restore(t)
			l.AddAddress(t, f.Eth0.Device, netip.PrefixFrom(l.machine(0), map[bool]int{false: 16, true: 64}[f.v6]))
			l.empty(t)
			test(t, l)
		})
	}
}

// machine is the n-th neighbour, or for 0 the host.
func (l lan) machine(n int) netip.Addr {
	a := l.f.pick("10.200.0.1", "2001:db8:200::1").AsSlice()
	a[len(a)-2], a[len(a)-1] = byte(n>>8)+1, byte(n)
	if l.f.v6 {
		a[10], a[11] = byte(n*n>>8), byte(n*n)
	}
	addr, _ := netip.AddrFromSlice(a)
	return addr
}

func macOf(n int) model.MAC { return model.MAC{2, 0, 0, 1, byte(n >> 8), byte(n)} }

// know makes the MAC of a neighbour known to the host.
func (l lan) know(t *testing.T, machines ...int) {
	t.Helper()
	for _, n := range machines {
		l.Neighbour(t, l.f.Eth0, l.machine(n), macOf(n))
	}
}

func (l lan) empty(t *testing.T) {
	t.Helper()
	l.ChangeNextHops(t, func(_ int, hop *object.DatapathNexthop) { *hop = object.DatapathNexthop{} })
}

func (l lan) out(n int) frame.Frame { return l.f.sends(l.f.Web, l.machine(n)).UDP(5000, 53) }

// send has the container send a packet to a neighbour, and returns it as it leaves.
func (l lan) send(t *testing.T, n int) []byte {
	t.Helper()
	got := l.Run(t, rig.Run{Program: rig.FromContainer, Device: l.f.Web.Name, Frame: l.out(n).Bytes()})
	if got.Action != rig.Redirect {
		t.Fatalf("packet to machine %d: action %d", n, got.Action)
	}
	return got.Frame
}

// byLayer expects packets to leave without a MAC.
func (l lan) byLayer(t *testing.T, machines ...int) {
	t.Helper()
	for _, n := range machines {
		l.same(t, n, l.out(n).From(l.f.host(), 5000).Hop())
	}
}

// byMAC expects packets to leave with the MAC of their next hop.
func (l lan) byMAC(t *testing.T, machines ...int) {
	t.Helper()
	for _, n := range machines {
		l.same(t, n, l.out(n).From(l.f.host(), 5000).Hop().MACs(l.f.Eth0.MAC, macOf(n)))
	}
}

func (l lan) same(t *testing.T, n int, want frame.Frame) {
	t.Helper()
	if got := l.send(t, n); !bytes.Equal(got, want.Bytes()) {
		t.Fatalf("packet to machine %d is\n%swant\n%s", n, frame.Text(got), frame.Text(want.Bytes()))
	}
}

// hop is the slot that the flow to a neighbour names, and whether it names one.
func (l lan) hop(t *testing.T, n int) (slot int, named bool) {
	t.Helper()
	k := flow.Key{
		Src: netip.AddrPortFrom(l.f.addr(l.f.Web), 5000), Dst: netip.AddrPortFrom(l.machine(n), 53),
		Zone: inside(l.f.Web), Proto: 17,
	}
	h, found, err := l.Flows.Lookup(k)
	if check(t, err); !found {
		t.Fatalf("there is no flow to machine %d", n)
	}
	return int(h.NextHop & 0xffff), h.NextHop != 0
}

// forget empties both tables. Not one alone: generations begin anew with it.
func (l lan) forget(t *testing.T) {
	t.Helper()
	l.empty(t)
	for h, err := range l.Flows.All() {
		check(t, err)
		check(t, l.Flows.Delete(h.Key))
	}
}

// pair is two machines whose next hops have one place by their hash, and that place.
func (l lan) pair(t *testing.T) (a, b, home int) {
	t.Helper()
	first := make(map[int]int)
	for n := 1; n < 1000; n++ {
		l.forget(t)
		l.byLayer(t, n)
		slot, named := l.hop(t, n)
		if !named {
			t.Fatalf("machine %d has no next hop in an empty table", n)
		}
		if other, ok := first[slot]; ok {
			l.forget(t)
			return other, n, slot
		}
		first[slot] = n
	}
	t.Fatal("no two next hops have one place")
	return 0, 0, 0
}

// crowd fills all slots with other hosts' neighbours, in use and with MACs known, but
// those that these machines have.
func (l lan) crowd(t *testing.T, but ...int) {
	t.Helper()
	keep := make(map[int]bool)
	var like object.DatapathNexthop
	for _, n := range but {
		slot, named := l.hop(t, n)
		if !named {
			t.Fatalf("machine %d has no next hop", n)
		}
		keep[slot] = true
	}
	l.ChangeNextHops(t, func(slot int, hop *object.DatapathNexthop) {
		if keep[slot] {
			like = *hop
		}
	})
	l.ChangeNextHops(t, func(slot int, hop *object.DatapathNexthop) {
		if keep[slot] {
			return
		}
		*hop = like
		hop.Head.Oif += 1000
		hop.Mac.Generation, hop.OwnMac.Generation = hop.Head.Generation, hop.Head.Generation
	})
}

// idle makes it look as if no flow had asked for these slots for so long.
func (l lan) idle(t *testing.T, jiffies uint32, slots ...int) {
	t.Helper()
	l.ChangeNextHops(t, func(slot int, hop *object.DatapathNexthop) {
		for _, s := range slots {
			if s == slot {
				hop.Used -= jiffies
			}
		}
	})
}

// Two next hops that have one place by their hash have a slot each, and their own MACs.
func TestNextHopsShareAHash(t *testing.T) {
	onLAN(t, func(t *testing.T, l lan) {
		a, b, home := l.pair(t)
		l.know(t, a, b)
		l.byLayer(t, a, b)
		l.byMAC(t, a, b, a, b, b, a)
		slotA, _ := l.hop(t, a)
		slotB, named := l.hop(t, b)
		if slotA != home || slotB == home || !named {
			t.Errorf("next hops in %d and %d, want the first in %d, the other beside it", slotA, slotB, home)
		}
	})
}

// With no place in the table packets leave by the neighbour layer, and those whose next
// hop has one go on as before. What becomes free is taken.
func TestNextHopsAreFull(t *testing.T) {
	onLAN(t, func(t *testing.T, l lan) {
		a, b, home := l.pair(t)
		l.know(t, a, b)
		l.byLayer(t, a)
		l.byMAC(t, a)
		l.crowd(t, a)
		l.byLayer(t, b, b, b)
		if slot, named := l.hop(t, b); named {
			t.Errorf("a next hop has place %d in a full table", slot)
		}
		l.byMAC(t, a)
		next := (home + 1) % 4096
		l.idle(t, 8*longSecond-longSecond/2, next)
		l.byLayer(t, b, b)
		l.idle(t, longSecond/2, next)
		l.byLayer(t, b)
		l.byMAC(t, b, a, b)
		if slot, named := l.hop(t, b); slot != next || !named {
			t.Errorf("the next hop is in %d (named %t), want %d", slot, named, next)
		}
	})
}

// A slot is given to another hop while a flow names it: the flow's packets don't go there.
func TestNextHopIsGivenAway(t *testing.T) {
	onLAN(t, func(t *testing.T, l lan) {
		a, b, home := l.pair(t)
		l.know(t, a, b)
		l.byLayer(t, a)
		l.byMAC(t, a)
		l.crowd(t, a)
		l.idle(t, 8*longSecond, home)
		l.byLayer(t, b)
		l.byMAC(t, b)
		if slot, named := l.hop(t, b); slot != home || !named {
			t.Fatalf("the next hop is in %d (named %t), want %d", slot, named, home)
		}
		l.byLayer(t, a, a)
		if slot, named := l.hop(t, a); named {
			t.Errorf("the earlier next hop is in %d of a full table", slot)
		}
		l.byMAC(t, b)
		// And back.
		l.idle(t, 8*longSecond, home)
		l.byLayer(t, a)
		l.byMAC(t, a)
		l.byLayer(t, b, b)
		l.byMAC(t, a)
	})
}

// Next hops whose MAC nobody knows keep others out for two seconds only.
func TestNextHopsWithoutMACGiveWay(t *testing.T) {
	onLAN(t, func(t *testing.T, l lan) {
		a, b, home := l.pair(t)
		l.know(t, b)
		l.byLayer(t, a, a)
		l.crowd(t, a)
		l.idle(t, 2*longSecond-longSecond/2, home)
		l.byLayer(t, b, b)
		if _, named := l.hop(t, b); named {
			t.Error("a next hop has a place in a full table")
		}
		l.idle(t, longSecond/2, home)
		l.byLayer(t, b)
		l.byMAC(t, b)
		if slot, named := l.hop(t, b); slot != home || !named {
			t.Errorf("the next hop is in %d (named %t), want %d", slot, named, home)
		}
	})
}

// Nor do they if packets are sent to them all the time.
func TestNextHopsWithoutMACGiveWayInUse(t *testing.T) {
	onLAN(t, func(t *testing.T, l lan) {
		a, b, home := l.pair(t)
		l.know(t, b)
		l.byLayer(t, a)
		l.crowd(t, a)
		for range 2 {
			l.idle(t, longSecond, home)
			l.outdate(t)
			l.byLayer(t, a)
		}
		l.byLayer(t, b)
		l.byMAC(t, b)
		if slot, named := l.hop(t, b); slot != home || !named {
			t.Errorf("the next hop is in %d (named %t), want %d", slot, named, home)
		}
	})
}

// outdate has all flows ask for their routes, and so for their next hops.
func (l lan) outdate(t *testing.T) {
	t.Helper()
	for h, err := range l.Flows.All() {
		check(t, err)
		h.RouteGeneration--
		check(t, l.Flows.Put(h))
	}
}

// What isn't of the slot's present owner, or of a kind that nobody knows, sends no packet
// anywhere; nor is a name ever that of no next hop.
func TestNextHopIsMeantByItsGeneration(t *testing.T) {
	onLAN(t, func(t *testing.T, l lan) {
		const n = 1
		l.know(t, n)
		known := func() {
			t.Helper()
			l.forget(t)
			l.byLayer(t, n)
			l.byMAC(t, n)
		}
		for name, change := range map[string]func(hop *object.DatapathNexthop){
			"MAC of another generation":     func(hop *object.DatapathNexthop) { hop.Mac.Generation++ },
			"own MAC of another generation": func(hop *object.DatapathNexthop) { hop.OwnMac.Generation++ },
			"another owner":                 func(hop *object.DatapathNexthop) { hop.Head.Generation++ },
			"nobody's":                      func(hop *object.DatapathNexthop) { hop.Head.Kind = 0 },
			"of an unknown kind":            func(hop *object.DatapathNexthop) { hop.Head.Kind = 200 },
		} {
			t.Run(name, func(t *testing.T) {
				known()
				l.ChangeNextHops(t, func(_ int, hop *object.DatapathNexthop) {
					if hop.Head.Generation == 0 {
						return
					}
					change(hop)
					hop.Mac.Mac[5] ^= 0xff
				})
				l.byLayer(t, n)
				l.ForgetNeighbours(t)
				l.byLayer(t, n)
				l.byMAC(t, n)
			})
		}
		known()
		home, _ := l.hop(t, n)
		l.ChangeNextHops(t, func(_ int, hop *object.DatapathNexthop) {
			if hop.Head.Generation != 0 {
				hop.Head.Generation, hop.Head.Oif = 0xffff, hop.Head.Oif+1000
				hop.Used -= 8 * longSecond
			}
		})
		l.byLayer(t, n)
		l.byMAC(t, n)
		if slot, named := l.hop(t, n); slot != home || !named {
			t.Errorf("after the last generation the next hop is in %d (named %t), want %d", slot, named, home)
		}
	})
}
