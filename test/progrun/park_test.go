// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
	"github.com/fairway-project/fairway/test/progrun/testrun"
)

// datagram is one that goes through a program in pieces.
type datagram struct {
	make func(in, out packet) step
	// in is what comes, out what becomes of it.
	in, out frame.Frame
	// host is set where the host is asked, whose stack gets what comes before the first
	// piece too.
	host bool
	// size of the pieces, if it isn't pieceSize.
	size int
}

func (d datagram) pieces() []step {
	size := d.size
	if size == 0 {
		size = pieceSize
	}
	var steps []step
	outs := d.out.Fragments(size)
	for i, piece := range d.in.Fragments(size) {
		steps = append(steps, d.make(raw(piece), raw(outs[i])))
	}
	return steps
}

// early is the piece before its first one has come.
func (d datagram) early(s step) step {
	s.want, s.out = parked(), nil
	if d.host {
		s.want = passedParked()
	}
	return s
}

// id gives the datagram another identification.
func (d datagram) id(n int) datagram {
	d.in, d.out = d.in.ID(uint16(n)), d.out.ID(uint16(n))
	return d
}

// datagrams go both ways through each kind of translation, and publish what they need.
func datagrams(f family, size int) map[string]datagram {
	out := f.sends(f.Web, f.far()).UDP(5000, 53).Payload(size)
	wire := out.From(f.host(), 5000).Hop()
	back := wire.Reply().MACs(f.RouterMAC, f.Eth0.MAC)
	in := f.arrives(f.client(), f.host()).UDP(50000, 53).Payload(size)
	inside := f.into(f.Web, in.To(f.addr(f.Web), 5353))
	hairpin := f.sends(f.Web, f.host()).UDP(45000, 54).Payload(size)
	echo := f.sends(f.Web, f.far()).Payload(size).Echo(42)
	between := f.sends(f.Web, f.addr(f.DB)).UDP(46000, 53).Payload(size)
	direct := f.arrives(f.client(), f.addr(f.DB)).UDP(50000, 53).Payload(size)
	leaves := func(in, out packet) step { return fromContainer(f.Web, in, forwarded(), out) }
	enters := func(in, out packet) step { return fromUplink(f.Eth0, in, delivered(f.Web), out) }
	return map[string]datagram{
		"masqueraded":      {make: leaves, in: out, out: wire},
		"masqueraded echo": {make: leaves, in: echo, out: echo.From(f.host(), echo.Src().Port()).Hop()},
		"answer":           {make: enters, in: back, out: f.into(f.Web, back.To(f.addr(f.Web), 5000)), host: true},
		"published":        {make: enters, in: in, out: inside, host: true},
		"published answer": {make: leaves, in: inside.Reply(), out: inside.Reply().From(f.host(), 53).Hop()},
		"hairpin": {
			make: func(in, out packet) step { return fromContainer(f.Web, in, delivered(f.DB), out) },
			in:   hairpin, out: f.into(f.DB, hairpin.From(f.Net2.Gateway(f.v6), 45000).To(f.addr(f.DB), 5353)), host: true,
		},
		"between networks": {
			make: func(in, out packet) step { return fromContainer(f.Web, in, delivered(f.DB), out) },
			in:   between, out: f.into(f.DB, between),
		},
		"direct": {
			make: func(in, out packet) step { return fromUplink(f.Eth0, in, delivered(f.DB), out) },
			in:   direct, out: f.into(f.DB, direct),
		},
	}
}

// prepare publishes the ports, lets everybody into the second network, and opens the flows
// of answers.
func (f family) prepare(t *testing.T, h *rig.Host) {
	t.Helper()
	h.Restore(t)
	h.Publish(t, rig.Any(f.v6), 53, protoUDP, f.Web, 5353)
	h.Publish(t, rig.Any(f.v6), 54, protoUDP, f.DB, 5353)
	h.PutNetwork(t, f.Net2, rig.Default|rig.Open4|rig.Open6)
	for _, r := range []rig.Run{
		{Program: rig.FromContainer, Device: f.Web.Name, Frame: f.sends(f.Web, f.far()).UDP(5000, 53).Bytes()},
		{Program: rig.FromUplink, Device: f.Eth0.Device, Frame: f.arrives(f.client(), f.host()).UDP(50000, 53).Bytes()},
	} {
		h.Run(t, r)
	}
}

