// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// machine runs random edits and keeps who is on which network.
type machine struct {
	w    *world
	on   map[string]map[string]bool
	next int
}

const machineNetworks = 3

// TestRandomEdits checks after every edit that the datapath, the devices, the
// addresses, the ports and the store are what the sandboxes need, no more and
// no less, and in the end that nothing is left.
func TestRandomEdits(t *testing.T) { randomEdits(t, "15") }

// randomEdits runs as many sequences of edits, unless the command line has a number.
func randomEdits(t *testing.T, sequences string) {
	t.Helper()
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		must(t, f.Value.Set(sequences))
	}
	w := newWorld(t)
	for i := range machineNetworks {
		w.network(request.NetworkCreate{Name: fmt.Sprint("n", i), EnableIPv6: i == 1, Internal: i == 2})
	}
	before := w.snapshot()
	rapid.Check(t, func(rt *rapid.T) {
		m := &machine{w: w, on: map[string]map[string]bool{}}
		defer m.removeAll()
		rt.Repeat(map[string]func(*rapid.T){
			"run": m.run, "connect": m.connect, "disconnect": m.disconnect,
			"remove": m.remove, "restart": m.restart, "": m.check,
		})
	})
	w.unchanged(before)
}

func network(t *rapid.T) string {
	return fmt.Sprint("n", rapid.IntRange(0, machineNetworks-1).Draw(t, "network"))
}

func (m *machine) sandbox(t *rapid.T) string {
	if len(m.on) == 0 {
		t.Skip("no sandbox")
	}
	return rapid.SampledFrom(slices.Sorted(maps.Keys(m.on))).Draw(t, "sandbox")
}

func (m *machine) run(t *rapid.T) {
	if len(m.on) >= 4 {
		t.Skip("enough sandboxes")
	}
	m.next++
	name, net := fmt.Sprint("s", m.next), network(t)
	m.w.run(request.SandboxConfig{Name: name, Networks: on(net), Publish: []string{"80"}, Expose: []string{"81"},
		PublishAll: rapid.Bool().Draw(t, "publish all")})
	m.on[name] = map[string]bool{net: true}
}

func (m *machine) connect(t *rapid.T) {
	name, net := m.sandbox(t), network(t)
	err := m.w.Connect(ctx, name, request.EndpointSettings{Network: net, GwPriority: rapid.IntRange(0, 2).Draw(t, "priority")})
	if (err == nil) == m.on[name][net] {
		t.Fatalf("connect %s to %s: %v", name, net, err)
	}
	m.on[name][net] = true
}

func (m *machine) disconnect(t *rapid.T) {
	name, net := m.sandbox(t), network(t)
	err := m.w.Disconnect(ctx, net, name, rapid.Bool().Draw(t, "force"))
	if (err == nil) != m.on[name][net] {
		t.Fatalf("disconnect %s from %s: %v", name, net, err)
	}
	delete(m.on[name], net)
}

func (m *machine) remove(t *rapid.T) {
	name := m.sandbox(t)
	must(m.w.t, m.w.Remove(ctx, name, true))
	delete(m.on, name)
}

func (m *machine) restart(*rapid.T) {
	forget(m.w.fake)
	m.w.restart()
}

func (m *machine) removeAll() {
	for name := range m.on {
		must(m.w.t, m.w.Remove(ctx, name, true))
	}
}

func (m *machine) check(t *rapid.T) {
	s := m.w.snapshot()
	endpoints, ports := 0, 0
	for _, v := range s.Sandboxes {
		have := map[string]bool{}
		for _, ep := range v.Endpoints {
			have[ep.NetworkName] = true
			endpoints++
			m.checkEndpoint(t, v, ep)
		}
		if !maps.Equal(have, m.on[v.Name]) {
			t.Fatalf("%s is on %v, want %v", v.Name, have, m.on[v.Name])
		}
		ports += len(v.Published)
	}
	if n := len(s.Datapath["endpoints"]); n != endpoints || len(s.Devices) != endpoints+machineNetworks+1 {
		t.Fatalf("%d endpoints, but %d in the datapath and devices %v", endpoints, n, s.Devices)
	}
	if s.Ports != ports || len(s.Datapath["ports"]) != ports {
		t.Fatalf("%d ports published, %d reserved, %v in the datapath", ports, s.Ports, s.Datapath["ports"])
	}
	if len(s.Netns) != len(m.on) {
		t.Fatalf("%d sandboxes, namespaces %v", len(m.on), s.Netns)
	}
	m.w.stored()
	if m.w.t.Failed() {
		t.FailNow()
	}
}

// checkEndpoint checks that the datapath guards what the model says, and that
// ports are with the gateway.
func (m *machine) checkEndpoint(t *rapid.T, v request.SandboxView, ep request.SandboxEndpoint) {
	guarded := m.w.fake.endpoint(ep.ID)
	if guarded.IPv4 != ep.IPv4.Addr() || guarded.IPv6 != ep.IPv6.Addr() || guarded.MAC != ep.MAC {
		t.Fatalf("%s on %s: datapath has %+v, model %+v", v.Name, ep.NetworkName, guarded, ep.Endpoint)
	}
	for _, p := range m.w.fake.portsOf(ep.ID) {
		gateway := ep.Default4 && p.Target.Is4() || ep.Default6 && p.Target.Is6()
		if !gateway || !slices.Contains(v.Published, p.PublishedPort) || p.HostOnly != (p.HostIP.Is6() && p.Target.Is4()) {
			t.Fatalf("%s on %s: port %+v with %+v", v.Name, ep.NetworkName, p, v.Published)
		}
	}
	if v.State.Status != model.StatusRunning {
		t.Fatalf("%s is %s", v.Name, v.State.Status)
	}
}
