// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/maps/carry"
	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/share"
	"github.com/fairway-project/fairway/test/progrun/rig"
)

// connected leaves one connection of web's, masqueraded, in an empty table and returns its
// halves. Ports are counted with a seed that isn't zero, as on a host.
func connected(t *testing.T, h *rig.Host, f family) (origin, reply flow.Half) {
	t.Helper()
	h.Restore(t)
	check(t, h.Shares.Put(share.Share{}, 77))
	out := f.sends(f.Web, f.far()).UDP(5000, 53)
	runStep(t, h, 0, fromContainer(f.Web, out, forwarded(), out.From(f.host(), 5000).Hop()))
	j := judge(t, h)[0]
	return j.origin, j.twin
}

// portsInUse sums the counts of ports.
func portsInUse(t *testing.T, h *rig.Host) (n int32) {
	t.Helper()
	var key uint32
	var count int32
	it := h.PortUses.Iterate()
	for it.Next(&key, &count) {
		n += count
	}
	check(t, it.Err())
	return n
}

func carried(t *testing.T, h *rig.Host, halves ...flow.Half) (outcomes []carry.Outcome) {
	t.Helper()
	var entries []carry.Entry
	for _, half := range halves {
		entries = append(entries, flow.Carried(half))
	}
	check(t, h.Carrier.Carry(entries))
	for _, e := range entries {
		outcomes = append(outcomes, carry.Outcome(e.Outcome))
	}
	return outcomes
}

// What is carried over counts as if packets had opened it, however often it is handed in.
func TestCarryEnters(t *testing.T) {
	h := rig.New(t, rig.Options{})
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			origin, reply := connected(t, h, f)
			ports := portsInUse(t, h)
			if n := collect(t, h, judge(t, h)); n != 1 || portsInUse(t, h) != 0 || ports == 0 {
				t.Fatalf("collected %d; %d ports were in use, and %d are", n, ports, portsInUse(t, h))
			}
			for _, want := range []carry.Outcome{carry.Entered, carry.Known, carry.Known} {
				for _, got := range carried(t, h, reply, origin) {
					if got != want {
						t.Errorf("outcome %d, want %d", got, want)
					}
				}
				wantOpen(t, h, f, int(f.Web.Slot), 1)
				wantOpen(t, h, f, share.All, 1)
				if n := portsInUse(t, h); n != ports {
					t.Errorf("%d ports in use, want %d", n, ports)
				}
			}
			if n := checkPairs(t, h); n != 1 {
				t.Errorf("%d connections, want 1", n)
			}
			// A packet of it is carried on, and none opens another.
			out := f.sends(f.Web, f.far()).UDP(5000, 53)
			runStep(t, h, 0, fromContainer(f.Web, out, forwarded(), out.From(f.host(), 5000).Hop()))
			if n := collect(t, h, judge(t, h)); n != 1 || portsInUse(t, h) != 0 {
				t.Errorf("collected %d, and %d ports are in use", n, portsInUse(t, h))
			}
			wantOpen(t, h, f, share.All, 0)
		})
	}
}

// What is there gains what the other one knows more, and loses nothing.
func TestCarryMerges(t *testing.T) {
	h := rig.New(t, rig.Options{})
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			origin, reply := connected(t, h, f)
			later := reply
			later.LastSeen += 1000
			later.State |= object.DatapathFlowStateFLOW_SEEN
			later.Begun = later.LastSeen
			earlier := origin
			earlier.LastSeen -= 1000
			earlier.State = 0
			for _, got := range carried(t, h, later, earlier) {
				if got != carry.Known {
					t.Errorf("outcome %d, want %d", got, carry.Known)
				}
			}
			got := judge(t, h)[0]
			if got.origin != origin {
				t.Errorf("origin was\n%s\nand is\n%s", &origin, &got.origin)
			}
			if got.twin.LastSeen != later.LastSeen || got.twin.State != later.State || got.twin.Begun != later.Begun {
				t.Errorf("reply is\n%s\nwant\n%s", &got.twin, &later)
			}
			wantOpen(t, h, f, share.All, 1)
		})
	}
}

// A tuple belongs to one connection: of two, to the one that was seen last. The other one
// leaves nothing behind.
func TestCarryReservesTuples(t *testing.T) {
	h := rig.New(t, rig.Options{})
	for name, f := range families() {
		for _, c := range []struct {
			name    string
			later   int32
			outcome carry.Outcome
		}{{"seen before", -1000, carry.Taken}, {"at once", 0, carry.Taken}, {"seen later", 1000, carry.Entered}} {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				origin, reply := connected(t, h, f)
				theirs, answers := origin, reply
				theirs.Src = netip.AddrPortFrom(f.addr(f.Web), 6000)
				answers.NATDst = theirs.Src
				theirs.LastSeen += uint32(c.later)
				answers.LastSeen += uint32(c.later)
				if got := carried(t, h, answers)[0]; got != c.outcome {
					t.Errorf("outcome %d, want %d", got, c.outcome)
				}
				if got := carried(t, h, theirs)[0]; got != c.outcome {
					t.Errorf("outcome %d of the origin, want %d", got, c.outcome)
				}
				want := origin.Src
				if c.outcome == carry.Entered {
					want = theirs.Src
				}
				if n := checkPairs(t, h); n != 1 {
					t.Errorf("%d connections, want 1", n)
				}
				if got := judge(t, h)[0].origin.Src; got != want {
					t.Errorf("the tuple is %s's, want %s's", got, want)
				}
				wantOpen(t, h, f, share.All, 1)
			})
		}
	}
}

