// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"fmt"
	"testing"

	"github.com/fairway-project/fairway/maps/host"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
	"github.com/fairway-project/fairway/userspace/model"
)

// heldCases: of SCTP and of protocols without ports the host has the older right, in
// whatever order it, a container and the remote speak. IPIP, GRE, ESP, AH and others.
func heldCases(f family) []testCase {
	var cases []testCase
	for _, proto := range []uint8{4, 41, frame.GRE, 50, 51, 89, frame.SCTP} {
		p := heldProto{family: f, proto: proto}
		cases = append(cases, p.cases()...)
	}
	return append(cases, heldHairpin(f))
}

// heldProto makes the cases of one protocol.
type heldProto struct {
	family
	proto uint8
}

func (p heldProto) frame(in frame.Frame) frame.Frame {
	if p.proto == frame.SCTP {
		return in.SCTP(2905, 2905)
	}
	return in.Proto(p.proto)
}

func (p heldProto) cases() []testCase {
	out := p.frame(p.sends(p.Web, p.client()))
	wire := out.From(p.host(), out.Src().Port()).Hop()
	inbound := wire.Reply().MACs(p.RouterMAC, p.Eth0.MAC)
	own := p.frame(frame.Between(p.Eth0.MAC, p.RouterMAC).IP(p.host(), p.client()))
	elsewhere := p.frame(p.sends(p.Web, p.far()))

	container := fromContainer(p.Web, out, forwarded(), wire)
	refused := fromContainer(p.Web, out, dropped(noPort), nil)
	toHost := fromUplink(p.Eth0, inbound, passed(), nil)
	toOther := fromUplink(p.Eth0, p.frame(inbound.IP(p.far(), p.host())), passed(), nil)
	toWeb := fromUplink(p.Eth0, inbound, delivered(p.Web), p.into(p.Web, inbound.To(p.addr(p.Web), out.Src().Port())))
	speaks := toUplink(p.Eth0, "", own, passed(), nil)
	// IPsec leaves the device that a forwarded packet came in by as it was.
	speaksForOthers := toUplink(p.Eth0, "tun0", own, passed(), nil)
	another := fromContainer(p.Web, elsewhere, forwarded(), elsewhere.From(p.host(), elsewhere.Src().Port()).Hop())

	name := fmt.Sprintf("protocol %d ", p.proto)
	cases := []testCase{
		{name: name + "answers", flows: 1, steps: []step{container, toWeb}},
		{name: name + "host spoke first", flows: 1, steps: []step{speaks, refused, toHost, refused, another}},
		{name: name + "host forwarded first", steps: []step{speaksForOthers, refused, toHost}},
		{name: name + "host heard first", steps: []step{toHost, refused, toHost}},
		{name: name + "host heard first, and the remote goes on", flows: 1, steps: []step{
			toHost, refused, aged(toHost, 8), refused, aged(toHost, 3), container, toWeb,
		}},
		{name: name + "host seems to have heard a flow's tuple", flows: 1, steps: []step{
			toHost, aged(container, 11), rejuvenated(toWeb, 11), container,
		}},
		{name: name + "host heard others in all places", flows: 1, steps: []step{toOther, hearOthers(container), toWeb}},
		{name: name + "host heard others in all places meanwhile", flows: 1, steps: []step{toOther, container, hearOthers(toWeb), toWeb}},
		{name: name + "host heard again later", steps: []step{toHost, aged(toHost, 601), refused, toHost}},
		{name: name + "container was first, then the host spoke", steps: []step{container, toWeb, speaks, toHost, refused, toHost}},
		{name: name + "container was first, then a tunnel spoke", steps: []step{container, speaksForOthers, toHost, refused}},
		{name: name + "through an uplink on another", flows: 1, steps: []step{
			container, toUplink(p.Eth0, p.Web.Name, wire, passed(), nil), toWeb, container,
		}},
		{name: name + "what a stranger sends through the host in its name", flows: 1, steps: []step{
			container, toUplink(p.Eth0, p.Eth0.Device, own, passed(), nil), toWeb, container,
		}},
		{name: name + "silence for as long as jiffies take to come round", flows: 1, steps: []step{
			speaks, aged(container, 601), aged(toWeb, 1<<30/jiffies), aged(toWeb, 3<<30/jiffies-601), container,
		}},
		{name: name + "silence ends it", flows: 1, steps: []step{speaks, aged(refused, 599), aged(container, 2), toWeb}},
		{name: name + "what others send through the host", flows: 1, steps: []step{
			toUplink(p.Eth0, "tun0", p.frame(own.IP(p.tunnel(), p.client())), passed(), nil), container, toWeb,
		}},
	}
	if p.proto == frame.SCTP {
		refuses := func(chunk byte) step { return toUplink(p.Eth0, "", own.Content(chunk, 1, 0, 4), passed(), nil) }
		cases = append(cases, testCase{name: name + "host refused what it heard", flows: 1, steps: []step{
			toHost, refuses(sctpAbort), refuses(sctpShutdownComplete), aged(container, 11), toWeb,
			refuses(sctpAbort), refuses(sctpShutdownComplete), toWeb, container,
		}})
	}
	return append(cases, p.listenerCases(name, container, toWeb, toHost, refused)...)
}

// aged is a step before which so many seconds pass.
func aged(s step, seconds uint32) step {
	s.before = func(t *testing.T, h *rig.Host) { h.AgeHeld(t, seconds*jiffies) }
	return s
}

// rejuvenated is a step before which what the host holds becomes so many seconds younger.
func rejuvenated(s step, seconds uint32) step { return aged(s, -seconds) }

