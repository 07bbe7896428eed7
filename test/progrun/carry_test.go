// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"net/netip"
	"testing"

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
				want := origin.Src
				if c.outcome == carry.Entered {
					carried(t, h, theirs)
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

func TestCarryIntoFullTable(t *testing.T) {
	h := rig.New(t, rig.Options{MaxEntries: map[string]uint32{object.DatapathMapFlows4: 2, object.DatapathMapFlows6: 2}})
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			_, reply := connected(t, h, f)
			reply.Dst = netip.AddrPortFrom(reply.Dst.Addr(), 6000)
			if got := carried(t, h, reply)[0]; got != carry.Full {
				t.Errorf("outcome %d, want %d", got, carry.Full)
			}
			wantOpen(t, h, f, share.All, 1)
		})
	}
}
