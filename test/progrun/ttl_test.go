// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"testing"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
)

// quoteMax is how much of a packet the datapath's own errors quote.
const quoteMax = 88

func timeExceeded(f family, e frame.Frame, quoted frame.Frame) frame.Frame {
	return e.ID(0).TTL(64).ICMP(flagOf[uint8](f, frame.TimeExceeded4, frame.TimeExceeded6), 0, 0, quoted.Datagram(quoteMax))
}

// fromGateway is the frame by which net1's gateway speaks to web.
func fromGateway(f family) frame.Frame {
	return frame.Between(f.Net1.MAC, f.Web.MAC).IP(f.Net1.Gateway(f.v6), f.addr(f.Web))
}

// ttlCases: the datapath is the hop that a packet's TTL ends at.
func ttlCases(f family) []testCase {
	out := f.sends(f.Web, f.far())
	in := f.arrives(f.client(), f.host())
	host := frame.Between(f.Eth0.MAC, f.RouterMAC).IP(f.host(), f.client())
	var cases []testCase
	for name, last := range map[string]frame.Frame{
		"udp": out.TTL(1).UDP(40000, 33434), "udp long": out.TTL(1).UDP(40000, 33434).Payload(1400),
		"udp odd": out.TTL(1).UDP(40000, 33434).Payload(9), "udp empty": out.TTL(1).UDP(40000, 33434).Payload(0),
		"tcp": out.TTL(1).TCP(40000, 443, "S"), "echo": out.TTL(1).Echo(4), "zero": out.TTL(0).UDP(1, 2),
	} {
		cases = append(cases, testCase{name: "out " + name, flows: 1, steps: []step{
			fromContainer(f.Web, last, delivered(f.Web), timeExceeded(f, fromGateway(f), last)),
		}})
	}
	first := out.UDP(1, 2).TTL(1).Payload(2000).Fragments(pieceSize)
	return append(cases,
		testCase{name: "two left", flows: 1, steps: roundTrip(f, out.TTL(2).UDP(1, 2))},
		testCase{name: "in", flows: 1, world: publishAny(f, protoTCP), steps: []step{
			fromUplink(f.Eth0, in.TTL(1).TCP(1, 8080, "S"), forwarded(), timeExceeded(f, host, in.TTL(1).TCP(1, 8080, "S"))),
		}},
		testCase{name: "no error about a later fragment", flows: 1, steps: []step{
			fromContainer(f.Web, raw(out.UDP(1, 2).Payload(2000).Fragments(pieceSize)[0]), forwarded(), raw(out.From(f.host(), 1).UDP(1, 2).Hop().Payload(2000).Fragments(pieceSize)[0])),
			fromContainer(f.Web, raw(first[1]), dropped(malformed), nil),
		}})
}

// tooBigCases: a route's MTU is 1400 while every device's is 1500.
func tooBigCases(f family) []testCase {
	header := flagOf(f, 20, 40)
	size := func(total int) int { return total - header - 8 }
	out := f.sends(f.Web, f.narrow()).UDP(40000, 53).DontFragment()
	big := out.Payload(size(1401))
	fits := out.Payload(size(1400))
	wire := func(x frame.Frame) frame.Frame { return x.From(f.host(), 40000).Hop() }
	gso := fromContainer(f.Web, f.sends(f.Web, f.narrow()).TCP(40000, 80, "S").DontFragment().Payload(2600), forwarded(),
		f.sends(f.Web, f.narrow()).TCP(40000, 80, "S").From(f.host(), 40000).DontFragment().Payload(2600).Hop())
	gso.run.Segments, gso.run.SegmentSize = 2, uint32(1400-header-20)
	gsoBig := fromContainer(f.Web, f.sends(f.Web, f.narrow()).TCP(40001, 80, "S").DontFragment().Payload(2600), delivered(f.Web),
		tooBig(f, fromGateway(f).ID(0), f.sends(f.Web, f.narrow()).TCP(40001, 80, "S").DontFragment().Payload(2600), 1400, quoteMax))
	gsoBig.run.Segments, gsoBig.run.SegmentSize = 2, uint32(1401-header-20)
	gsoBig.single = true
	sctp := f.sends(f.Web, f.narrow()).SCTP(40000, 80).DontFragment().Payload(2600)
	pieces := fromContainer(f.Web, sctp, forwarded(), sctp.From(f.host(), 40000).Hop())
	pieces.run.Segments, pieces.run.SegmentSize = 2, 0xffff
	cases := []testCase{
		{name: "SCTP in pieces of its own", flows: 1, steps: []step{pieces}},
		{name: "fits", flows: 1, steps: []step{fromContainer(f.Web, fits, forwarded(), wire(fits))}},
		{name: "one byte more", flows: 1, steps: []step{
			fromContainer(f.Web, big, delivered(f.Web), tooBig(f, fromGateway(f).ID(0), big, 1400, quoteMax)),
		}},
		{name: "segments fit", flows: 1, steps: []step{gso}},
		{name: "segments don't fit", flows: 1, steps: []step{gsoBig}},
		{
			name: "answer of a published port", flows: 1,
			world: func(t *testing.T, h *rig.Host) { h.Publish(t, rig.Any(f.v6), 53, protoUDP, f.Web, 53) },
			steps: tooBigAnswer(f, size(1401)),
		},
	}
	if !f.v6 {
		cases = append(cases, fragmentedByStack(f))
	}
	return cases
}

func tooBigAnswer(f family, size int) []step {
	in := f.arrives(f.narrow(), f.host()).UDP(50000, 53)
	inside := f.into(f.Web, in.To(f.addr(f.Web), 53))
	answer := inside.Reply().DontFragment().Payload(size)
	return []step{
		fromUplink(f.Eth0, in, delivered(f.Web), inside),
		fromContainer(f.Web, answer, delivered(f.Web), tooBig(f, fromGateway(f).ID(0), answer, 1400, quoteMax)),
	}
}

// Without DF the stack cuts the packet and to_uplink translates the pieces.
func fragmentedByStack(f family) testCase {
	out := f.sends(f.Web, f.narrow()).UDP(40000, 53).Payload(2000)
	pieces := frame.Between(f.Eth0.MAC, f.RouterMAC).IP(f.addr(f.Web), f.narrow()).UDP(40000, 53).Payload(2000).Hop()
	wire := pieces.From(f.host(), 40000)
	return testCase{name: "without DF", flows: 1, steps: []step{
		fromContainer(f.Web, out, passed(), nil),
		toUplink(f.Eth0, "br1", raw(pieces.Fragments(1376)[0]), passed(), raw(wire.Fragments(1376)[0])),
		toUplink(f.Eth0, "br1", raw(pieces.Fragments(1376)[1]), passed(), raw(wire.Fragments(1376)[1])),
	}, after: func(t *testing.T, h *rig.Host) {
		for _, half := range halves(t, h) {
			if half.Origin() && half.Action != object.DatapathFlowActionFLOW_FORWARD {
				t.Errorf("origin: %s", half.String())
			}
		}
	}}
}