// hearOthers is a step before which strangers have sent the host something for each place where
// it remembers what it heard.
func hearOthers(s step) step {
	s.before = func(t *testing.T, h *rig.Host) { h.HearOthers(t) }
	return s
}

// jiffies is how many a second has for the programs of the rig.
const jiffies = 256

// Who listens for a protocol gets what nobody has asked for, so it needs to have said
// nothing; a routing daemon says hello to all first.
func (p heldProto) listenerCases(name string, container, toWeb, toHost, refused step) []testCase {
	many, manyMAC := p.pick("224.0.0.5", "ff02::5"), flagOf(p.family, model.MAC{1, 0, 0x5e, 0, 0, 5}, model.MAC{0x33, 0x33, 0, 0, 0, 5})
	hello := toUplink(p.Eth0, "", p.frame(frame.Between(p.Eth0.MAC, manyMAC).IP(p.host(), many)), passed(), nil)
	listens := func(n uint32, proto uint8) func(*testing.T, *rig.Host) {
		return func(t *testing.T, h *rig.Host) {
			check(t, h.State.PutListeners(host.Protocol{IPv6: p.v6, Number: proto}, n))
		}
	}
	later := func(s step, before func(*testing.T, *rig.Host)) step {
		s.before = before
		return s
	}
	return []testCase{
		{name: name + "host speaks to many", steps: []step{hello, refused, toHost, refused}},
		{name: name + "container was first, then the host spoke to many", steps: []step{container, toWeb, hello, toHost, refused}},
		{name: name + "host listens", world: listens(1, p.proto), steps: []step{refused, toHost}},
		{name: name + "host listens for another protocol", world: listens(1, 200), flows: 1, steps: []step{container, toWeb}},
		{name: name + "container was first, then the host listened", flows: 1, steps: []step{
			container, toWeb, later(toHost, listens(1, p.proto)), refused, later(refused, listens(0, p.proto)), aged(container, 600), toWeb,
		}},
	}
}

// The gateway's port is borrowed by a hairpin like the uplink's address.
func heldHairpin(f family) testCase {
	out := f.sends(f.Web, f.host()).SCTP(3000, 2905)
	inside := f.into(f.DB, out.From(f.Net2.Gateway(f.v6), 3000).To(f.addr(f.DB), 2905))
	own := frame.Between(f.Net2.MAC, f.DB.MAC).IP(f.Net2.Gateway(f.v6), f.addr(f.DB)).SCTP(3000, 2905)
	answer := f.sends(f.DB, f.Net2.Gateway(f.v6)).SCTP(2905, 3000)
	return testCase{
		name:  "hairpin, then the host spoke",
		world: func(t *testing.T, h *rig.Host) { h.Publish(t, rig.Any(f.v6), 2905, protoSCTP, f.DB, 2905) },
		steps: []step{
			fromContainer(f.Web, out, delivered(f.DB), inside),
			toContainer(f.DB, "", own, passedTo(f.DB)),
			fromContainer(f.DB, answer, passed(), nil),
			fromContainer(f.Web, out, dropped(noPort), nil),
		},
	}
}

// Types of SCTP's chunks.
const (
	sctpInit             = 1
	sctpInitAck          = 2
	sctpAbort            = 6
	sctpShutdownComplete = 14
)

// What strangers send doesn't push out what the host holds, however much it is; nor what
// they, or a container, make the host answer.
func TestNobodyPushesOutWhatIsHeld(t *testing.T) {
	h := rig.New(t, rig.Options{MaxEntries: map[string]uint32{
		object.DatapathMapHostTuples: 64, object.DatapathMapAnswerTuples: 64,
	}})
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			out := f.sends(f.Web, f.client()).SCTP(2905, 2905)
			own := frame.Between(f.Eth0.MAC, f.RouterMAC).IP(f.host(), f.client()).SCTP(2905, 2905)
			begins, accepts := own.Content(sctpInit, 0, 0, 20), own.Content(sctpInitAck, 0, 0, 20)
			steps := []step{toUplink(f.Eth0, "", begins, passed(), nil)}
			for port := range uint16(1000) {
				steps = append(steps, fromUplink(f.Eth0, f.arrives(f.client(), f.host()).SCTP(5000+port, 2905), passed(), nil))
			}
			runCase(t, h, testCase{steps: append(steps, fromContainer(f.Web, out, dropped(noPort), nil))})
			// An answer is held, too, and what was begun is held on by what follows it.
			runCase(t, h, testCase{steps: []step{toUplink(f.Eth0, "", accepts, passed(), nil), fromContainer(f.Web, out, dropped(noPort), nil)}})
			steps = []step{steps[0], aged(toUplink(f.Eth0, "", own, passed(), nil), 400)}
			for port := range uint16(1000) {
				answer := accepts.IP(f.host(), f.far()).SCTP(2905, 5000+port)
				steps = append(steps, toUplink(f.Eth0, "", answer, passed(), nil))
			}
			steps[2] = aged(steps[2], 300)
			runCase(t, h, testCase{steps: append(steps, fromContainer(f.Web, out, dropped(noPort), nil))})
			steps = steps[:1]
			for port := range uint16(1000) {
				answer := frame.Between(f.Net2.MAC, f.DB.MAC).IP(f.Net2.Gateway(f.v6), f.addr(f.DB)).SCTP(5000+port, 2905)
				steps = append(steps, toContainer(f.DB, "", answer, passedTo(f.DB)))
			}
			runCase(t, h, testCase{steps: append(steps, fromContainer(f.Web, out, dropped(noPort), nil))})
		})
	}
}
