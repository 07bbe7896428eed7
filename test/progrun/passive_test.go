// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/service"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
)

// passiveRig is a service whose backends are judged by their answers: web and db, by a ring that has
// web at most places.
type passiveRig struct {
	t *testing.T
	h *rig.Host
	f family
	// port is the last that a client used.
	port uint16
}

// attempt is a client's connection to the service.
type attempt struct {
	in frame.Frame
	to rig.Endpoint
}

func (j *passiveRig) fill(s service.Settings, backends ...backend) {
	j.t.Helper()
	j.h.Restore(j.t)
	serves(j.f, protoTCP, s, backends...)(j.t, j.h)
	check(j.t, j.h.Services.PutRing(poolSlot, []uint16{1, 1, 2}))
}

// client is one of many, from 1 on: an address, or a subnet of IPv6.
func (j *passiveRig) client(n byte) netip.Addr {
	addr := j.f.pick("198.51.100.100", "2001:db8:1::100").AsSlice()
	addr[flagOf(j.f, 3, 7)] += n
	a, _ := netip.AddrFromSlice(addr)
	return a
}

// connect sends a client's SYN from another port.
func (j *passiveRig) connect(client byte) attempt {
	j.t.Helper()
	return j.connectFrom(j.client(client))
}

func (j *passiveRig) connectFrom(client netip.Addr) attempt {
	j.t.Helper()
	j.port++
	return j.send(j.f.arrives(client, j.f.host()).TCP(10000+j.port, 8080, "S").Seq(7000, 0))
}

// send sends a SYN, and finds who got it.
func (j *passiveRig) send(in frame.Frame) attempt {
	j.t.Helper()
	j.h.Run(j.t, rig.Run{Program: rig.FromUplink, Device: j.f.Eth0.Device, Frame: in.Bytes()})
	for _, half := range halves(j.t, j.h) {
		if !half.Origin() || half.Src != in.Src() {
			continue
		}
		for _, e := range []rig.Endpoint{j.f.Web, j.f.DB, j.f.App} {
			if half.Endpoint == e.Slot {
				return attempt{in, e}
			}
		}
	}
	j.t.Fatalf("nobody has got\n%s", frame.Text(in.Bytes()))
	return attempt{}
}

// reach connects from other ports until web has got the SYN. What others have got is forgotten.
func (j *passiveRig) reach(client byte) attempt {
	j.t.Helper()
	return j.reachFrom(j.client(client))
}

func (j *passiveRig) reachFrom(client netip.Addr) attempt {
	j.t.Helper()
	for range 100 {
		a := j.connectFrom(client)
		if a.to == j.f.Web {
			return a
		}
		j.forget(a)
	}
	j.t.Fatal("web gets nothing")
	return attempt{}
}

// answer has the backend answer a SYN with these flags, acknowledging so much more than it.
func (j *passiveRig) answer(a attempt, flags string, more uint32) {
	j.t.Helper()
	j.h.Run(j.t, rig.Run{Program: rig.FromContainer, Device: a.to.Name, Frame: j.reply(a, flags, more).Bytes()})
}

func (j *passiveRig) reply(a attempt, flags string, more uint32) frame.Frame {
	p := j.f.into(a.to, a.in.To(j.f.addr(a.to), 80)).Reply().Flags(flags).Payload(0)
	// The SYN has eight bytes of data.
	return p.Seq(0, 7000+1+8+more)
}

func (j *passiveRig) refuse(clients ...byte) {
	j.t.Helper()
	for _, c := range clients {
		j.answer(j.reach(c), "RA", 0)
	}
}

func (j *passiveRig) accept(client byte) {
	j.t.Helper()
	j.answer(j.reach(client), "SA", 0)
}

// sendAgain sends a SYN once more after so many jiffies.
func (j *passiveRig) sendAgain(a attempt, jiffies uint32) attempt {
	j.t.Helper()
	j.h.Age(j.t, jiffies)
	return j.send(a.in)
}

// require compares who gets a client's new connections, of which there are enough to see both.
func (j *passiveRig) require(what string, client byte, want ...rig.Endpoint) {
	j.t.Helper()
	got := make(map[string]bool)
	for range 30 {
		a := j.connect(client)
		got[a.to.Name] = true
		j.forget(a)
	}
	var names []string
	for _, e := range want {
		names = append(names, e.Name)
	}
	slices.Sort(names)
	if all := slices.Sorted(maps.Keys(got)); !slices.Equal(all, names) {
		j.t.Errorf("%s: client %d gets to %v, want %v", what, client, all, names)
	}
}

