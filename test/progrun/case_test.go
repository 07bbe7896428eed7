// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
)

type reason = object.DatapathDropReason

// testCase is packets one after the other through the programs.
type testCase struct {
	name string
	// world changes the standard world before the first step.
	world func(t *testing.T, h *rig.Host)
	steps []step
	// flows is the number of connections that the table holds afterwards.
	flows int
	// after looks at what else there is to see.
	after func(t *testing.T, h *rig.Host)
}

type packet interface{ Bytes() []byte }

// raw is a packet for which no builder exists.
type raw []byte

func (r raw) Bytes() []byte { return r }

// step is one packet through one program.
type step struct {
	run  rig.Run
	in   packet
	want verdict
	// out is the packet afterwards; nil: as it came in.
	out packet
	// free is set where the packet out depends on chance; only its checksums count.
	free bool
	// single is set where an error takes the place of a packet of many segments.
	single bool
	// before changes the world between two packets.
	before func(t *testing.T, h *rig.Host)
}

// verdict is what shall happen to a packet.
type verdict struct {
	action int32
	reason reason
	// to is the slot of the endpoint that is counted as the receiver; 0: none.
	to uint16
	// told is why the sender is told that the packet was refused: it counts as dropped, too.
	told reason
	// parked is set where a copy of the packet waits.
	parked bool
}

func dropped(r reason) verdict { return verdict{action: rig.Drop, reason: r} }

func delivered(e rig.Endpoint) verdict { return verdict{action: rig.Redirect, to: e.Slot} }

// parked packets wait: they are dropped for no reason yet.
func parked() verdict { return verdict{action: rig.Drop, parked: true} }

// passedParked is passed, and a copy waits.
func passedParked() verdict { return verdict{action: rig.Next, parked: true} }

// forwarded packets leave by an uplink.
func forwarded() verdict { return verdict{action: rig.Redirect} }

// passed packets go to the next program and the stack.
func passed() verdict { return verdict{action: rig.Next} }

// passedTo is passed at the door of an endpoint.
func passedTo(e rig.Endpoint) verdict { return verdict{action: rig.Next, to: e.Slot} }

func fromContainer(e rig.Endpoint, in packet, want verdict, out packet) step {
	return step{run: rig.Run{Program: rig.FromContainer, Device: e.Name}, in: in, want: want, out: out}
}

func fromUplink(u rig.Uplink, in packet, want verdict, out packet) step {
	return step{run: rig.Run{Program: rig.FromUplink, Device: u.Device}, in: in, want: want, out: out}
}

// toUplink is a packet that the stack sends, forwarded from a device or its own.
func toUplink(u rig.Uplink, ingress string, in packet, want verdict, out packet) step {
	return step{run: rig.Run{Program: rig.ToUplink, Device: u.Device, Ingress: ingress}, in: in, want: want, out: out}
}

func toContainer(e rig.Endpoint, ingress string, in packet, want verdict) step {
	return step{run: rig.Run{Program: rig.ToContainer, Device: e.Name, Ingress: ingress}, in: in, want: want}
}

func runCase(t *testing.T, h *rig.Host, c testCase) {
	h.Restore(t)
	if c.world != nil {
		c.world(t, h)
	}
	for i, s := range c.steps {
		if s.before != nil {
			s.before(t, h)
		}
		if !runStep(t, h, i, s) {
			return
		}
	}
	if got := checkPairs(t, h); got != c.flows {
		t.Errorf("%d flows afterwards, want %d:\n%s", got, c.flows, flowText(t, h))
	}
	if c.after != nil {
		c.after(t, h)
	}
}

func runStep(t *testing.T, h *rig.Host, i int, s step) bool {
	t.Helper()
	before := readCounters(t, h)
	s.run.Frame = s.in.Bytes()
	got := h.Run(t, s.run)
	moved := readCounters(t, h).minus(before)
	if diff := cmp.Diff(expectedCounters(s), moved); diff != "" {
		t.Errorf("step %d: counters (-want +got):\n%s%s\n%s", i, diff, frame.Text(s.run.Frame), flowText(t, h))
		return false
	}
	if got.Action != s.want.action {
		t.Errorf("step %d: action %d, want %d", i, got.Action, s.want.action)
		return false
	}
	if s.want.action == rig.Drop {
		return true
	}
	if s.free {
		check(t, frame.Check(got.Frame))
		return true
	}
	return sameFrame(t, i, s, got.Frame)
}

func sameFrame(t *testing.T, i int, s step, got []byte) bool {
	t.Helper()
	want := s.run.Frame
	if s.out != nil {
		want = s.out.Bytes()
	}
	if bytes.Equal(got, want) {
		return true
	}
	t.Errorf("step %d: packet out is\n%swant\n%s(-want +got)\n%s", i, frame.Text(got), frame.Text(want), cmp.Diff(want, got))
	return false
}
