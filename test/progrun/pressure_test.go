// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"testing"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
)

// touchJiffies is what the programs take for a second here.
const touchJiffies = 256

// roomForFour is a host whose flow tables and rings hold four connections.
func roomForFour(t *testing.T) *rig.Host { return roomFor(t, 4) }

// roomFor is a host whose flow tables and rings hold n connections, a power of two.
func roomFor(t *testing.T, n uint32) *rig.Host {
	return rig.New(t, rig.Options{
		MaxEntries: map[string]uint32{
			object.DatapathMapFlows4: 2 * n, object.DatapathMapFlows6: 2 * n, object.DatapathMapRecent4: n, object.DatapathMapRecent6: n,
		},
		Constants: map[string]any{object.DatapathVarRecentMask: n - 1},
	})
}

// Where a whole ring of connections is established, a flood finds nothing to give up, and
// what is reset afterwards gives way all the same. Who came last has time for its handshake.
func TestRingOfEstablishedIsLookedAtAgain(t *testing.T) {
	const room = 16
	h := roomFor(t, room)
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			in := func(port uint16, flags string, seq, ack uint32) step {
				p := f.arrives(f.client(), f.host()).TCP(port, 8080, flags).Seq(seq, ack)
				return fromUplink(f.Eth0, p, delivered(f.Web), f.into(f.Web, p.To(f.addr(f.Web), 80)))
			}
			opens := func(port uint16) step { return in(port, "S", 1000, 0) }
			refused := func(port uint16) step {
				s := opens(port)
				s.want, s.out = dropped(tableFull), nil
				return s
			}
			shakes := func(port uint16) []step {
				p := f.sends(f.Web, f.client()).TCP(80, port, "SA").Seq(5000, 1001)
				return []step{fromContainer(f.Web, p, forwarded(), p.From(f.host(), 8080).Hop()), in(port, "A", 1001, 5001)}
			}
			var steps []step
			for port := uint16(1); port <= room; port++ {
				steps = append(append(steps, opens(port)), shakes(port)...)
			}
			steps = append(steps, refused(101), refused(102), refused(103), // looked at all
				in(1, "R", 1001, 0), in(2, "R", 1001, 0),
				opens(201), opens(202), // in the place of 1 and 2
				refused(203), refused(204))
			steps = append(append(steps, shakes(201)...), shakes(202)...)
			runCase(t, h, testCase{world: publishAny(f, protoTCP), flows: room, steps: steps})
			if n := h.EarlyDropped(t, f.v6); n != 2 {
				t.Errorf("%d connections count as given up, want 2", n)
			}
		})
	}
}

// Half-open connections among the newest give way, too, once they have had their time: with
// nothing else left nobody would get in any more.
func TestNewestGiveWayInTheEnd(t *testing.T) {
	const room = 16
	h := roomFor(t, room)
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			datagram := func(port uint16) frame.Frame { return f.sends(f.Web, f.far()).UDP(port, 53) }
			opens := func(port uint16) step { return roundTrip(f, datagram(port))[0] }
			refused := func(port uint16) step { return fromContainer(f.Web, datagram(port), dropped(tableFull), nil) }
			var kept []frame.Frame
			for port := uint16(1001); port <= 1000+room-4; port++ {
				kept = append(kept, datagram(port))
			}
			steps := goesOn(f, kept...)
			for port := uint16(2001); port <= 2004; port++ {
				steps = append(steps, opens(port))
			}
			steps = append(steps, refused(3001), refused(3002)) // looked at all
			later := opens(3003)
			later.before = func(t *testing.T, h *rig.Host) { h.Age(t, touchJiffies+1) }
			steps = append(steps, later, opens(3004), opens(3005), opens(3006), refused(3007), refused(3008))
			runCase(t, h, testCase{flows: room, steps: steps})
		})
	}
}

// A full table gives up its oldest half-open connection for a new one, and none
// that is established: SYNs from everywhere keep nobody out.
func TestHalfOpenConnectionGivesWay(t *testing.T) {
	h := roomForFour(t)
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			syn := func(port uint16) frame.Frame {
				return f.arrives(f.client(), f.host()).TCP(port, 8080, "S").Seq(1000, 0)
			}
			in := func(p frame.Frame, want verdict) step {
				if want.action == rig.Drop {
					return fromUplink(f.Eth0, p, want, nil)
				}
				return fromUplink(f.Eth0, p, want, f.into(f.Web, p.To(f.addr(f.Web), 80)))
			}
			answer := func(port uint16, flags string) frame.Frame {
				return f.sends(f.Web, f.client()).TCP(80, port, flags).Seq(5000, 1001)
			}
			out := func(port uint16, flags string) step {
				p := answer(port, flags)
				return fromContainer(f.Web, p, forwarded(), p.From(f.host(), 8080).Hop())
			}
			accepted := delivered(f.Web)
			runCase(t, h, testCase{world: publishAny(f, protoTCP), flows: 4, steps: []step{
				in(syn(1), accepted), out(1, "SA"), in(syn(1).Flags("A").Seq(1001, 5001), accepted),
				in(syn(2), accepted), out(2, "SA"), // answered, but the answer reached nobody
				in(syn(3), accepted),
				in(syn(4), accepted),
				in(syn(5), dropped(tableFull)),
				in(syn(5), accepted), // in the place of 2
				fromContainer(f.Web, answer(2, "SA"), dropped(noFlow), nil),
				in(syn(6), accepted), // in the place of 3
				out(4, "SA"), in(syn(4).Flags("A").Seq(1001, 5001), accepted),
				out(1, "A"), in(syn(1).Flags("PA").Seq(1001, 5001), accepted),
			}})
			if n := h.EarlyDropped(t, f.v6); n != 2 {
				t.Errorf("%d connections count as given up, want 2", n)
			}
		})
	}
}