// returned reads the pieces that are sent in again, n of them, in any order.
func returned(t *testing.T, tap *testrun.Tap, n int) (pieces [][]byte) {
	t.Helper()
	for len(pieces) < n {
		got, err := tap.Next(time.Minute)
		check(t, err)
		if got == nil {
			t.Fatalf("%d of %d pieces come again", len(pieces), n)
		}
		if isFragment(got) {
			pieces = append(pieces, got)
		}
	}
	return pieces
}

// none fails the test if a piece is there to be read.
func none(t *testing.T, tap *testrun.Tap) {
	t.Helper()
	for {
		got, err := tap.Next(0)
		check(t, err)
		if got == nil {
			return
		}
		if isFragment(got) {
			t.Errorf("a piece comes again that doesn't wait for this one:\n%s", frame.Text(got))
		}
	}
}

func isFragment(f []byte) bool {
	const ipv6Fragment = 44
	if len(f) < 14+20 {
		return false
	}
	switch binary.BigEndian.Uint16(f[12:]) {
	case 0x0800:
		return binary.BigEndian.Uint16(f[20:])&0x3fff != 0
	case 0x86dd:
		return f[20] == ipv6Fragment
	}
	return false
}

// again runs pieces that were sent in again, which are those of the steps.
func again(t *testing.T, h *rig.Host, tap *testrun.Tap, waiting []step) bool {
	t.Helper()
	for i, got := range returned(t, tap, len(waiting)) {
		at := slices.IndexFunc(waiting, func(s step) bool { return bytes.Equal(s.in.Bytes(), got) })
		if at < 0 {
			t.Errorf("piece %d that comes again is none of those that wait:\n%s", i, frame.Text(got))
			return false
		}
		if !runStep(t, h, 100+i, waiting[at]) {
			return false
		}
		waiting = slices.Delete(slices.Clone(waiting), at, at+1)
	}
	none(t, tap)
	return true
}

// arrive runs a datagram's pieces in an order.
func arrive(t *testing.T, h *rig.Host, d datagram, order []int) bool {
	t.Helper()
	steps := d.pieces()
	tap := h.Tap(t, steps[0].run.Device)
	var waiting []step
	seen := false
	for _, i := range order {
		s := steps[i]
		if !seen && i > 0 {
			waiting = append(waiting, s)
			s = d.early(s)
		}
		if !runStep(t, h, i, s) {
			return false
		}
		if i == 0 {
			seen = true
			if !again(t, h, tap, waiting) {
				return false
			}
		}
	}
	return true
}

// A first fragment that others may wait for is answered as too big. What it left doesn't have
// the next one, which is refused, bring back the pieces of a neighbour.
func TestAnsweredFirstFragmentBringsNothingBack(t *testing.T) {
	const long = 1432
	h := rig.New(t, rig.Options{})
	stayOnCPU(t, h)
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			f.prepare(t, h)
			tap := h.Tap(t, f.App.Name)
			theirs := f.sends(f.App, f.far()).UDP(6000, 53).Payload(2 * pieceSize).Fragments(pieceSize)
			own := f.sends(f.Web, f.narrow()).UDP(5001, 53).DontFragment().Payload(2 * long).Fragments(long)
			forged := f.sends(f.Web, f.far()).From(f.addr(f.App), 6000).UDP(6000, 53).Payload(2 * pieceSize).Fragments(pieceSize)
			for i, s := range []step{
				fromContainer(f.App, raw(theirs[1]), parked(), nil),
				fromContainer(f.Web, raw(own[1]), parked(), nil),
			} {
				if !runStep(t, h, i, s) {
					return
				}
			}
			h.Run(t, rig.Run{Program: rig.FromContainer, Device: f.Web.Name, Frame: own[0]})
			runStep(t, h, 2, fromContainer(f.Web, raw(forged[0]), dropped(spoofedAddress), nil))
			none(t, tap)
		})
	}
}