func (j *passiveRig) forget(a attempt) {
	j.t.Helper()
	for _, half := range halves(j.t, j.h) {
		if half.Origin() && half.Src == a.in.Src() {
			check(j.t, j.h.Flows.Delete(half.Key))
			check(j.t, j.h.Flows.Delete(half.Twin()))
		}
	}
}

// requireTimes compares how often web began to be passed over.
func (j *passiveRig) requireTimes(want uint64) {
	j.t.Helper()
	if got := passedOver(j.t, j.h); got != want {
		j.t.Errorf("web began to be passed over %d times, want %d", got, want)
	}
}

func passedOver(t *testing.T, h *rig.Host) uint64 {
	t.Helper()
	c, err := h.Services.Counts(poolSlot)
	check(t, err)
	return c.PassedOver
}

// wait makes so many jiffies pass for those that are passed over.
func (j *passiveRig) wait(jiffies uint32) {
	j.t.Helper()
	check(j.t, j.h.AgePassedOver(poolSlot, jiffies))
}

const passiveSecond = touchJiffies

func TestServicePassive(t *testing.T) {
	h := rig.New(t, rig.Options{})
	for name, f := range families() {
		for what, run := range passiveCases() {
			t.Run(name+"/"+what, func(t *testing.T) {
				j := &passiveRig{t: t, h: h, f: f}
				j.fill(service.Settings{Passive: true}, f.active(f.Web), f.active(f.DB))
				run(j, f.Web, f.DB)
			})
		}
	}
}

