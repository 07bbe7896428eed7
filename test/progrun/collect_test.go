// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"testing"

	"github.com/fairway-project/fairway/maps/expired"
	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
)

// judged is a flow as the control plane has read it.
type judged struct {
	origin, twin flow.Half
}

func (j judged) entry() expired.Entry {
	e := expired.Entry{Key: flow.ExpiredKey(j.origin.Key), LastSeen: j.origin.LastSeen, TwinLastSeen: j.twin.LastSeen}
	if j.origin.IPv6() {
		e.Ipv6 = 1
	}
	return e
}

// judge reads all flows.
func judge(t testing.TB, h *rig.Host) []judged {
	t.Helper()
	all := halves(t, h)
	var flows []judged
	for _, half := range all {
		if half.Origin() {
			flows = append(flows, judged{half, all[half.Twin()]})
		}
	}
	return flows
}

// collect runs the collector and returns how many flows it took.
func collect(t testing.TB, h *rig.Host, flows []judged) int {
	t.Helper()
	var entries []expired.Entry
	for _, j := range flows {
		entries = append(entries, j.entry())
	}
	check(t, h.Collector.Collect(entries))
	n := 0
	for _, e := range entries {
		n += int(e.Collected)
	}
	return n
}

func TestCollect(t *testing.T) {
	h := rig.New(t, rig.Options{})
	older := func(half flow.Half) flow.Half { half.LastSeen--; return half }
	for name, f := range families() {
		for _, c := range []struct {
			name string
			// meanwhile happens between judgement and collection.
			meanwhile        func(t *testing.T, j judged)
			collected, flows int
		}{
			{"expired", func(*testing.T, judged) {}, 1, 0},
			{"origin saw a packet", func(t *testing.T, j judged) { check(t, h.Flows.Put(older(j.origin))) }, 0, 1},
			{"twin saw a packet", func(t *testing.T, j judged) { check(t, h.Flows.Put(older(j.twin))) }, 0, 1},
			{"twin is missing", func(t *testing.T, j judged) { check(t, h.Flows.Delete(j.twin.Key)) }, 1, 0},
			{"gone", func(t *testing.T, j judged) {
				check(t, h.Flows.Delete(j.origin.Key))
				check(t, h.Flows.Delete(j.twin.Key))
			}, 0, 0},
		} {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				h.Restore(t)
				out := f.sends(f.Web, f.far()).UDP(5000, 53)
				runStep(t, h, 0, fromContainer(f.Web, out, forwarded(), out.From(f.host(), 5000).Hop()))
				flows := judge(t, h)
				c.meanwhile(t, flows[0])
				if n := collect(t, h, flows); n != c.collected {
					t.Errorf("collected %d, want %d", n, c.collected)
				}
				if n := checkPairs(t, h); n != c.flows {
					t.Errorf("%d flows left, want %d", n, c.flows)
				}
				requireAlive(t, h)
			})
		}
	}
}

// requireAlive: nothing that stays in the table is condemned.
func requireAlive(t *testing.T, h *rig.Host) {
	t.Helper()
	for _, half := range halves(t, h) {
		if half.LastSeen == uint32(object.DatapathFlowLastSeenFLOW_DEAD) {
			t.Errorf("condemned and left: %s", half.String())
		}
	}
}

// A whole batch of both families, of which every third flow saw a packet.
func TestCollectBatch(t *testing.T) {
	h := rig.New(t, rig.Options{})
	f4, f6 := families()["ipv4"], families()["ipv6"]
	for i := range expired.Batch / 2 {
		for _, f := range []family{f4, f6} {
			out := f.sends(f.Web, f.far()).UDP(uint16(2000+i), 53)
			h.Run(t, rig.Run{Program: rig.FromContainer, Device: "web", Frame: out.Bytes()})
		}
	}
	flows := judge(t, h)
	if len(flows) != expired.Batch {
		t.Fatalf("%d flows, want %d", len(flows), expired.Batch)
	}
	kept := 0
	for i := range flows {
		if i%3 == 0 {
			flows[i].origin.LastSeen--
			kept++
		}
	}
	if n := collect(t, h, flows); n != len(flows)-kept {
		t.Errorf("collected %d, want %d", n, len(flows)-kept)
	}
	if n := checkPairs(t, h); n != kept {
		t.Errorf("%d flows left, want %d", n, kept)
	}
	requireAlive(t, h)
}

// Packets and collector at once: a flow is carried or collected, never both, and
// no half stays behind.
func TestCollectUnderTraffic(t *testing.T) {
	h := rig.New(t, rig.Options{Constants: map[string]any{object.DatapathVarTouchJiffies: uint32(0)}})
	threads := h.Threads(t, 2)
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			h.Restore(t)
			out := f.sends(f.Web, f.far()).UDP(5000, 53)
			back := out.From(f.host(), 5000).Reply().MACs(f.RouterMAC, f.Eth0.MAC)
			stop := traffic(h, threads, out, back)
			for range 1000 {
				collect(t, h, wholeFlows(judge(t, h)))
			}
			check(t, stop())
			checkPairs(t, h)
			requireAlive(t, h)
		})
	}
}

// wholeFlows leaves out what was read while it came or went.
func wholeFlows(all []judged) []judged {
	var complete []judged
	for _, j := range all {
		if j.twin.Proto != 0 && j.origin.LastSeen != 0 && j.twin.LastSeen != 0 {
			complete = append(complete, j)
		}
	}
	return complete
}

// traffic sends both packets over and over until the returned function is called.
func traffic(h *rig.Host, threads []func(func()), out, back frame.Frame) (stop func() error) {
	done, errs := make(chan struct{}), make(chan error, len(threads))
	runs := []rig.Run{
		{Program: rig.FromContainer, Device: "web", Frame: out.Bytes()},
		{Program: rig.FromUplink, Device: "eth0", Frame: back.Bytes()},
	}
	for i, do := range threads {
		go do(func() {
			for {
				select {
				case <-done:
					errs <- nil
					return
				default:
				}
				if _, err := h.RunHere(runs[i]); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	return func() error {
		close(done)
		for range threads {
			if err := <-errs; err != nil {
				return err
			}
		}
		return nil
	}
}