// Whatever comes first, all of a datagram arrives, and each piece as if it had come in order.
func TestFragmentsInAnyOrder(t *testing.T) {
	orders := map[string][]int{
		"reversed": {2, 1, 0}, "first in between": {1, 0, 2}, "last first": {2, 0, 1}, "twice": {2, 1, 2, 0}, "in order": {0, 1, 2},
	}
	h := rig.New(t, rig.Options{})
	for name, f := range families() {
		for what, d := range datagrams(f, 4000) {
			for how, order := range orders {
				t.Run(name+"/"+what+"/"+how, func(t *testing.T) {
					f.prepare(t, h)
					arrive(t, h, d, order)
					transmitted(t, h, f, d, len(order))
				})
			}
		}
	}
}

// transmitted wants each piece to count once as sent by its container.
func transmitted(t *testing.T, h *rig.Host, f family, d datagram, pieces int) {
	t.Helper()
	if d.pieces()[0].run.Program != rig.FromContainer {
		return
	}
	c, err := h.Counters.Endpoint(f.Web.Slot)
	check(t, err)
	if want := uint64(pieces + 1); c.Transmit.Packets != want { // one has opened a flow
		t.Errorf("the container has sent %d packets, want %d", c.Transmit.Packets, want)
	}
}

// A whole datagram of 64 KiB fits, frames longer than a usual device's too.
func TestLongDatagramsInAnyOrder(t *testing.T) {
	h := rig.New(t, rig.Options{})
	for name, f := range families() {
		long, large := datagrams(f, 64_000)["published"], datagrams(f, 20_000)["published"]
		large.size = 3200
		for what, d := range map[string]datagram{"long": long, "large": large} {
			t.Run(name+"/"+what, func(t *testing.T) {
				f.prepare(t, h)
				quiet(t, h)
				order := make([]int, len(d.pieces()))
				for i := range order {
					order[i] = len(order) - 1 - i
				}
				arrive(t, h, d, order)
			})
		}
	}
}

// quiet makes nobody count as busy.
func quiet(t *testing.T, h *rig.Host) {
	t.Helper()
	for i := range h.ParkRates.MaxEntries() {
		check(t, h.ParkRates.Put(i, &object.DatapathRate{}))
	}
}

// Pieces of several datagrams that lie between each other find their own.
func TestInterleavedDatagrams(t *testing.T) {
	h := rig.New(t, rig.Options{})
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			f.prepare(t, h)
			one := datagrams(f, 4000)["published"]
			two := one.id(0x4321)
			a, b := one.pieces(), two.pieces()
			tap := h.Tap(t, f.Eth0.Device)
			for i, s := range []step{one.early(a[2]), two.early(b[1]), one.early(a[1]), two.early(b[2])} {
				runStep(t, h, i, s)
			}
			runStep(t, h, 4, a[0])
			again(t, h, tap, a[1:])
			runStep(t, h, 5, b[0])
			again(t, h, tap, b[1:])
		})
	}
}

// Of two first pieces the ports of the one that came first count.
func TestSecondFirstFragment(t *testing.T) {
	h := rig.New(t, rig.Options{})
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			f.prepare(t, h)
			d := datagrams(f, 4000)["published"]
			steps := d.pieces()
			other := raw(f.arrives(f.client(), f.host()).UDP(50000, 54).Payload(4000).Fragments(pieceSize)[0])
			runStep(t, h, 0, steps[0])
			runStep(t, h, 1, step{run: steps[0].run, in: other, want: delivered(f.DB), free: true})
			runStep(t, h, 2, steps[1])
			// Another datagram may have the identification later.
			ageFrags(t, h, 1)
			runStep(t, h, 3, step{run: steps[0].run, in: other, want: delivered(f.DB), free: true})
			last := steps[2]
			last.want, last.free = delivered(f.DB), true
			runStep(t, h, 4, last)
		})
	}
}

// second is how many jiffies the programs of the rig take for one.
const second = 256

