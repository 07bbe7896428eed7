// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"net/netip"
	"testing"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/test/progrun/rig"
	"github.com/fairway-project/fairway/userspace/model"
	"golang.org/x/sys/unix"
)

// The first packet to a next hop takes the neighbour layer's way, with the MACs that
// it came with; what follows leaves with the next hop's, until the time is over.
func TestNeighbours(t *testing.T) {
	// Long enough for no case to outlast it.
	h := rig.New(t, rig.Options{Constants: map[string]any{object.DatapathVarTouchJiffies: uint32(80000)}})
	stayOnCPU(t, h)
	for name, f := range families() {
		for _, c := range nextHopCases(f) {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				h.ForgetNeighbours(t)
				runCase(t, h, c)
			})
		}
	}
}

// stayOnCPU has all programs run on one CPU: each remembers for itself.
func stayOnCPU(t *testing.T, h *rig.Host) {
	h.Do(func() {
		var set unix.CPUSet
		check(t, unix.SchedGetaffinity(0, &set))
		for cpu := range len(set) * 64 {
			if set.IsSet(cpu) {
				set.Zero()
				set.Set(cpu)
				check(t, unix.SchedSetaffinity(0, &set))
				return
			}
		}
	})
}

func nextHopCases(f family) []testCase {
	mac, changed := model.MAC{2, 0, 0, 0, 0, 0x77}, model.MAC{2, 0, 0, 0, 0, 0x78}
	router := f.Eth0.Router(f.v6)
	known := func(m model.MAC) func(*testing.T, *rig.Host) {
		return func(t *testing.T, h *rig.Host) { h.Neighbour(t, f.Eth0, router, m) }
	}
	out := f.sends(f.Web, f.far()).UDP(5000, 53)
	wire := out.From(f.host(), 5000).Hop()
	byLayer := fromContainer(f.Web, out, forwarded(), wire)
	byMAC := fromContainer(f.Web, out, forwarded(), wire.MACs(f.Eth0.MAC, mac))
	other := f.sends(f.Web, f.pick("198.51.100.78", "2001:db8:1::78")).UDP(5000, 53)
	afterwards := func(s step, before func(*testing.T, *rig.Host)) step {
		s.before = before
		return s
	}
	in := f.arrives(f.client(), f.host()).UDP(50000, 8080)
	inside := f.into(f.Web, in.To(f.addr(f.Web), 80))
	answer := inside.Reply()
	client := f.client()
	header := flagOf(f, 20, 40)
	narrow := f.sends(f.Web, f.narrow()).UDP(5000, 53).DontFragment().Payload(1400 - header - 8)
	narrowWire := narrow.From(f.host(), 5000).Hop()
	tooLong := f.sends(f.Web, f.narrow()).UDP(5000, 53).DontFragment().Payload(1401 - header - 8)
	refused := fromContainer(f.Web, tooLong, delivered(f.Web), tooBig(f, fromGateway(f).ID(0), tooLong, 1400, quoteMax))
	narrowByLayer := fromContainer(f.Web, narrow, forwarded(), narrowWire)
	narrowByMAC := fromContainer(f.Web, narrow, forwarded(), narrowWire.MACs(f.Eth0.MAC, mac))
	return []testCase{
		{name: "nobody knows it", flows: 1, world: unknown(f.Eth0, router), steps: []step{byLayer, byLayer}},
		{name: "known", flows: 1, world: known(mac), steps: []step{byLayer, byMAC, byMAC}},
		{name: "changed within the time", flows: 1, world: known(mac), steps: []step{byLayer, byMAC, afterwards(byMAC, known(changed))}},
		{name: "changed, and the time is over", flows: 1, world: known(changed), steps: []step{
			byLayer, afterwards(byLayer, func(t *testing.T, h *rig.Host) { known(mac)(t, h); h.ForgetNeighbours(t) }), byMAC,
		}},
		{name: "another next hop", flows: 2, world: known(mac), steps: []step{
			byLayer, byMAC, fromContainer(f.Web, other, forwarded(), other.From(f.host(), 5000).Hop()), byMAC,
		}},
		// What is refused doesn't reach the layer, so it isn't the first packet in a while.
		{name: "after a packet that is too big", flows: 1, world: func(t *testing.T, h *rig.Host) {
			h.Neighbour(t, f.Eth0, f.narrow(), mac)
			h.Neighbour(t, f.Eth0, router, mac)
		}, steps: []step{
			narrowByLayer, narrowByMAC,
			afterwards(refused, func(t *testing.T, h *rig.Host) { h.ForgetNeighbours(t) }),
			narrowByLayer, narrowByMAC,
		}},
		{name: "answer of a published port", flows: 1, world: func(t *testing.T, h *rig.Host) {
			publishAny(f, protoUDP)(t, h)
			h.Neighbour(t, f.Eth0, client, mac)
			h.Neighbour(t, f.Eth0, router, mac)
		}, steps: []step{
			fromUplink(f.Eth0, in, delivered(f.Web), inside),
			fromContainer(f.Web, answer, forwarded(), answer.From(f.host(), 8080).Hop()),
			fromContainer(f.Web, answer, forwarded(), answer.From(f.host(), 8080).Hop().MACs(f.Eth0.MAC, mac)),
		}},
	}
}

// unknown takes back what was known of a neighbour.
func unknown(u rig.Uplink, addr netip.Addr) func(*testing.T, *rig.Host) {
	return func(t *testing.T, h *rig.Host) { h.NoNeighbour(t, u, addr) }
}
