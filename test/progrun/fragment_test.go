// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
)

const pieceSize = 1448

// pieces makes one step of every fragment, in and out.
func pieces(make func(in, out packet) step, in, out frame.Frame) []step {
	var steps []step
	outs := out.Fragments(pieceSize)
	for i, piece := range in.Fragments(pieceSize) {
		steps = append(steps, make(raw(piece), raw(outs[i])))
	}
	return steps
}

func fragmentCases(f family) []testCase {
	base := f.sends(f.Web, f.far()).Payload(4000)
	var cases []testCase
	for name, out := range map[string]frame.Frame{
		"udp": base.UDP(5000, 53), "udp without checksum": base.UDP(5000, 53).NoChecksum(), "tcp": base.TCP(5000, 80, "S"),
		"echo": base.Echo(42), "echo with identifier 0": base.Echo(0),
	} {
		wire := out.From(f.host(), out.Src().Port()).Hop()
		steps := pieces(func(in, out packet) step { return fromContainer(f.Web, in, forwarded(), out) }, out, wire)
		back := wire.Reply().MACs(f.RouterMAC, f.Eth0.MAC)
		if name == "tcp" {
			back = back.Flags("SA")
		}
		inside := f.into(f.Web, back.To(f.addr(f.Web), back.Dst().Port()))
		steps = append(steps, pieces(func(in, out packet) step { return fromUplink(f.Eth0, in, delivered(f.Web), out) }, back, inside)...)
		cases = append(cases, testCase{name: "masqueraded " + name, steps: steps, flows: 1})
	}
	if f.v6 {
		cases = append(cases, fragmentOptions(f))
	}
	return append(cases, fragmentPublished(f), fragmentHairpin(f), fragmentAtomic(f), fragmentOrphans(f), fragmentForeign(f), fragmentOwn(f))
}

// withOptions cuts an IPv6 datagram into pieces with destination options before its
// transport: these are part of what is cut, so only the first piece has them (RFC 8200, 4.5).
func withOptions(in frame.Frame) [][]byte {
	const lengthAt, nextAt, offsetAt, partAt, size = 18, 54, 56, 62, 8
	all := in.Fragments(pieceSize - size)
	for i, piece := range all {
		if i == 0 {
			options := []byte{piece[nextAt], 0, 1, 4, 0, 0, 0, 0}
			piece = slices.Insert(piece, partAt, options...)
			binary.BigEndian.PutUint16(piece[lengthAt:], binary.BigEndian.Uint16(piece[lengthAt:])+size)
		} else {
			binary.BigEndian.PutUint16(piece[offsetAt:], binary.BigEndian.Uint16(piece[offsetAt:])+size)
		}
		piece[nextAt] = 60
		all[i] = piece
	}
	return all
}

func fragmentOptions(f family) testCase {
	out := f.sends(f.Web, f.far()).UDP(5000, 53).Payload(4000)
	wire := out.From(f.host(), 5000).Hop()
	back := wire.Reply().MACs(f.RouterMAC, f.Eth0.MAC)
	var steps []step
	outs := withOptions(wire)
	for i, piece := range withOptions(out) {
		steps = append(steps, fromContainer(f.Web, raw(piece), forwarded(), raw(outs[i])))
	}
	ins := withOptions(f.into(f.Web, back.To(f.addr(f.Web), 5000)))
	for i, piece := range withOptions(back) {
		steps = append(steps, fromUplink(f.Eth0, raw(piece), delivered(f.Web), raw(ins[i])))
	}
	return testCase{name: "destination options behind the fragment header", flows: 1, steps: steps}
}

func fragmentPublished(f family) testCase {
	in := f.arrives(f.client(), f.host()).UDP(50000, 53).Payload(3000)
	inside := f.into(f.Web, in.To(f.addr(f.Web), 5353))
	answer := inside.Reply()
	steps := pieces(func(in, out packet) step { return fromUplink(f.Eth0, in, delivered(f.Web), out) }, in, inside)
	steps = append(steps, pieces(func(in, out packet) step { return fromContainer(f.Web, in, forwarded(), out) }, answer, answer.From(f.host(), 53).Hop())...)
	return testCase{name: "published", steps: steps, flows: 1, world: func(t *testing.T, h *rig.Host) {
		h.Publish(t, rig.Any(f.v6), 53, protoUDP, f.Web, 5353)
	}}
}

func fragmentHairpin(f family) testCase {
	out := f.sends(f.Web, f.host()).UDP(45000, 53).Payload(3000)
	inside := f.into(f.DB, out.From(f.Net2.Gateway(f.v6), 45000).To(f.addr(f.DB), 5353))
	return testCase{
		name: "hairpin", flows: 1,
		steps: pieces(func(in, out packet) step { return fromContainer(f.Web, in, delivered(f.DB), out) }, out, inside),
		world: func(t *testing.T, h *rig.Host) { h.Publish(t, rig.Any(f.v6), 53, protoUDP, f.DB, 5353) },
	}
}

// A fragment header on a whole datagram (RFC 6946).
func fragmentAtomic(f family) testCase {
	out := f.sends(f.Web, f.far()).UDP(5000, 53)
	return testCase{name: "whole", flows: 1, steps: []step{
		fromContainer(f.Web, raw(out.Fragments(8192)[0]), forwarded(), raw(out.From(f.host(), 5000).Hop().Fragments(8192)[0])),
	}}
}