// ageFrags makes what is known of datagrams seconds older, and what waits.
func ageFrags(t *testing.T, h *rig.Host, seconds uint32) {
	t.Helper()
	var key object.DatapathFragKey
	var value object.DatapathFrag
	all := map[object.DatapathFragKey]object.DatapathFrag{}
	it := h.Frags.Iterate()
	for it.Next(&key, &value) {
		value.Since -= seconds * second
		all[key] = value
	}
	check(t, it.Err())
	for k, v := range all {
		check(t, h.Frags.Put(k, v))
	}
	for i := range h.ParkedFrames.MaxEntries() {
		var frame object.DatapathParkedFrame
		check(t, h.ParkedFrames.Lookup(i, &frame))
		if frame.Head.Length > 0 {
			frame.Head.Since -= seconds * second
			check(t, h.ParkedFrames.Put(i, &frame))
		}
	}
}

// What has waited too long is lost, and counts as dropped; ports that old aren't believed.
func TestFragmentsComeTooLate(t *testing.T) {
	h := rig.New(t, rig.Options{})
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			f.prepare(t, h)
			d := datagrams(f, 2000)["masqueraded"]
			steps := d.pieces()
			tap := h.Tap(t, f.Web.Name)
			runStep(t, h, 0, d.early(steps[1]))
			ageFrags(t, h, 31)
			before := readCounters(t, h)
			h.Run(t, rig.Run{Program: rig.FromContainer, Device: f.Web.Name, Frame: steps[0].in.Bytes()})
			moved := readCounters(t, h).minus(before)
			if n := moved[dropName(fragmentReason, object.DatapathDirectionDIR_TRANSMIT)]; n != 1 {
				t.Errorf("%d fragments count as dropped, want 1", n)
			}
			none(t, tap)
			ageFrags(t, h, 31)
			runStep(t, h, 1, d.early(steps[1]))
		})
	}
}

// incompletes are more datagrams than there is room for, many times over. The end-to-end test
// sends 100,000.
const incompletes = 20_000

// Pieces without a first one, as many as a container or somebody outside likes to send, push
// out none that others wait with, and count as dropped but for the few that still wait.
// Afterwards the flooder's own datagrams arrive as well.
func TestIncompleteDatagrams(t *testing.T) {
	// What a sender may have wait is counted by the second: of one that the flood doesn't outlast.
	h := rig.New(t, rig.Options{Constants: map[string]any{object.DatapathVarTouchJiffies: uint32(longSecond)}})
	for name, f := range families() {
		out, in := datagrams(f, 4000)["masqueraded"], datagrams(f, 4000)["published"]
		for flooder, flood := range map[string]struct {
			frame     frame.Frame
			run       rig.Run
			direction object.DatapathDirection
			own       datagram
			dropped   bool
		}{
			"container": {
				f.sends(f.App, f.far()).UDP(5001, 53).Payload(2000),
				rig.Run{Program: rig.FromContainer, Device: f.App.Name}, object.DatapathDirectionDIR_TRANSMIT,
				datagram{
					make: func(in, out packet) step { return fromContainer(f.App, in, forwarded(), out) },
					in:   f.sends(f.App, f.far()).UDP(5001, 53).Payload(4000), out: f.sends(f.App, f.far()).UDP(5001, 53).Payload(4000).From(f.host(), 5001).Hop(),
				}, true,
			},
			"outside": {
				f.arrives(f.far(), f.host()).UDP(50000, 53).Payload(2000),
				rig.Run{Program: rig.FromUplink, Device: f.Eth0.Device}, object.DatapathDirectionDIR_RECEIVE,
				datagram{
					make: func(in, out packet) step { return fromUplink(f.Eth0, in, delivered(f.Web), out) },
					in:   f.arrives(f.far(), f.host()).UDP(50000, 53).Payload(4000),
					out:  f.into(f.Web, f.arrives(f.far(), f.host()).UDP(50000, 53).Payload(4000).To(f.addr(f.Web), 5353)), host: true,
				}, false,
			},
		} {
			t.Run(name+"/"+flooder, func(t *testing.T) {
				f.prepare(t, h)
				quiet(t, h)
				leaves, enters := out.pieces(), in.pieces()
				web, eth0 := h.Tap(t, f.Web.Name), h.Tap(t, f.Eth0.Device)
				for i := 1; i < 3; i++ {
					runStep(t, h, 0, out.early(leaves[i]))
					runStep(t, h, 1, in.early(enters[i]))
				}
				before := readCounters(t, h)
				laterFragments(t, h, flood.run, flood.frame)
				moved := readCounters(t, h).minus(before)
				waiting := uint64(2 * object.DatapathLimitPARK_PLACES)
				lost := moved[dropName(fragmentReason, flood.direction)]
				if flood.dropped && (lost < incompletes-waiting || lost > incompletes) || !flood.dropped && lost != 0 {
					t.Errorf("%d of %d count as dropped, and %d may wait", lost, incompletes, waiting)
				}
				runStep(t, h, 2, leaves[0])
				again(t, h, web, leaves[1:])
				runStep(t, h, 3, enters[0])
				again(t, h, eth0, enters[1:])
				afterwards(t, h, flood.own.id(0x5555))
			})
		}
	}
}

