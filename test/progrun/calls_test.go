// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"testing"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/test/progrun/rig"
)

const incomplete = object.DatapathDropReasonDROP_INCOMPLETE

// call is a program that others go on with, by its name without the family.
func (f family) call(name string) string { return name + flagOf(f, "4", "6") }

// Packets for which a program has to go on that isn't there are dropped and counted, and
// pass when it is there again.
func TestMissingPrograms(t *testing.T) {
	h := rig.New(t, rig.Options{})
	judging := rig.New(t, rig.Options{Constants: map[string]any{object.DatapathVarFirstPacket: true}})
	for name, f := range families() {
		out, in := f.sends(f.Web, f.far()), f.arrives(f.client(), f.host())
		big := out.UDP(5000, 53).Payload(2000)
		cases := map[string]step{
			"container_new":  fromContainer(f.Web, out.TCP(40000, 443, "S"), forwarded(), nil),
			"enter":          fromContainer(f.Web, out.TCP(40000, 443, "S"), forwarded(), nil),
			"container_odd":  fromContainer(f.Web, raw(big.Fragments(pieceSize)[0]), forwarded(), nil),
			"answer":         fromContainer(f.Web, out.TTL(1).UDP(1, 2), delivered(f.Web), nil),
			"error":          fromContainer(f.Web, timeExceeded(f, f.sends(f.Web, f.far()), in.UDP(1, 2)), dropped(noFlow), nil),
			"uplink_new":     fromUplink(f.Eth0, in.TCP(50000, 8080, "S"), delivered(f.Web), nil),
			"uplink_odd":     fromUplink(f.Eth0, raw(in.UDP(50000, 9).Payload(2000).Fragments(pieceSize)[0]), passed(), nil),
			"park":           fromContainer(f.Web, raw(big.Fragments(pieceSize)[1]), parked(), nil),
			"private_source": toUplink(f.Eth0, "br1", out.UDP(5000, 53), passed(), nil),
		}
		judged := map[string]step{
			"let_in": toContainer(f.Web, f.Eth0.Device, in.UDP(50000, 53), dropped(noFlow)),
			"refuse": toUplink(f.Eth0, "", timeExceeded(f, f.arrives(f.host(), f.client()), in.UDP(1, 2)), passed(), nil),
		}
		for on, all := range map[*rig.Host]map[string]step{h: cases, judging: judged} {
			for program, s := range all {
				t.Run(name+"/"+program, func(t *testing.T) { missing(t, on, f, f.call(program), s) })
			}
		}
	}
}

func missing(t *testing.T, h *rig.Host, f family, program string, s step) {
	s.free = s.want.action == rig.Redirect || s.want.action == rig.Next
	if s.run.Program == rig.ToContainer {
		s.run.TCIndex = asked(0)
	}
	without := s
	without.want = dropped(incomplete)
	restore := func() {
		h.Restore(t)
		publishAny(f, protoTCP)(t, h)
	}
	restore()
	back := remove(t, h, program)
	runStep(t, h, 0, without)
	back()
	restore()
	runStep(t, h, 1, s)
}

// A first piece needs one more program if others wait for it.
func TestMissingUnpark(t *testing.T) {
	h := rig.New(t, rig.Options{})
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			h.Restore(t)
			d := datagrams(f, 2000)["masqueraded"]
			steps := d.pieces()
			tap := h.Tap(t, f.Web.Name)
			runStep(t, h, 0, d.early(steps[1]))
			back := remove(t, h, f.call("unpark"))
			without := steps[0]
			without.want = dropped(incomplete)
			runStep(t, h, 1, without)
			back()
			runStep(t, h, 2, steps[0])
			again(t, h, tap, steps[1:])
		})
	}
}

// remove takes a program out of the array, and puts it back.
func remove(t *testing.T, h *rig.Host, name string) (back func()) {
	t.Helper()
	spec, err := object.LoadDatapath()
	check(t, err)
	for _, kv := range spec.Maps[object.DatapathMapCalls].Contents {
		if kv.Value != name {
			continue
		}
		var program *ebpf.Program
		check(t, h.Calls.Lookup(kv.Key, &program))
		check(t, h.Calls.Delete(kv.Key))
		return func() {
			check(t, h.Calls.Put(kv.Key, program))
			check(t, program.Close())
		}
	}
	t.Fatalf("no program goes on with %s", name)
	return nil
}
