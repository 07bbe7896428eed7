// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"slices"
	"testing"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
)

// asked is the tc_index of a packet that was left to the stack under a generation of
// rules.
func asked(generation uint16) uint16 { return 0x4000 | generation }

// outOfStack is a step at an egress with a packet that was left to the stack.
func outOfStack(s step, generation uint16) step {
	s.run.TCIndex = asked(generation)
	return s
}

// newRules begins another generation of rules before a step.
func newRules(s step) step {
	s.before = func(t *testing.T, h *rig.Host) { check(t, h.State.NewRules()) }
	return s
}

// crossing makes the steps of a connection of web's with the outside: packets of its
// own (sent), what they are on the wire, and answers.
type crossing struct {
	f         family
	sent      frame.Frame
	wire, inn func(frame.Frame) frame.Frame
}

// masqueraded is a connection that web begins.
func masqueraded(f family, sent frame.Frame) crossing {
	return crossing{
		f: f, sent: sent,
		wire: func(p frame.Frame) frame.Frame { return p.From(f.host(), p.Src().Port()) },
		inn:  func(p frame.Frame) frame.Frame { return p.To(f.addr(f.Web), p.Dst().Port()) },
	}
}

// visited is a connection to web's port 80 by port 8080 of the host; sent is web's
// answer.
func visited(f family, sent frame.Frame) crossing {
	return crossing{
		f: f, sent: sent,
		wire: func(p frame.Frame) frame.Frame { return p.From(f.host(), 8080) },
		inn:  func(p frame.Frame) frame.Frame { return p.To(f.addr(f.Web), 80) },
	}
}

// leavesBySlow is a packet of web's that goes through the stack.
func (c crossing) leavesBySlow(p frame.Frame, generation uint16) []step {
	routed := p.Hop().MACs(c.f.Eth0.MAC, c.f.RouterMAC)
	return []step{
		fromContainer(c.f.Web, p, passed(), nil),
		outOfStack(toUplink(c.f.Eth0, "br1", routed, passed(), c.wire(routed)), generation),
	}
}

func (c crossing) leavesByFast(p frame.Frame) step {
	return fromContainer(c.f.Web, p, forwarded(), c.wire(p).Hop())
}

// answer is what comes back for a packet of web's.
func (c crossing) answer(p frame.Frame) frame.Frame {
	return c.wire(p).Reply().MACs(c.f.RouterMAC, c.f.Eth0.MAC).TTL(64)
}

func (c crossing) comesBySlow(p frame.Frame, generation uint16) []step {
	return []step{
		fromUplink(c.f.Eth0, p, passed(), c.inn(p)),
		outOfStack(toContainer(c.f.Web, "eth0", c.f.into(c.f.Web, c.inn(p)), passedTo(c.f.Web)), generation),
	}
}

func (c crossing) comesByFast(p frame.Frame) step {
	return fromUplink(c.f.Eth0, p, delivered(c.f.Web), c.f.into(c.f.Web, c.inn(p)))
}

func join(parts ...[]step) (all []step) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func one(s step) []step { return []step{s} }

// firstPacketCases: first-packet mode. The rules' generation is 1 at first.
func firstPacketCases(f family) []testCase {
	return slices.Concat(settleCases(f), presentCases(f), refuseCases(f), xdpCases(f), notAskedCases(f))
}

// settleCases: connections that are judged, go past the stack, and are judged again.
func settleCases(f family) []testCase {
	out := f.sends(f.Web, f.far()).TCP(40000, 443, "S")
	m := masqueraded(f, out)
	synAck, ack, data := m.answer(out).Flags("SA"), out.Flags("A"), out.Flags("PA")
	back := m.answer(data).Flags("PA")
	handshake := join(m.leavesBySlow(out, 1), m.comesBySlow(synAck, 1), m.leavesBySlow(ack, 1))
	settled := join(handshake, m.comesBySlow(back, 1), one(m.comesByFast(back)), one(m.leavesByFast(data)))
	u := masqueraded(f, f.sends(f.Web, f.far()).UDP(5000, 53))
	echo := masqueraded(f, f.sends(f.Web, f.far()).Echo(7))
	aged := func(s []step) []step {
		s[0].before = func(t *testing.T, h *rig.Host) { h.Age(t, 300) }
		return s
	}
	renewed := func(s []step) []step {
		s[0] = newRules(s[0])
		return s
	}
	return []testCase{
		{name: "never let out", steps: []step{fromContainer(f.Web, out, passed(), nil), fromContainer(f.Web, out, passed(), nil)}},
		{name: "tcp", flows: 1, steps: settled},
		{name: "ends by the stack", flows: 1, steps: join(settled, m.leavesBySlow(out.Flags("FA"), 1), m.comesBySlow(back.Flags("R"), 1))},
		{name: "udp", flows: 1, steps: join(u.leavesBySlow(u.sent, 1), u.comesBySlow(u.answer(u.sent), 1),
			u.leavesBySlow(u.sent, 1), one(u.leavesByFast(u.sent)), one(u.comesByFast(u.answer(u.sent))))},
		{name: "echo", flows: 1, steps: join(echo.leavesBySlow(echo.sent, 1), echo.comesBySlow(echo.answer(echo.sent), 1),
			echo.leavesBySlow(echo.sent, 1), one(echo.leavesByFast(echo.sent)))},
		{name: "one way never settles", flows: 1, steps: join(u.leavesBySlow(u.sent, 1), u.leavesBySlow(u.sent, 1), u.leavesBySlow(u.sent, 1))},
		{name: "other rules", flows: 1, steps: join(settled, renewed(m.leavesBySlow(data, 2)), m.leavesBySlow(data, 2), m.comesBySlow(back, 2),
			m.leavesBySlow(data, 2), one(m.leavesByFast(data)), one(m.comesByFast(back)))},
		{name: "queued while rules changed", flows: 1, steps: join(settled, renewed(m.leavesBySlow(data, 1)), m.comesBySlow(back, 2), m.leavesBySlow(data, 1),
			m.comesBySlow(back, 2))},
		{name: "each second again", flows: 1, steps: join(settled, aged(m.leavesBySlow(data, 1)), one(m.leavesByFast(data)),
			m.comesBySlow(back, 1), one(m.comesByFast(back)))},
		{name: "held up for good", flows: 1, steps: join(settled, aged([]step{fromContainer(f.Web, data, passed(), nil)}),
			one(fromContainer(f.Web, data, passed(), nil)), one(fromContainer(f.Web, data, passed(), nil)))},
	}
}