func passiveCases() map[string]func(j *passiveRig, web, db rig.Endpoint) {
	return map[string]func(j *passiveRig, web, db rig.Endpoint){
		"all is well": func(j *passiveRig, web, db rig.Endpoint) {
			j.accept(1)
			j.require("at first", 1, web, db)
			j.requireTimes(0)
		},
		"three clients are refused": func(j *passiveRig, web, db rig.Endpoint) {
			j.refuse(1, 2)
			j.require("after two", 4, web, db)
			j.refuse(3)
			for client := range byte(4) {
				j.require("after three", client+1, db)
			}
			j.requireTimes(1)
		},
		"somebody is served in between": func(j *passiveRig, web, db rig.Endpoint) {
			j.refuse(1, 2)
			j.accept(3)
			j.refuse(4, 5)
			j.accept(1)
			j.refuse(1, 2)
			j.require("after six", 6, web, db)
			j.requireTimes(0)
		},
		"one client is refused": func(j *passiveRig, web, db rig.Endpoint) {
			j.refuse(1, 1)
			j.require("after twice", 1, web, db)
			j.refuse(1)
			j.require("after thrice", 1, db)
			j.require("another", 2, web, db)
			j.requireTimes(1)
			j.accept(2)
			j.require("after another was served", 1, web, db)
		},
		"two clients are refused": func(j *passiveRig, web, db rig.Endpoint) {
			j.refuse(1, 2, 1, 2, 1, 2)
			j.require("one", 1, db)
			j.require("the other", 2, db)
			j.require("another", 3, web, db)
			j.refuse(3)
			j.require("the third", 4, db)
			j.requireTimes(2)
		},
		"all have their own time": func(j *passiveRig, web, db rig.Endpoint) {
			j.refuse(1, 1, 1)
			for _, seconds := range []uint32{5, 10, 20, 40} {
				j.wait(seconds * passiveSecond)
				j.refuse(1)
			}
			j.refuse(2, 3)
			j.wait(5 * passiveSecond)
			j.require("after the time of all", 4, web, db)
		},
		"a subnet of clients": func(j *passiveRig, web, db rig.Endpoint) {
			if !j.f.v6 {
				return
			}
			for _, addr := range []string{"2001:db8:1:1::1", "2001:db8:1:1::2", "2001:db8:1:1:1::3"} {
				j.answer(j.reachFrom(netip.MustParseAddr(addr)), "RA", 0)
			}
			j.require("one of it", 1, db)
			j.require("another", 2, web, db)
		},
		"one for one client only": func(j *passiveRig, web, db rig.Endpoint) {
			j.accept(1)
			j.refuse(2, 3, 4)
			j.require("a stranger", 5, db)
			j.require("the one", 1, web, db)
			j.refuse(1)
			j.require("the one who was refused", 1, db)
		},
		"a reset of something else": func(j *passiveRig, web, db rig.Endpoint) {
			for client := range byte(5) {
				j.answer(j.reach(client), "RA", 1)
				j.answer(j.reach(client), "R", 0)
			}
			j.require("then", 9, web, db)
			j.requireTimes(0)
		},
		// Multipath TCP resets who joins a connection that isn't there, and gives a reason.
		"a reset with options": func(j *passiveRig, web, db rig.Endpoint) {
			for client := range byte(5) {
				reset := j.reply(j.reach(client), "RA", 0).Payload(4).Bytes()
				reset[flagOf(j.f, 14+20, 14+40)+12] = 6 << 4
				j.h.Run(j.t, rig.Run{Program: rig.FromContainer, Device: web.Name, Frame: reset})
			}
			j.require("then", 9, web, db)
			j.requireTimes(0)
		},
		"a reset of what was open": func(j *passiveRig, web, db rig.Endpoint) {
			j.refuse(1, 2)
			opened := j.reach(3)
			j.answer(opened, "SA", 0)
			j.refuse(1, 2)
			j.answer(opened, "RA", 0)
			j.require("then", 9, web, db)
			j.requireTimes(0)
		},
		"silence that nobody notices": func(j *passiveRig, web, db rig.Endpoint) {
			for client := range byte(20) {
				j.reach(client)
			}
			j.require("SYNs from wherever", 30, web, db)
			j.requireTimes(0)
		},
		// Anybody can send SYNs that nobody answers, and others from the same ports later.
		"silence": func(j *passiveRig, web, db rig.Endpoint) {
			for client := range byte(5) {
				a := j.sendAgain(j.reach(client), passiveSecond)
				if a.to != db {
					j.t.Fatalf("a SYN that is sent again goes to %s", a.to.Name)
				}
				j.answer(a, "SA", 0)
			}
			j.require("then", 9, web, db)
			j.requireTimes(0)
		},
		"a SYN again is no other flow": func(j *passiveRig, web, db rig.Endpoint) {
			a := j.connect(1)
			for range 5 {
				a = j.sendAgain(a, passiveSecond)
			}
			if n := total(j.t, j.h); n != 1 {
				j.t.Errorf("one connection is counted %d times", n)
			}
		},
		"silence of two": func(j *passiveRig, web, db rig.Endpoint) {
			j.fill(service.Settings{Passive: true}, j.f.active(web), j.f.active(db), j.f.active(j.f.App))
			check(j.t, j.h.Services.PutRing(poolSlot, []uint16{1, 2, 3}))
			a, asked := j.connect(1), make(map[string]bool)
			for range 100 {
				before := a.to
				if a = j.sendAgain(a, passiveSecond); a.to == before {
					j.t.Fatalf("%s gets it again", a.to.Name)
				}
				asked[a.to.Name] = true
			}
			if len(asked) != 3 {
				j.t.Errorf("of three %v were asked", asked)
			}
		},
		"silence of both": func(j *passiveRig, web, db rig.Endpoint) {
			for client := range byte(5) {
				j.sendAgain(j.reach(client), passiveSecond)
			}
			j.require("then", 9, web, db)
			j.requireTimes(0)
		},
		"a SYN again at once": func(j *passiveRig, web, db rig.Endpoint) {
			for client := range byte(5) {
				a := j.sendAgain(j.reach(client), passiveSecond/4)
				if a.to != web {
					j.t.Fatalf("it goes to %s", a.to.Name)
				}
				j.answer(a, "SA", 0)
			}
		},
		"another SYN": func(j *passiveRig, web, db rig.Endpoint) {
			a := j.reach(1)
			a.in = a.in.Seq(1<<31, 0)
			if a = j.sendAgain(a, passiveSecond); a.to != web {
				j.t.Fatalf("it goes to %s", a.to.Name)
			}
		},
		"an answered SYN again": func(j *passiveRig, web, db rig.Endpoint) {
			a := j.reach(1)
			j.answer(a, "SA", 0)
			if a = j.sendAgain(a, passiveSecond); a.to != web {
				j.t.Fatalf("it goes to %s", a.to.Name)
			}
		},
		"time is over": func(j *passiveRig, web, db rig.Endpoint) {
			j.refuse(1, 2, 3)
			for _, seconds := range []uint32{5, 10, 20, 40, 60, 60} {
				j.wait(seconds / 2 * passiveSecond)
				j.require("before", 9, db)
				j.wait((seconds - seconds/2) * passiveSecond)
				if a := j.reach(9); a.to != web {
					j.t.Fatalf("%s is tried", a.to.Name)
				} else {
					j.answer(a, "RA", 0)
				}
				j.require(fmt.Sprintf("after a try, %d s", seconds), 8, db)
			}
			j.requireTimes(1)
			j.wait(60 * passiveSecond)
			j.accept(7)
			j.require("after an answer", 9, web, db)
			j.refuse(1, 2, 3)
			j.wait(5 * passiveSecond)
			j.accept(7)
			j.requireTimes(2)
		},
		// SYNs that don't get there, as with forged addresses, take nothing from it.
		"time is over, and nobody is answered": func(j *passiveRig, web, db rig.Endpoint) {
			j.refuse(1, 2, 3)
			j.wait(5 * passiveSecond)
			for client := range byte(20) {
				j.reach(client)
			}
			j.require("then", 30, web, db)
		},
		"long ago": func(j *passiveRig, web, db rig.Endpoint) {
			j.refuse(1, 2, 3)
			j.wait(1<<31 + 100*passiveSecond)
			j.accept(4)
			j.require("then", 9, web, db)
		},
		"all fail": func(j *passiveRig, web, db rig.Endpoint) {
			j.refuse(1, 2, 3)
			for client := range byte(3) {
				j.answer(j.connect(client+1), "RA", 0)
			}
			a := j.connect(5)
			j.answer(a, "SA", 0)
			j.require("one again", 6, a.to)
		},
		"off": func(j *passiveRig, web, db rig.Endpoint) {
			j.fill(service.Settings{}, j.f.active(web), j.f.active(db))
			j.refuse(1, 2, 3, 4, 5)
			if a := j.sendAgain(j.reach(1), passiveSecond); a.to != web {
				j.t.Fatalf("a SYN that is sent again goes to %s", a.to.Name)
			}
			j.require("then", 9, web, db)
			j.requireTimes(0)
		},
		"switched off": func(j *passiveRig, web, db rig.Endpoint) {
			j.refuse(1, 2, 3)
			check(j.t, j.h.Services.PutPool(poolSlot, service.Settings{}, []backend{j.f.active(web), j.f.active(db)}))
			j.require("then", 9, web, db)
			check(j.t, j.h.Services.PutPool(poolSlot, service.Settings{Passive: true}, []backend{j.f.active(web), j.f.active(db)}))
			j.require("switched on", 9, web, db)
		},
		"switched off meanwhile": func(j *passiveRig, web, db rig.Endpoint) {
			all := []attempt{j.reach(1), j.reach(2), j.reach(3)}
			check(j.t, j.h.Services.PutPool(poolSlot, service.Settings{}, []backend{j.f.active(web), j.f.active(db)}))
			for _, a := range all {
				j.answer(a, "RA", 0)
			}
			check(j.t, j.h.Services.PutPool(poolSlot, service.Settings{Passive: true}, []backend{j.f.active(web), j.f.active(db)}))
			j.require("switched on", 9, web, db)
			j.requireTimes(0)
		},
		"its place is another's": func(j *passiveRig, web, db rig.Endpoint) {
			all := []attempt{j.reach(1), j.reach(2), j.reach(3)}
			check(j.t, j.h.Services.PutPool(poolSlot, service.Settings{Passive: true}, []backend{j.f.active(j.f.App), j.f.active(db)}))
			for _, a := range all {
				j.answer(a, "RA", 0)
			}
			j.requireTimes(0)
		},
		"another comes": func(j *passiveRig, web, db rig.Endpoint) {
			j.refuse(1, 2, 3)
			check(j.t, j.h.Services.PutPool(poolSlot, service.Settings{Passive: true}, []backend{j.f.active(web), j.f.active(db), j.f.active(j.f.App)}))
			j.require("then", 9, db)
			check(j.t, j.h.Services.PutPool(poolSlot, service.Settings{Passive: true}, []backend{is(j.f.active(web), service.Down), j.f.active(db)}))
			check(j.t, j.h.Services.PutPool(poolSlot, service.Settings{Passive: true}, []backend{j.f.active(web), j.f.active(db)}))
			j.require("after it was down", 9, web, db)
			j.requireTimes(1)
		},
		"with affinity": func(j *passiveRig, web, db rig.Endpoint) {
			j.fill(service.Settings{Passive: true, ByClient: 10000}, j.f.active(web), j.f.active(db))
			var clients []byte
			for c := byte(1); len(clients) < 4; c++ {
				if a := j.connect(c); a.to == web {
					clients = append(clients, c)
				}
			}
			for _, c := range clients[:3] {
				j.answer(j.connect(c), "RA", 0)
			}
			last := clients[3]
			j.require("one that was there", last, db)
			j.wait(5 * passiveSecond)
			j.require("when the time is over", last, web)
			j.answer(j.connect(last), "SA", 0)
			if a := j.sendAgain(j.connect(last), passiveSecond); a.to != db {
				j.t.Errorf("what isn't answered goes to %s again", a.to.Name)
			}
			j.require("after a SYN that wasn't answered", last, web)
			for _, c := range clients[:3] {
				j.answer(j.connect(c), "RA", 0)
			}
			check(j.t, j.h.Services.PutPool(poolSlot, service.Settings{Passive: true, ByClient: 10000}, []backend{j.f.active(web), is(j.f.active(db), service.Down)}))
			j.require("when nobody else serves", clients[0], web)
		},
		"by a container": func(j *passiveRig, web, db rig.Endpoint) {
			for i := range uint16(3) {
				out := j.f.sends(j.f.App, j.f.vip()).TCP(20000+i, 8080, "S").Seq(7000, 0)
				check(j.t, j.h.Services.PutRing(poolSlot, []uint16{1}))
				j.h.Run(j.t, rig.Run{Program: rig.FromContainer, Device: j.f.App.Name, Frame: out.Bytes()})
				inside := j.f.into(web, out.From(j.f.Net1.Gateway(j.f.v6), 20000+i).To(j.f.addr(web), 80))
				j.h.Run(j.t, rig.Run{Program: rig.FromContainer, Device: web.Name, Frame: inside.Reply().Flags("RA").Seq(0, 7009).Bytes()})
			}
			j.requireTimes(1)
		},
	}
}