// otherPort is the connection by another port of the host's.
func otherPort(origin, reply flow.Half, port uint16) (flow.Half, flow.Half) {
	reply.Dst = netip.AddrPortFrom(reply.Dst.Addr(), port)
	origin.NATSrc = reply.Dst
	return origin, reply
}

// Without its reply's half an origin doesn't come in, and without the origin a reply
// doesn't stay.
func TestCarryEntersBothOrNone(t *testing.T) {
	h := rig.New(t, rig.Options{})
	for name, f := range families() {
		for _, c := range []struct {
			name string
			// theirs makes another connection of one that is there; its reply may go in.
			theirs func(origin, reply flow.Half) (flow.Half, flow.Half)
			reply  carry.Outcome
		}{
			{"of a tuple that is in use", func(origin, reply flow.Half) (flow.Half, flow.Half) {
				origin, reply = otherPort(origin, reply, 6000)
				origin.LastSeen -= 1000
				return origin, reply
			}, carry.Entered},
			{"by the tuple of a later reply", func(origin, reply flow.Half) (flow.Half, flow.Half) {
				origin.Src = netip.AddrPortFrom(origin.Src.Addr(), 6000)
				origin.LastSeen += 1000
				reply.NATDst = origin.Src
				return origin, reply
			}, carry.Taken},
			{"of an endpoint from before", func(origin, reply flow.Half) (flow.Half, flow.Half) {
				origin.EndpointGeneration--
				reply.EndpointGeneration--
				origin.LastSeen += 1000
				return origin, reply
			}, carry.Taken},
			{"with a reply's tuple", func(origin, reply flow.Half) (flow.Half, flow.Half) {
				theirs, answers := reply, origin
				theirs.Flags |= object.DatapathFlowFlagFLOW_ORIGIN
				answers.Flags &^= object.DatapathFlowFlagFLOW_ORIGIN
				answers.Src = netip.AddrPortFrom(origin.Src.Addr(), 6000)
				theirs.NATDst = answers.Src
				theirs.LastSeen += 1000
				return theirs, answers
			}, carry.Entered},
		} {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				origin, reply := connected(t, h, f)
				ports := portsInUse(t, h)
				theirs, answers := c.theirs(origin, reply)
				if got := carried(t, h, answers, theirs); got[0] != c.reply || got[1] != carry.Taken {
					t.Errorf("outcomes %d, want %d and %d", got, c.reply, carry.Taken)
				}
				if n := checkPairs(t, h); n != 1 {
					t.Errorf("%d connections, want 1", n)
				}
				if got := judge(t, h)[0].origin; got != origin {
					t.Errorf("origin was\n%s\nand is\n%s", &origin, &got)
				}
				wantOpen(t, h, f, share.All, 1)
				if n := portsInUse(t, h); n != ports {
					t.Errorf("%d ports in use, want %d", n, ports)
				}
			})
		}
		t.Run(name+"/without a reply", func(t *testing.T) {
			origin, _ := connected(t, h, f)
			collect(t, h, judge(t, h))
			if got := carried(t, h, origin)[0]; got != carry.Taken {
				t.Errorf("outcome %d, want %d", got, carry.Taken)
			}
			if all := halves(t, h); len(all) != 0 {
				t.Errorf("entered:\n%s", flowText(t, h))
			}
		})
	}
}

func TestCarryIntoFullTable(t *testing.T) {
	for _, c := range []struct {
		name     string
		entries  uint32
		outcomes []carry.Outcome
	}{
		{"no room", 2, []carry.Outcome{carry.Full, carry.Taken}},
		{"room for one half", 3, []carry.Outcome{carry.Entered, carry.Full}},
	} {
		h := rig.New(t, rig.Options{MaxEntries: map[string]uint32{object.DatapathMapFlows4: c.entries, object.DatapathMapFlows6: c.entries}})
		for name, f := range families() {
			t.Run(c.name+"/"+name, func(t *testing.T) {
				origin, reply := connected(t, h, f)
				ports := portsInUse(t, h)
				origin.Src = netip.AddrPortFrom(origin.Src.Addr(), 6000)
				reply.NATDst = origin.Src
				origin, reply = otherPort(origin, reply, 6000)
				if got := carried(t, h, reply, origin); !slices.Equal(got, c.outcomes) {
					t.Errorf("outcomes %d, want %d", got, c.outcomes)
				}
				if n := checkPairs(t, h); n != 1 {
					t.Errorf("%d connections, want 1", n)
				}
				wantOpen(t, h, f, share.All, 1)
				if n := portsInUse(t, h); n != ports {
					t.Errorf("%d ports in use, want %d", n, ports)
				}
			})
		}
	}
}