// presentCases: what comes from outside is translated before it is judged.
func presentCases(f family) []testCase {
	in := f.arrives(f.client(), f.host())
	publishBoth := func(t *testing.T, h *rig.Host) {
		h.Publish(t, rig.Any(f.v6), 8080, protoTCP, f.Web, 80)
		h.Publish(t, rig.Any(f.v6), 8080, protoUDP, f.Web, 80)
		h.Publish(t, rig.Any(f.v6), 8081, protoUDP, f.Web, 80)
	}
	answer := f.sends(f.Web, f.client()).TCP(80, 50000, "SA")
	v := visited(f, answer)
	syn, data := in.TCP(50000, 8080, "S"), in.TCP(50000, 8080, "PA")
	presented := fromUplink(f.Eth0, syn, passed(), v.inn(syn))
	udp := in.UDP(50000, 8080)
	w := visited(f, f.sends(f.Web, f.client()).UDP(80, 50000))
	alike := in.UDP(50000, 8081)
	choice := fromUplink(f.Eth0, alike, passed(), nil)
	choice.free = true
	return []testCase{
		{name: "presented, never let in", world: publishBoth, steps: []step{presented, presented, fromUplink(f.Eth0, udp, passed(), w.inn(udp))}},
		{name: "published", world: publishBoth, flows: 1, steps: join(v.comesBySlow(syn, 1), v.leavesBySlow(answer, 1), v.comesBySlow(syn.Flags("A"), 1),
			one(v.comesByFast(data)), v.leavesBySlow(answer.Flags("A"), 1), one(v.leavesByFast(answer.Flags("PA"))))},
		{name: "published udp", world: publishBoth, flows: 1, steps: join(w.comesBySlow(udp, 1), w.leavesBySlow(w.sent, 1), w.comesBySlow(udp, 1),
			one(w.comesByFast(udp)), one(w.leavesByFast(w.sent)))},
		{name: "two ports of one client's", world: publishBoth, flows: 1, steps: join(w.comesBySlow(udp, 1), one(choice))},
		{name: "presented by nobody", world: publishBoth, steps: []step{
			outOfStack(toContainer(f.Web, "eth0", f.into(f.Web, v.inn(syn)), dropped(noFlow)), 1),
		}},
		{name: "past the programs", world: publishBoth, steps: []step{presented, toContainer(f.Web, "eth0", f.into(f.Web, v.inn(syn)), dropped(directRouting))}},
		{name: "direct", flows: 1, world: func(t *testing.T, h *rig.Host) {
			h.PutNetwork(t, f.Net1, rig.Default|flagOf(f, rig.Open4, rig.Open6))
		}, steps: []step{
			fromUplink(f.Eth0, in.To(f.addr(f.Web), 80).UDP(50000, 80), passed(), nil),
			outOfStack(toContainer(f.Web, "eth0", f.into(f.Web, in.To(f.addr(f.Web), 80).UDP(50000, 80)), passedTo(f.Web)), 1),
		}},
		{name: "refused direct routing", steps: []step{fromUplink(f.Eth0, in.To(f.addr(f.Web), 80).TCP(50000, 80, "S"), dropped(directRouting), nil)}},
		{name: "fragments out", steps: pieces(func(in, out packet) step { return fromContainer(f.Web, in, passed(), out) },
			f.sends(f.Web, f.far()).UDP(5000, 53).Payload(4000), f.sends(f.Web, f.far()).UDP(5000, 53).Payload(4000))},
		{name: "fragments in", world: publishBoth, steps: pieces(func(in, out packet) step { return fromUplink(f.Eth0, in, passed(), out) },
			udp.Payload(4000), w.inn(udp).Payload(4000))},
		{name: "lost first fragment", steps: []step{
			fromContainer(f.Web, raw(f.sends(f.Web, f.far()).UDP(5000, 53).Payload(4000).Fragments(pieceSize)[1]), parked(), nil),
		}},
	}
}