// What comes from outside says who sent it, and may lie: who sent a SYN can make up its reset.
func TestServicePassiveOutside(t *testing.T) {
	h := rig.New(t, rig.Options{})
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			h.Restore(t)
			serves(f, protoTCP, service.Settings{Passive: true}, outsideBackend(f), f.active(f.DB))(t, h)
			check(t, h.Services.PutRing(poolSlot, []uint16{1}))
			for i := range uint16(5) {
				out := f.sends(f.App, f.vip()).TCP(20000+i, 8080, "S").Seq(7000, 0)
				h.Run(t, rig.Run{Program: rig.FromContainer, Device: f.App.Name, Frame: out.Bytes()})
				back := out.From(f.host(), 20000+i).To(f.far(), 443).Reply().MACs(f.RouterMAC, f.Eth0.MAC)
				h.Run(t, rig.Run{Program: rig.FromUplink, Device: f.Eth0.Device, Frame: back.Flags("RA").Payload(0).Seq(0, 7009).Bytes()})
			}
			if got := passedOver(t, h); got != 0 {
				t.Errorf("it began to be passed over %d times", got)
			}
			requireChosen(5, 0)(t, h)

			// Its silence leads the client to another one.
			check(t, h.Services.PutRing(poolSlot, []uint16{1, 2}))
			var out frame.Frame
			for i := uint16(0); chosen(t, h)[0] < 6; i++ {
				out = f.sends(f.App, f.vip()).TCP(30000+i, 8080, "S").Seq(7000, 0)
				h.Run(t, rig.Run{Program: rig.FromContainer, Device: f.App.Name, Frame: out.Bytes()})
			}
			h.Age(t, passiveSecond)
			h.Run(t, rig.Run{Program: rig.FromContainer, Device: f.App.Name, Frame: out.Bytes()})
			for _, half := range halves(t, h) {
				if half.Origin() && half.Src == out.Src() && half.NATDst.Addr() != f.addr(f.DB) {
					t.Errorf("a SYN that is sent again goes to %s", half.NATDst)
				}
			}
		})
	}
}