// told is what packets told of a direction of TCP.
type told struct {
	state object.DatapathFlowState
	end   uint32
	seen  uint32
}

// An entry gains what packets of its own connection told, and nothing of one that had the
// ports before; one that has them since replaces it.
func TestCarryTellsSuccessorsApart(t *testing.T) {
	const (
		begun = object.DatapathFlowStateFLOW_SEEN | object.DatapathFlowStateFLOW_SYN
		open  = begun | object.DatapathFlowStateFLOW_ACK
		ended = open | object.DatapathFlowStateFLOW_FIN
		reset = open | object.DatapathFlowStateFLOW_RST
		// What Linux adds to the numbers of a connection that it takes the ports of.
		reuse = 65537
	)
	h := rig.New(t, rig.Options{})
	for family, f := range families() {
		for name, c := range map[string]struct{ have, from, want told }{
			"its end":                      {told{open, 1000, 0}, told{ended, 2000, 0}, told{ended, 2000, 0}},
			"its end, in time":             {told{open, 1000, 0}, told{ended, 2000, 500}, told{ended, 2000, 500}},
			"its end, of old":              {told{open, 2000, 500}, told{ended, 2000, 0}, told{ended, 2000, 500}},
			"its answer":                   {told{0, 0, 0}, told{open, 1000, 0}, told{open, 1000, 0}},
			"its answer, in time":          {told{0, 0, 0}, told{open, 1000, 500}, told{open, 1000, 500}},
			"a lot in a moment":            {told{open, 1000, 0}, told{open, 9 << 20, 0}, told{open, 9 << 20, 0}},
			"a lot in time":                {told{open, 1000, 0}, told{open, 9 << 20, 500}, told{open, 9 << 20, 500}},
			"nothing":                      {told{open, 9 << 20, 500}, told{open, 1000, 0}, told{open, 9 << 20, 500}},
			"the end of the one before":    {told{begun, 1 << 30, 500}, told{ended, 1000, 0}, told{begun, 1 << 30, 500}},
			"an end right before":          {told{begun, 1000 + reuse, 500}, told{ended, 1000, 0}, told{begun, 1000 + reuse, 500}},
			"the one before, unanswered":   {told{0, 0, 500}, told{reset, 1000, 0}, told{0, 0, 500}},
			"the next one":                 {told{ended, 1000, 0}, told{begun, 1 << 30, 500}, told{begun, 1 << 30, 500}},
			"the next one, right after":    {told{reset, 1000, 0}, told{begun, 1000 + reuse, 500}, told{begun, 1000 + reuse, 500}},
			"the next one, not answered":   {told{ended, 1000, 0}, told{0, 0, 500}, told{0, 0, 500}},
			"the next one, numbered below": {told{ended, 1 << 31, 0}, told{begun, 1000, 500}, told{begun, 1000, 500}},
		} {
			t.Run(family+"/"+name, func(t *testing.T) {
				origin, reply := connected(t, h, f)
				collect(t, h, judge(t, h))
				entries := func(as told) (all []carry.Entry) {
					for _, half := range []flow.Half{reply, origin} {
						half.Proto = unix.IPPROTO_TCP
						e := flow.Carried(half)
						e.Flow.Flow.State, e.Flow.Flow.TcpEnd, e.Flow.Flow.TcpAck = uint32(as.state), as.end, as.end+1
						e.Flow.Flow.LastSeen = origin.LastSeen + as.seen
						all = append(all, e)
					}
					return all
				}
				check(t, h.Carrier.Carry(entries(c.have)))
				from := entries(c.from)
				check(t, h.Carrier.Carry(from))
				for i, want := range entries(c.want) {
					if got := carry.Outcome(from[i].Outcome); got != carry.Known {
						t.Errorf("outcome %d, want %d", got, carry.Known)
					}
					if got := inTable(t, h, want); got != toldOf(want) {
						t.Errorf("half %d has been told %+v, want %+v", i, got, toldOf(want))
					}
				}
				wantOpen(t, h, f, share.All, 1)
			})
		}
	}
}

// inTable returns what the table's entry with the key of e has been told.
func inTable(t *testing.T, h *rig.Host, e carry.Entry) told {
	t.Helper()
	key, value := carry.Bytes(&e, e.Ipv6 != 0)
	table := h.Flows4
	if e.Ipv6 != 0 {
		table = h.Flows6
	}
	check(t, table.Lookup(key, value))
	return toldOf(e)
}

func toldOf(e carry.Entry) told {
	f := &e.Flow.Flow
	return told{object.DatapathFlowState(f.State), f.TcpEnd, f.LastSeen}
}