// afterwards has a datagram arrive, last piece first, in place of what counts as dropped then.
func afterwards(t *testing.T, h *rig.Host, d datagram) {
	t.Helper()
	steps := d.pieces()
	tap := h.Tap(t, steps[0].run.Device)
	for _, s := range steps[1:] {
		s.run.Frame = s.in.Bytes()
		h.Run(t, s.run)
	}
	runStep(t, h, 4, steps[0])
	again(t, h, tap, steps[1:])
}

// laterFragments runs the last pieces of many datagrams.
func laterFragments(t *testing.T, h *rig.Host, r rig.Run, d frame.Frame) {
	t.Helper()
	r.Frame = d.Fragments(pieceSize)[1]
	h.Do(func() {
		for i := range incompletes {
			frame.Renumber(r.Frame, uint32(i+1))
			if got, err := h.RunHere(r); err != nil || got.Action == rig.Redirect {
				t.Errorf("later fragment %d: action %d, %v", i, got.Action, err)
				return
			}
		}
	})
}

// A first piece and a later one on two CPUs at the same time: none is lost.
func TestConcurrentFragments(t *testing.T) {
	h := rig.New(t, rig.Options{})
	threads := h.Threads(t, 2)
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			f.prepare(t, h)
			tap := h.Tap(t, f.Web.Name)
			waited := 0
			for round := range 300 {
				d := datagrams(f, 2000)["masqueraded"].id(round + 1)
				steps := d.pieces()
				first, later := steps[0].run, steps[1].run
				first.Frame, later.Frame = steps[0].in.Bytes(), steps[1].in.Bytes()
				results := atOnce(t, h, threads, first, later)
				switch results[1].Action {
				case rig.Redirect:
					none(t, tap)
				case rig.Drop:
					waited++
					if got := returned(t, tap, 1)[0]; !bytes.Equal(got, later.Frame) {
						t.Fatalf("round %d: what comes again is\n%s", round, frame.Text(got))
					}
				default:
					t.Fatalf("round %d: action %d", round, results[1].Action)
				}
			}
			t.Logf("%d of 300 have waited", waited)
		})
	}
}

// atOnce runs one packet on each thread at the same time.
func atOnce(t *testing.T, h *rig.Host, threads []func(func()), runs ...rig.Run) []rig.Result {
	t.Helper()
	results := make([]rig.Result, len(runs))
	errs := make([]error, len(runs))
	start, done := make(chan struct{}), make(chan struct{})
	for i, r := range runs {
		go func() {
			threads[i](func() {
				<-start
				results[i], errs[i] = h.RunHere(r)
			})
			done <- struct{}{}
		}()
	}
	close(start)
	for range runs {
		<-done
	}
	for _, err := range errs {
		check(t, err)
	}
	return results
}

// In first-packet mode the pieces go to netfilter in the order in which they can be told.
func TestFragmentsInAnyOrderForNetfilter(t *testing.T) {
	h := rig.New(t, rig.Options{Constants: map[string]any{object.DatapathVarFirstPacket: true}})
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			h.Restore(t)
			d := datagram{make: func(in, out packet) step { return fromContainer(f.Web, in, passed(), out) }}
			d.in = f.sends(f.Web, f.far()).UDP(5000, 53).Payload(4000)
			d.out = d.in
			arrive(t, h, d, []int{2, 1, 0})
		})
	}
}