// refuseCases: what the host's stack answers for what was presented, REJECT's answers
// above all, is about the address that was asked.
func refuseCases(f family) []testCase {
	publishBoth := func(t *testing.T, h *rig.Host) {
		publishAny(f, protoTCP)(t, h)
		publishAny(f, protoUDP)(t, h)
	}
	in := f.arrives(f.client(), f.host())
	syn, udp := in.TCP(50000, 8080, "S"), in.UDP(50000, 8080)
	reset := f.sends(f.Web, f.client()).TCP(80, 50000, "RA").MACs(f.Eth0.MAC, f.RouterMAC)
	v := visited(f, reset)
	answer := f.leaves(f.host(), f.client())
	aboutIt := func(p frame.Frame) step {
		return toUplink(f.Eth0, "", unreachable(f, answer, v.inn(p), whole), passed(), unreachable(f, answer, p, whole))
	}
	presented := func(p frame.Frame) step { return fromUplink(f.Eth0, p, passed(), v.inn(p)) }
	return []testCase{
		{name: "reset", world: publishBoth, steps: []step{presented(syn), toUplink(f.Eth0, "", reset, passed(), v.wire(reset))}},
		{name: "reset by a container", world: publishBoth, steps: []step{presented(syn), toUplink(f.Eth0, "br1", reset, dropped(noFlow), nil)}},
		{name: "reset of nothing", world: publishBoth, steps: []step{toUplink(f.Eth0, "", reset, dropped(noFlow), nil)}},
		{name: "error about tcp", world: publishBoth, steps: []step{presented(syn), aboutIt(syn)}},
		{name: "error about udp", world: publishBoth, steps: []step{presented(udp), aboutIt(udp)}},
		{name: "error about a known flow", world: publishBoth, flows: 1, steps: join(v.comesBySlow(syn, 1), one(aboutIt(syn)))},
		{name: "error about nothing", world: publishBoth, steps: []step{toUplink(f.Eth0, "", unreachable(f, answer, v.inn(udp), whole), passed(), nil)}},
	}
}

// xdpCases: the driver's program forwards what is settled and no more.
func xdpCases(f family) []testCase {
	in := f.arrives(f.client(), f.host()).UDP(50000, 8080)
	w := visited(f, f.sends(f.Web, f.client()).UDP(80, 50000))
	inside := f.into(f.Web, w.inn(in))
	aged := onWire(f.Eth0, in, passed(), nil)
	aged.before = func(t *testing.T, h *rig.Host) { h.Age(t, 300) }
	return []testCase{{
		name: "xdp", world: withXDP(publishAny(f, protoUDP)), flows: 1,
		steps: join(w.comesBySlow(in, 1), one(onWire(f.Eth0, in, passed(), nil)), w.leavesBySlow(w.sent, 1), w.comesBySlow(in, 1),
			one(onWire(f.Eth0, in, delivered(f.Web), inside)), one(aged), one(onWire(f.Eth0, in, passed(), nil)), w.comesBySlow(in, 1),
			one(onWire(f.Eth0, in, delivered(f.Web), inside)), one(newRules(onWire(f.Eth0, in, passed(), nil)))),
	}}
}

// notAskedCases: policy stays ours, and so do connections between containers.
func notAskedCases(f family) []testCase {
	hairpin := f.sends(f.App, f.host()).UDP(45000, 8080)
	return []testCase{
		{name: "isolation", steps: []step{fromContainer(f.Web, f.sends(f.Web, f.addr(f.DB)).UDP(1, 2), dropped(isolated), nil)}},
		{name: "internal", steps: []step{fromContainer(f.Web, f.sends(f.Web, f.far()).UDP(1, 2), dropped(internalReason), nil)},
			world: func(t *testing.T, h *rig.Host) { h.PutNetwork(t, f.Net1, rig.Default|rig.Internal) }},
		{name: "hairpin", flows: 1, world: publishAny(f, protoUDP), steps: []step{
			fromContainer(f.App, hairpin, delivered(f.Web), f.into(f.Web, hairpin.From(f.Net1.Gateway(f.v6), 45000).To(f.addr(f.Web), 80))),
		}},
		{name: "last hop", steps: []step{fromContainer(f.Web, f.sends(f.Web, f.far()).UDP(1, 2).TTL(1), passed(), nil)}},
	}
}

func TestFirstPacket(t *testing.T) {
	h := rig.New(t, rig.Options{Constants: map[string]any{object.DatapathVarFirstPacket: true}})
	for name, f := range families() {
		for _, c := range firstPacketCases(f) {
			world := c.world
			c.world = func(t *testing.T, h *rig.Host) {
				check(t, h.State.NewRules())
				if world != nil {
					world(t, h)
				}
			}
			t.Run(name+"/"+c.name, func(t *testing.T) { runCase(t, h, c) })
		}
	}
}