func fragmentOrphans(f family) testCase {
	later := f.sends(f.Web, f.far()).UDP(5000, 53).Payload(2000).Fragments(pieceSize)[1]
	in := f.arrives(f.client(), f.host()).UDP(50000, 8080).Payload(2000).Fragments(pieceSize)[1]
	return testCase{name: "first part not seen", world: publishAny(f, protoUDP), steps: []step{
		fromContainer(f.Web, raw(later), parked(), nil),
		fromUplink(f.Eth0, raw(in), passedParked(), nil),
		// Where no first part would be let through none is waited for.
		{run: rig.Run{Program: rig.FromContainer, Device: f.Web.Name}, in: raw(later), want: dropped(fragmentReason),
			before: func(t *testing.T, h *rig.Host) { h.PutNetwork(t, f.Net1, rig.Default|rig.Internal) }},
		fromContainer(f.Web, raw(f.sends(f.Web, f.addr(f.DB)).UDP(5000, 53).Payload(2000).Fragments(pieceSize)[1]), dropped(fragmentReason), nil),
	}}
}

// What is the host's own needn't wait when its first piece has been there.
func fragmentOwn(f family) testCase {
	in := f.arrives(f.client(), f.host()).UDP(50000, 9999).Payload(2000).Fragments(pieceSize)
	return testCase{name: "the host's own", steps: []step{
		fromUplink(f.Eth0, raw(in[1]), passedParked(), nil),
		fromUplink(f.Eth0, raw(in[0]), passed(), nil),
		fromUplink(f.Eth0, raw(in[1]), passed(), nil),
	}}
}

// Another datagram's ports are not for this one, whoever shares its identification.
func fragmentForeign(f family) testCase {
	out := f.sends(f.Web, f.far()).UDP(5000, 53).Payload(2000)
	other := out.ID(0x4321).Fragments(pieceSize)[1]
	elsewhere := out.To(f.client(), 53).Fragments(pieceSize)[1]
	return testCase{name: "of another datagram", flows: 1, steps: []step{
		fromContainer(f.Web, raw(out.Fragments(pieceSize)[0]), forwarded(), raw(out.From(f.host(), 5000).Hop().Fragments(pieceSize)[0])),
		fromContainer(f.Web, raw(other), parked(), nil),
		fromContainer(f.Web, raw(elsewhere), parked(), nil),
	}}
}

// A flood of first fragments, out of another container or to it, ends no datagram whose
// rest is still to come.
func TestFragmentsBesideAFlood(t *testing.T) {
	h := rig.New(t, rig.Options{})
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			h.Restore(t)
			h.Publish(t, rig.Any(f.v6), 53, protoUDP, f.Web, 5353)
			h.Publish(t, rig.Any(f.v6), 54, protoUDP, f.App, 5353)
			out, in := f.sends(f.Web, f.far()).UDP(5000, 53).Payload(2000), f.arrives(f.client(), f.host()).UDP(50000, 53).Payload(2000)
			leaves := pieces(func(p, q packet) step { return fromContainer(f.Web, p, forwarded(), q) }, out, out.From(f.host(), 5000).Hop())
			enters := pieces(func(p, q packet) step { return fromUplink(f.Eth0, p, delivered(f.Web), q) }, in, f.into(f.Web, in.To(f.addr(f.Web), 5353)))
			if !runStep(t, h, 0, leaves[0]) || !runStep(t, h, 1, enters[0]) {
				return
			}
			flood := f.arrives(f.far(), f.host()).UDP(50000, 54).Payload(2000)
			firstFragments(t, h, rig.Run{Program: rig.FromContainer, Device: f.App.Name}, f.sends(f.App, f.far()).UDP(5001, 53).Payload(2000))
			firstFragments(t, h, rig.Run{Program: rig.FromUplink, Device: f.Eth0.Device}, flood)
			runStep(t, h, 2, leaves[1])
			runStep(t, h, 3, enters[1])
			// Of the flood's own the last are found.
			last := pieces(func(p, q packet) step { return fromUplink(f.Eth0, p, delivered(f.App), q) }, flood.ID(floodSize),
				f.into(f.App, flood.ID(floodSize).To(f.addr(f.App), 5353)))
			runStep(t, h, 4, last[1])
		})
	}
}

// floodSize is more than the table of fragments holds.
const floodSize = 18_000

// firstFragments runs the first fragments of many datagrams, numbered from 1 on.
func firstFragments(t *testing.T, h *rig.Host, r rig.Run, datagram frame.Frame) {
	t.Helper()
	r.Frame = datagram.Fragments(pieceSize)[0]
	number := r.Frame[18:20]
	if !datagram.IsIPv4() {
		number = r.Frame[14+40+6:][:2]
	}
	h.Do(func() {
		for i := range floodSize {
			binary.BigEndian.PutUint16(number, uint16(i+1))
			frame.Fix(r.Frame)
			if got, err := h.RunHere(r); err != nil || got.Action != rig.Redirect {
				t.Errorf("first fragment %d: action %d, %v", i, got.Action, err)
				return
			}
		}
	})
}
