// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// machine runs random edits and keeps who is on which network.
type machine struct {
	w    *world
	on   map[string]map[string]bool
	next int
	// services are the networks of each, in their order.
	services map[string][]string
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
		m := &machine{w: w, on: map[string]map[string]bool{}, services: map[string][]string{}}
		defer m.removeAll()
		rt.Repeat(map[string]func(*rapid.T){
			"run": m.run, "connect": m.connect, "disconnect": m.disconnect,
			"remove": m.remove, "restart": m.restart, "serve": m.serve, "unserve": m.unserve, "": m.check,
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
		Labels:     map[string]string{"half": half(m.next)},
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

// half is a label that every second thing has.
func half(n int) string { return fmt.Sprint(n % 2) }

func (m *machine) serve(t *rapid.T) {
	if len(m.services) >= 3 {
		t.Skip("enough services")
	}
	m.next++
	name, nets := fmt.Sprint("v", m.next), []string{network(t)}
	if more := network(t); more != nets[0] {
		nets = append(nets, more)
	}
	spec := request.ServiceSpec{Ports: []string{"80"}, Selector: map[string]string{"half": half(m.next)}, Drain: "0s"}
	if nets[0] != "n2" {
		// n2 is internal.
		spec.Publish = []string{"80"}
	}
	_, err := m.w.CreateService(ctx, request.ServiceCreate{Name: name, Networks: nets, ServiceSpec: spec})
	must(m.w.t, err)
	m.services[name] = nets
}

func (m *machine) unserve(t *rapid.T) {
	if len(m.services) == 0 {
		t.Skip("no service")
	}
	name := rapid.SampledFrom(slices.Sorted(maps.Keys(m.services))).Draw(t, "service")
	must(m.w.t, m.w.RemoveService(ctx, name))
	delete(m.services, name)
}

// checkServices checks that each leads to the sandboxes with its label, by the first of its
// networks that they are in and the clients may reach, and that its addresses are where they
// should be.
func (m *machine) checkServices(t *rapid.T, s snapshot) (ports int) {
	if len(s.Services) != len(m.services) || len(s.Datapath["services"]) != len(m.services) {
		t.Fatalf("%d services, %d in the datapath, want %v", len(s.Services), len(s.Datapath["services"]), m.services)
	}
	for _, v := range s.Services {
		ports += len(v.Published)
		told := m.w.fake.service(v.ID)
		for _, f := range told.Fronts {
			if f.HostOnly {
				continue
			}
			var have []string
			for _, b := range told.Pools[f.Pool].Backends {
				have = append(have, fmt.Sprint(b.Target, " ", b.State))
			}
			want := m.backends(s, v, f)
			slices.Sort(want)
			slices.Sort(have)
			if !slices.Equal(have, want) {
				t.Fatalf("service %s on %v at %s: want %q, have %q", v.Name, m.services[v.Name], f.Addr, want, have)
			}
		}
		for _, in := range v.Networks {
			if n := m.w.state.network(in.NetworkID); !m.w.onDevice(*n, in.IPv4) {
				t.Fatalf("service %s: address %s isn't on %s", v.Name, in.IPv4, n.Device())
			}
		}
	}
	return ports
}

// backends are the sandboxes with a service's label, as clients of one of its fronts reach
// them: those of an internal network in it, all others anywhere else.
func (m *machine) backends(s snapshot, v request.ServiceView, f datapath.Front) (all []string) {
	networks := map[string]request.NetworkView{}
	for _, n := range s.Networks {
		networks[n.Name] = n
	}
	internal := slices.ContainsFunc(s.Networks, func(n request.NetworkView) bool { return n.Internal && n.ID == f.NetworkID })
	reached := func(n request.NetworkView) bool {
		if internal {
			return n.ID == f.NetworkID
		}
		return !n.Internal
	}
	for _, sb := range s.Sandboxes {
		if sb.Labels["half"] != v.Selector["half"] {
			continue
		}
		for _, net := range m.services[v.Name] {
			i := slices.IndexFunc(sb.Endpoints, func(ep request.SandboxEndpoint) bool { return ep.NetworkName == net })
			if i < 0 || !reached(networks[net]) {
				continue
			}
			at := sb.Endpoints[i].IPv4.Addr()
			if f.Addr.Is6() {
				at = sb.Endpoints[i].IPv6.Addr()
			}
			if at.IsValid() {
				all = append(all, fmt.Sprintf("%s active", netip.AddrPortFrom(at, 80)))
				break
			}
		}
	}
	return all
}

func (m *machine) restart(*rapid.T) {
	forget(m.w.fake)
	m.w.restart()
}

func (m *machine) removeAll() {
	for name := range m.on {
		must(m.w.t, m.w.Remove(ctx, name, true))
	}
	for name := range m.services {
		must(m.w.t, m.w.RemoveService(ctx, name))
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
	serviced := m.checkServices(t, s)
	if s.Ports != ports+serviced || len(s.Datapath["ports"]) != ports {
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