// What was answered once gives way, whatever its protocol; what both ends keep up is
// nobody's to take.
func TestAnsweredConnectionGivesWay(t *testing.T) {
	h := roomForFour(t)
	for name, f := range families() {
		datagram := func(port uint16) frame.Frame { return f.sends(f.Web, f.far()).UDP(port, 53) }
		echo := func(id uint16) frame.Frame { return f.sends(f.Web, f.far()).Echo(id) }
		for what, send := range map[string]func(uint16) frame.Frame{"udp": datagram, "echo": echo} {
			t.Run(name+"/"+what, func(t *testing.T) {
				steps := goesOn(f, send(1001))
				for _, port := range []uint16{1002, 1003, 1004} {
					steps = append(steps, roundTrip(f, send(port))...)
				}
				refused := fromContainer(f.Web, send(1005), dropped(tableFull), nil)
				steps = append(steps, refused)
				steps = append(steps, roundTrip(f, send(1005))...) // in the place of 1002
				steps = append(steps, roundTrip(f, send(1001))...)
				late := send(1002).From(f.host(), 1002).Reply().MACs(f.RouterMAC, f.Eth0.MAC)
				steps = append(steps, fromUplink(f.Eth0, late, passed(), nil))
				runCase(t, h, testCase{flows: 4, steps: steps})
				if n := h.EarlyDropped(t, f.v6); n != 1 {
					t.Errorf("%d connections count as given up, want 1", n)
				}
			})
		}
		t.Run(name+"/all assured", func(t *testing.T) {
			var all []frame.Frame
			for port := range uint16(4) {
				all = append(all, datagram(1001+port))
			}
			steps := goesOn(f, all...)
			refused := fromContainer(f.Web, datagram(2000), dropped(tableFull), nil)
			steps = append(steps, refused, refused)
			for port := range uint16(4) {
				steps = append(steps, roundTrip(f, datagram(1001+port))...)
			}
			runCase(t, h, testCase{flows: 4, steps: steps})
		})
	}
}

// What both ends keep up for so long that jiffies come half round stays theirs.
func TestOldConnectionStaysAssured(t *testing.T) {
	h := roomForFour(t)
	later := func(s []step) []step {
		s[0].before = func(t *testing.T, h *rig.Host) { h.Age(t, 1<<30+touchJiffies) }
		return s
	}
	for name, f := range families() {
		datagram := func(port uint16) frame.Frame { return f.sends(f.Web, f.far()).UDP(port, 53) }
		all := func() (steps []step) {
			for port := range uint16(4) {
				steps = append(steps, roundTrip(f, datagram(1001+port))...)
			}
			return steps
		}
		// Of one that only answers, the answers keep the time.
		answers := func() (steps []step) {
			for port := range uint16(4) {
				steps = append(steps, roundTrip(f, datagram(1001+port))[1])
			}
			return steps
		}
		refused := fromContainer(f.Web, datagram(2000), dropped(tableFull), nil)
		for what, again := range map[string]func() []step{"both ways": all, "answers only": answers} {
			t.Run(name+"/"+what, func(t *testing.T) {
				steps := append(all(), later(again())...)
				steps = append(steps, later(again())...)
				runCase(t, h, testCase{flows: 4, steps: append(steps, refused, refused)})
			})
		}
	}
}

// goesOn are connections that both ends keep up for long enough to be assured.
func goesOn(f family, all ...frame.Frame) (steps []step) {
	for _, out := range all {
		steps = append(steps, roundTrip(f, out)...)
	}
	for i, out := range all {
		again := roundTrip(f, out)
		if i == 0 {
			again[0].before = func(t *testing.T, h *rig.Host) { h.Age(t, 2*touchJiffies+1) }
		}
		steps = append(steps, again...)
	}
	return steps
}

// That the table was full is over after some seconds, and stays so when the clock has
// come half round: nobody's connection is given up while there is room.
func TestPressurePasses(t *testing.T) {
	h := roomForFour(t)
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			first := f.sends(f.Web, f.far()).UDP(2000, 53)
			opened := func(p frame.Frame) step {
				return fromContainer(f.Web, p, forwarded(), p.From(f.host(), p.Src().Port()).Hop())
			}
			var fill []step
			for port := range uint16(4) {
				fill = append(fill, roundTrip(f, f.sends(f.Web, f.far()).UDP(1001+port, 53))...)
			}
			runCase(t, h, testCase{flows: 4, steps: append(fill, fromContainer(f.Web, first, dropped(tableFull), nil))})
			longAgo := func(t *testing.T, h *rig.Host) {
				var p object.DatapathPressure
				family := flagOf[uint32](f, 0, 1)
				check(t, h.DatapathMaps.Pressures.Lookup(family, &p))
				p.Until += 1<<31 - 1<<20
				check(t, h.DatapathMaps.Pressures.Put(family, &p))
			}
			before := h.EarlyDropped(t, f.v6)
			runCase(t, h, testCase{world: longAgo, flows: 2, steps: []step{opened(first), opened(f.sends(f.Web, f.far()).UDP(2001, 53))}})
			if n := h.EarlyDropped(t, f.v6) - before; n != 0 {
				t.Errorf("%d connections were given up", n)
			}
		})
	}
}
