// SPDX-License-Identifier: Apache-2.0

package world

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/fairway-project/fairway/bench/pktgen"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/plan/plantest"
)

var carrying = []plan.Arm{
	plan.Veth, plan.VethXDP, plan.Route, plan.Redirect, plan.Lookup, plan.NFTables, plan.IPTables, plan.IPTablesLegacy,
	plan.EBPF, plan.XDP, plan.Docker, plan.DockerNoProxy,
}

// walksOf are those between namespaces, without what an arm isn't about.
func walksOf(arm plan.Arm) []plan.Walk {
	if arm == plan.VethXDP {
		return []plan.Walk{plan.LANToPublished, plan.ContainerToLAN}
	}
	return []plan.Walk{plan.LANToPublished, plan.ContainerToLAN, plan.ContainerToContainer}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newWorld(t *testing.T, o Options) *World {
	t.Helper()
	w, err := New(t.Context(), plantest.WithFairway(t), o)
	check(t, err)
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return w
}

var two = []Container{
	{Name: "c0", Publish: []Port{{Proto: "udp", Host: 8000, Container: 5000, Count: 3}, {Proto: "tcp", Host: 8080, Container: 80}}},
	{Name: "c1"},
}

// sent goes from the client's to the server's port of a walk and is counted there.
func cross(t *testing.T, e Ends, reply bool) {
	t.Helper()
	check(t, arrive(t, e, reply))
}

// arrive is cross, where packets that don't arrive are no end of the test.
func arrive(t *testing.T, e Ends, reply bool) error {
	t.Helper()
	const port, source = 5001, 2000
	flows := pktgen.Flows{Src: netip.AddrPortFrom(e.Client.Addr, source), Dst: e.Target("udp", port), SrcPorts: 4}
	from, to := e.Client, e.Server
	want := pktgen.Want{Mark: rand.Uint64(), Src: e.Seen, Dst: e.Server.Addr, DstPort: port}
	if reply {
		flows = pktgen.Flows{Src: netip.AddrPortFrom(e.Server.Addr, port), Dst: netip.AddrPortFrom(e.Seen, source), DstPorts: 4}
		from, to = to, from
		want = pktgen.Want{Mark: want.Mark, Src: e.To, Dst: e.Client.Addr}
	}
	g, err := pktgen.New(pktgen.Config{Netns: from.Netns, Device: from.Device, SrcMAC: from.MAC, DstMAC: from.NextHop, Flows: flows, Mark: want.Mark})
	check(t, err)
	defer g.Close()
	s, err := pktgen.AtDevice(to.Netns, to.Device, want)
	check(t, err)
	defer s.Close()
	check(t, s.Verify(true))
	sent, err := g.Run(t.Context(), 40)
	check(t, err)
	return s.Wait(t.Context(), sent.Packets)
}

// Each arm has one world, and breaks it last.
func TestArms(t *testing.T) {
	for _, arm := range carrying {
		t.Run(string(arm), func(t *testing.T) {
			w := newWorld(t, Options{Arm: arm, Containers: two})
			w.carriesEveryWalk(t)
			w.proofFails(t)
			w.hasNoOtherWalk(t)
			switch arm {
			case plan.Redirect, plan.Lookup:
				w.proofFailsWithoutPrograms(t)
			case plan.VethXDP:
				w.proofFailsWithoutXDP(t)
			}
		})
	}
}

// Packets cross every arm on every walk in both directions, translated as the walk
// says, and the counters say that they did.
func (w *World) carriesEveryWalk(t *testing.T) {
	for _, walk := range walksOf(w.Arm) {
		for _, family := range []plan.Family{plan.IPv4, plan.IPv6} {
			t.Run(fmt.Sprintf("%s-%s", walk, family), func(t *testing.T) {
				e, err := w.Ends(walk, family)
				check(t, err)
				check(t, w.Meet(t.Context(), family))
				before, err := w.Counters(t.Context())
				check(t, err)
				cross(t, e, false)
				cross(t, e, true)
				proof, err := w.Prove(t.Context(), before, Traffic{Walk: walk, Packets: 80, ToServer: 40, Flows: 4, UDP: true})
				check(t, err)
				t.Log(proof.Text)
			})
		}
	}
}

// More packets than there were are what no counter can confirm.
func (w *World) proofFails(t *testing.T) {
	if w.Arm == plan.Veth || w.Arm == plan.VethXDP {
		return // have no other way
	}
	t.Run("proof fails", func(t *testing.T) {
		before, err := w.Counters(t.Context())
		check(t, err)
		_, err = w.Prove(t.Context(), before, Traffic{Walk: plan.LANToPublished, Packets: 1000, Flows: 1})
		if !errors.Is(err, plan.ErrWrongWay) {
			t.Errorf("proof: %v", err)
		}
	})
}

// Walks that an arm doesn't have are unavailable, and no error of the run.
func (w *World) hasNoOtherWalk(t *testing.T) {
	for _, walk := range map[plan.Arm][]plan.Walk{
		plan.Redirect: {plan.LoopbackToPublished, plan.Hairpin},
		plan.VethXDP:  {plan.LoopbackToPublished, plan.Hairpin, plan.ContainerToContainer},
	}[w.Arm] {
		t.Run("no "+string(walk), func(t *testing.T) {
			if e, err := w.Ends(walk, plan.IPv4); !errors.Is(err, plan.ErrUnavailable) {
				t.Errorf("%+v, %v", e, err)
			}
		})
	}
}

// Without the programs, the bridge carries what goes from container to container,
// and nobody what comes from the LAN.
func (w *World) proofFailsWithoutPrograms(t *testing.T) {
	t.Run("without programs", func(t *testing.T) {
		check(t, w.carrier.(*redirecting).programs.Detach())
		for _, family := range []plan.Family{plan.IPv4, plan.IPv6} {
			e, err := w.Ends(plan.ContainerToContainer, family)
			check(t, err)
			check(t, w.Meet(t.Context(), family))
			before, err := w.Counters(t.Context())
			check(t, err)
			cross(t, e, false)
			cross(t, e, true)
			proof, err := w.Prove(t.Context(), before, Traffic{Walk: plan.ContainerToContainer, Packets: 80, ToServer: 40})
			if !errors.Is(err, plan.ErrWrongWay) {
				t.Errorf("%s: %q, %v", family, proof.Text, err)
			}
		}
		e, err := w.Ends(plan.LANToPublished, plan.IPv4)
		check(t, err)
		if err := arrive(t, e, false); !errors.Is(err, pktgen.ErrLost) {
			t.Errorf("packets from the LAN: %v", err)
		}
	})
}

// The kernel is asked whether XDP is still there.
func (w *World) proofFailsWithoutXDP(t *testing.T) {
	t.Run("without XDP", func(t *testing.T) {
		_, err := w.Prove(t.Context(), Counters{}, Traffic{Walk: plan.LANToPublished})
		check(t, err)
		check(t, w.carrier.(*pairXDP).link.Close())
		proof, err := w.Prove(t.Context(), Counters{}, Traffic{Walk: plan.LANToPublished})
		if !errors.Is(err, plan.ErrWrongWay) {
			t.Errorf("%q, %v", proof.Text, err)
		}
	})
}
