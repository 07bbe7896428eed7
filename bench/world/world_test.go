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

var carrying = []plan.Arm{plan.Veth, plan.Route, plan.NFTables, plan.IPTables, plan.IPTablesLegacy, plan.EBPF, plan.XDP, plan.Docker, plan.DockerNoProxy}

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
	check(t, s.Wait(t.Context(), sent.Packets))
}

// Packets cross every arm on every walk in both directions, translated as the walk
// says, and the counters say that they did.
func TestEveryArmCarriesEveryWalk(t *testing.T) {
	for _, arm := range carrying {
		t.Run(string(arm), func(t *testing.T) {
			w := newWorld(t, Options{Arm: arm, Containers: two})
			for _, walk := range []plan.Walk{plan.LANToPublished, plan.ContainerToLAN, plan.ContainerToContainer} {
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
		})
	}
}

// More packets than there were are what no counter can confirm.
func TestProofFails(t *testing.T) {
	for _, arm := range carrying {
		if arm == plan.Veth {
			continue // has no other way
		}
		t.Run(string(arm), func(t *testing.T) {
			w := newWorld(t, Options{Arm: arm, Containers: two})
			before, err := w.Counters(t.Context())
			check(t, err)
			_, err = w.Prove(t.Context(), before, Traffic{Walk: plan.LANToPublished, Packets: 1000, Flows: 1})
			if !errors.Is(err, plan.ErrWrongWay) {
				t.Errorf("proof: %v", err)
			}
		})
	}
}