// Sockets that are led pass over who fails, too. Nobody sees how they are answered, so one of a
// container leaves it to its packets to find out who has come back, and one of the host to others.
func TestServicePassiveSockets(t *testing.T) {
	h := rig.New(t, rig.Options{})
	attachSockets(t, h, ownCgroup(t))
	b := newBox(t, h)
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			h.Restore(t)
			for _, e := range []rig.Endpoint{f.Web, f.App} {
				// Nobody listens there.
				h.AddAddress(t, "lo", netip.PrefixFrom(f.addr(e), f.addr(e).BitLen()))
			}
			vip, onHost := netip.AddrPortFrom(f.vip(), 8080), netip.AddrPortFrom(f.pick("127.0.0.1", "::1"), 8080)
			settings := service.Settings{Network: f.Net1.Slot, Passive: true}
			j := &passiveRig{t: t, h: h, f: f}
			serves(f, protoTCP, settings, f.active(f.Web), is(f.active(f.App), service.Down))(t, h)
			check(t, h.Services.PutRing(poolSlot, []uint16{1}))
			b.attach(t, f.App, rig.Generation)
			led := func(what string, want uint64) {
				t.Helper()
				if n := b.connects(t, vip, nil); n != want {
					t.Errorf("%s: the socket was led %d times, want %d", what, n, want)
				}
			}
			led("at first", 1)
			j.refuse(1, 2, 3)
			led("nobody else serves, and packets show whether it does", 0)
			j.wait(5 * passiveSecond)
			led("its time is over, and packets show whether it has come back", 0)
			j.accept(4)
			led("it has come back", 1)

			h.PutPool(t, poolSlot, settings, f.active(f.Web), f.active(f.App))
			check(t, h.Services.PutRing(poolSlot, []uint16{1, 2}))
			j.refuse(1, 2, 3)
			avoids := func(what string, want bool) {
				t.Helper()
				before := chosen(t, h)
				for range 20 {
					h.Do(func() {
						if c, err := net.Dial("tcp", onHost.String()); err == nil {
							c.Close()
						}
					})
				}
				if got := chosen(t, h)[0] == before[0]; got != want {
					t.Errorf("%s: sockets of the host pass it over: %v, want %v", what, got, want)
				}
			}
			avoids("while it is passed over", true)
			j.wait(64 * passiveSecond)
			avoids("nobody has tried it", true)
			j.wait(2 * passiveSecond)
			avoids("for a minute longer", false)
		})
	}
}

