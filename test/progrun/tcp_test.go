// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
)

const (
	seenBit = object.DatapathFlowStateFLOW_SEEN
	synBit  = object.DatapathFlowStateFLOW_SYN
	ackBit  = object.DatapathFlowStateFLOW_ACK
	finBit  = object.DatapathFlowStateFLOW_FIN
	rstBit  = object.DatapathFlowStateFLOW_RST

	established = seenBit | synBit | ackBit
)

// session is a connection of web's to far:443 from port 40000.
type session struct{ f family }

// out is a segment of web's, in one of the server's.
func (s session) out(flags string, seq, ack uint32) step {
	x := s.f.sends(s.f.Web, s.f.far()).TCP(40000, 443, flags).Seq(seq, ack).Payload(0)
	return fromContainer(s.f.Web, x, forwarded(), x.From(s.f.host(), 40000).Hop())
}

func (s session) in(flags string, seq, ack uint32) step {
	x := s.f.arrives(s.f.far(), s.f.host()).TCP(443, 40000, flags).Seq(seq, ack).Payload(0)
	return fromUplink(s.f.Eth0, x, delivered(s.f.Web), s.f.into(s.f.Web, x.To(s.f.addr(s.f.Web), 40000)))
}

func (s session) handshake() []step {
	return []step{s.out("S", 100, 0), s.in("SA", 900, 101), s.out("A", 101, 901)}
}

// states compares both directions' states.
func states(out, in flow.State) func(*testing.T, *rig.Host) {
	return func(t *testing.T, h *rig.Host) {
		got := map[bool]flow.State{}
		for _, half := range halves(t, h) {
			got[half.Origin()] = half.State
		}
		if diff := cmp.Diff(map[bool]flow.State{true: out, false: in}, got); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
	}
}

func tcpCases(f family) []testCase {
	s := session{f}
	then := func(more ...step) []step { return append(s.handshake(), more...) }
	return []testCase{
		{name: "syn", flows: 1, steps: s.handshake()[:1], after: states(seenBit|synBit, 0)},
		{name: "handshake", flows: 1, steps: s.handshake(), after: states(established, established)},
		{name: "half closed", flows: 1, steps: then(s.out("FA", 101, 901), s.in("A", 901, 102), s.in("PA", 901, 102)),
			after: states(established|finBit, established)},
		{name: "closed", flows: 1, steps: then(s.out("FA", 101, 901), s.in("FA", 901, 102), s.out("A", 102, 902)),
			after: states(established|finBit, established|finBit)},
		{name: "closed and opened again", flows: 1, after: states(seenBit|synBit, 0),
			steps: then(s.out("FA", 101, 901), s.in("FA", 901, 102), s.out("A", 102, 902), s.out("S", 5000, 0))},
		{name: "opened again on half closed", flows: 1, after: states(established|finBit, established),
			steps: then(s.out("FA", 101, 901), s.out("S", 5000, 0))},
		{name: "simultaneous syn", flows: 1, after: states(seenBit|synBit, seenBit|synBit), steps: []step{s.out("S", 100, 0), s.in("S", 900, 0)}},
		{name: "refused", flows: 1, steps: []step{s.out("S", 100, 0), s.in("RA", 0, 101)}, after: states(seenBit|synBit, seenBit|rstBit)},
		{name: "refused and tried again", flows: 1, after: states(seenBit|synBit, 0),
			steps: []step{s.out("S", 100, 0), s.in("RA", 0, 101), s.out("S", 200, 0)}},
		{name: "reset exactly", flows: 1, steps: then(s.in("R", 901, 0)), after: states(established, established|rstBit)},
		{name: "reset one before", flows: 1, steps: then(s.in("R", 900, 0)), after: states(established, established)},
		{name: "reset within the window", flows: 1, steps: then(s.in("R", 950, 0)), after: states(established, established)},
		{name: "reset by the container", flows: 1, steps: then(s.out("R", 101, 0)), after: states(established|rstBit, established)},
		{name: "reset after data", flows: 1, after: states(established, established|rstBit),
			steps: then(segment(s, 901, 50), s.in("R", 951, 0))},
		{name: "reset and opened again", flows: 1, steps: then(s.in("R", 901, 0), s.out("S", 7000, 0)), after: states(seenBit|synBit, 0)},
		{name: "guessed reset can't make room for a syn", flows: 1, after: states(established, established),
			steps: then(s.in("R", 950, 0), s.in("S", 7000, 0))},
		// Anybody outside may claim to be the server; what he says must fit.
		{name: "guessed acknowledgement doesn't make a reset exact", flows: 1, after: states(established, established),
			steps: then(s.in("A", 50_000_000, 60_000_000), s.in("R", 50_000_000, 0))},
		{name: "guessed fin", flows: 1, after: states(established|finBit, established),
			steps: then(s.out("FA", 101, 901), s.in("FA", 50_000_000, 60_000_000))},
		{name: "fin after lost segments", flows: 1, after: states(established|finBit, established|finBit),
			steps: then(s.out("FA", 101, 901), s.in("FA", 901+(3<<20), 102))},
		{name: "syn from outside is no beginning", steps: []step{
			fromUplink(f.Eth0, f.arrives(f.far(), f.host()).TCP(443, 40000, "S"), passed(), nil),
		}},
	}
}

// segment is the server's with data that web didn't acknowledge yet.
func segment(s session, seq uint32, size int) step {
	x := s.f.arrives(s.f.far(), s.f.host()).TCP(443, 40000, "PA").Seq(seq, 101).Payload(size)
	return fromUplink(s.f.Eth0, x, delivered(s.f.Web), s.f.into(s.f.Web, x.To(s.f.addr(s.f.Web), 40000)))
}

// A published connection that has ended makes room for the next from the same port.
func TestPublishedPortReuse(t *testing.T) {
	h := rig.New(t, rig.Options{})
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			syn := f.arrives(f.client(), f.host()).TCP(50000, 8080, "S").Seq(100, 0)
			inside := func(x frame.Frame) frame.Frame { return f.into(f.Web, x.To(f.addr(f.Web), 80)) }
			answer := inside(syn).Reply().Flags("SA").Seq(900, 101)
			ends := func(x frame.Frame, flags string) frame.Frame { return x.Flags(flags).Seq(101, 901) }
			runCase(t, h, testCase{flows: 1, world: publishAny(f, protoTCP), after: states(seenBit|synBit, 0), steps: []step{
				fromUplink(f.Eth0, syn, delivered(f.Web), inside(syn)),
				fromContainer(f.Web, answer, forwarded(), answer.From(f.host(), 8080).Hop()),
				fromUplink(f.Eth0, ends(syn, "FA"), delivered(f.Web), inside(ends(syn, "FA"))),
				fromContainer(f.Web, ends(answer, "FA"), forwarded(), ends(answer, "FA").From(f.host(), 8080).Hop()),
				fromUplink(f.Eth0, syn, delivered(f.Web), inside(syn)),
			}})
		})
	}
}
