// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

func (w *world) guarded(device string) int {
	w.t.Helper()
	n := 0
	for _, a := range w.attached() {
		if a.Device == device {
			n++
		}
	}
	return n
}

// A device is guarded before anything is known of its endpoint; guarding it later
// takes nothing away, and no pin outlives it.
func TestGuardBeforeTheEndpoint(t *testing.T) {
	w := newWorld(t)
	index := w.veth("veth1", true)
	guard := func(ctx context.Context) error { return w.dp.Guard(ctx, "veth1", index) }
	w.ensure(guard, guard)
	if n := w.guarded("veth1"); n != 2 {
		t.Fatalf("%d programs on the device, want 2", n)
	}
	e := w.endpoint(1)
	w.ensure(w.networkIs(w.network()), w.endpointIs(e), guard)
	if got := w.snapshot().Endpoints[1]; !got.Ready || got.Index != index {
		t.Errorf("endpoint %s", got)
	}
	w.ensure(w.endpointGone(e.ID), guard)
	w.remove("veth1")
	w.ensure(guard)
	if err := w.dp.programs.sweepPins(); err != nil {
		t.Fatal(err)
	}
	if pins, err := filepath.Glob(filepath.Join(w.cfg.BPFFS, "links", "[0-9]*")); err != nil || len(pins) != 0 {
		t.Errorf("pins are left: %v, %v", pins, err)
	}
}

// What an earlier process had works until it is pruned, and goes then unless it was
// ensured again or is spared.
func TestPruneRemovesWhatNobodyEnsured(t *testing.T) {
	w := newWorld(t)
	a, b := w.endpoint(1), w.endpoint(2)
	w.ensure(w.hostIs(w.host()), w.networkIs(w.network()), w.endpointIs(a), w.endpointIs(b),
		w.portsAre(a.ID, publication(a, 6, 8080)), w.portsAre(b.ID, publication(b, 17, 53)),
		func(ctx context.Context) error {
			return w.dp.EnsureResolver(ctx, datapath.Resolver{SandboxID: "s", Netns: w.netns, UDPPort: 1, TCPPort: 2})
		})
	everything := w.snapshot()
	w.restart()
	w.ensure(w.hostIs(w.host()))
	equal(t, "before", w.snapshot(), everything)
	prune := func(spare func(int) bool) func(context.Context) error {
		return func(ctx context.Context) error {
			return w.dp.Prune(ctx, datapath.Desired{
				Networks: []datapath.Network{w.network()}, Endpoints: []datapath.Endpoint{a},
				Ports: map[string][]datapath.Port{a.ID: {publication(a, 6, 8080)}}, Spare: spare,
			})
		}
	}
	w.ensure(prune(func(int) bool { return true }))
	equal(t, "with all spared", w.snapshot(), everything)
	w.ensure(w.networkIs(w.network()), w.endpointIs(a), w.portsAre(a.ID, publication(a, 6, 8080)),
		prune(func(index int) bool { return index == b.HostIndex }))
	equal(t, "with one spared", w.snapshot(), everything)
	w.ensure(prune(func(index int) bool { return index == a.HostIndex }))
	got := w.snapshot()
	if len(got.Endpoints) != 1 || len(got.Ports) != 1 || len(got.Bits) != 1 || got.Resolvers != 1 || len(got.Networks) != 1 {
		t.Errorf("with another spared: %+v", got)
	}
	w.ensure(prune(nil))
	if got = w.snapshot(); len(got.Endpoints) != 1 || len(got.Ports) != 1 || got.Resolvers != 0 || len(got.Networks) != 1 {
		t.Errorf("at last: %+v", got)
	}
	w.ensure(prune(nil))
	equal(t, "after the second", w.snapshot(), got)
	w.ensure(func(ctx context.Context) error {
		return w.dp.Prune(ctx, datapath.Desired{
			Endpoints: []datapath.Endpoint{a}, Ports: map[string][]datapath.Port{a.ID: {publication(a, 6, 8080)}},
		})
	})
	equal(t, "without the network that an endpoint is on", w.snapshot(), got)
}

// The bridge of a network is no uplink whatever it is called, in the process that
// made it and in the next.
func TestBridgeIsNoUplink(t *testing.T) {
	w := newWorld(t)
	h := w.host()
	h.Uplinks = append(h.Uplinks, model.Uplink{Name: "br0", Index: w.bridgeIndex})
	w.ensure(w.hostIs(h))
	if w.guarded("br0") != 2 {
		t.Error("a bridge of nobody's is not an uplink")
	}
	check := func(when string) {
		t.Helper()
		w.ensure(w.hostIs(h))
		for _, a := range w.attached() {
			if a.Device == "br0" && strings.HasSuffix(a.Program, "uplink") {
				t.Errorf("%s: %s is attached to the bridge", when, a.Program)
			}
		}
	}
	w.ensure(w.networkIs(w.network()))
	check("known")
	w.restart()
	check("of an earlier process")
}