// With netfilter in between a flow is entered, and its backend known, where the packet comes out.
func TestServicePassiveBeforeNetfilter(t *testing.T) {
	h := rig.New(t, rig.Options{Constants: map[string]any{object.DatapathVarFirstPacket: true}})
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			h.Restore(t)
			serves(f, protoTCP, service.Settings{Passive: true}, f.active(f.Web))(t, h)
			for i := range uint16(3) {
				c := visited(f, f.arrives(f.client(), f.host()).TCP(50000+i, 8080, "S").Seq(7000, 0))
				for _, s := range c.comesBySlow(c.sent, 0) {
					runStep(t, h, int(i), s)
				}
				answer := f.into(f.Web, c.inn(c.sent)).Reply().Flags("RA").Seq(0, 7009)
				h.Run(t, rig.Run{Program: rig.FromContainer, Device: f.Web.Name, Frame: answer.Bytes()})
			}
			if got := passedOver(t, h); got != 1 {
				t.Errorf("web began to be passed over %d times, want 1", got)
			}
		})
	}
}

// Answers that two CPUs see at the same moment may be counted once. Of eight clients that are
// refused at least four are counted, and one that is accepted makes all good, whatever came at the
// same time.
func TestServicePassiveOnTwoCPUs(t *testing.T) {
	h := rig.New(t, rig.Options{})
	threads := h.Threads(t, 2)
	for name, f := range families() {
		for others, flags := range map[string]string{"refused": "RA", "accepted": "SA"} {
			t.Run(name+"/others are "+others, func(t *testing.T) {
				j := &passiveRig{t: t, h: h, f: f}
				j.fill(service.Settings{Passive: true}, f.active(f.Web), f.active(f.DB))
				for round := range 30 {
					var frames [2][][]byte
					for c := range byte(8) {
						with := []string{"RA", flags}[c%2]
						frames[c%2] = append(frames[c%2], j.reply(j.reach(1+c), with, 0).Bytes())
					}
					check(t, j.atOnce(threads, frames))
					if flags == "RA" {
						j.require(fmt.Sprintf("round %d, after eight", round), 9, f.DB)
					}
					j.wait(6 * passiveSecond)
					j.accept(1)
					j.require(fmt.Sprintf("round %d, after another was served", round), 9, f.Web, f.DB)
				}
			})
		}
	}
}

// atOnce has each thread run web's packets of its own.
func (j *passiveRig) atOnce(threads []func(func()), frames [2][][]byte) error {
	errs := make([]error, len(threads))
	var all sync.WaitGroup
	for i, do := range threads {
		all.Go(func() {
			do(func() {
				for _, b := range frames[i] {
					_, err := j.h.RunHere(rig.Run{Program: rig.FromContainer, Device: j.f.Web.Name, Frame: b})
					errs[i] = errors.Join(errs[i], err)
				}
			})
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
