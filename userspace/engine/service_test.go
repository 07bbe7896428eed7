// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// front is a network with a subnet that tests know.
func (w *world) front() model.Network {
	w.t.Helper()
	return w.network(request.NetworkCreate{Name: "front", IPAM: []request.IPAMConfig{{Subnet: netip.MustParsePrefix("10.77.0.0/24")}}})
}

// serve makes a service in the network front, of what is labelled app=web unless change
// says otherwise.
func (w *world) serve(name string, change func(*request.ServiceCreate)) request.ServiceView {
	w.t.Helper()
	v, err := w.CreateService(context.Background(), ofWeb(name, change))
	must(w.t, err)
	return v
}

func ofWeb(name string, change func(*request.ServiceCreate)) request.ServiceCreate {
	r := request.ServiceCreate{Name: name, Networks: []string{"front"}, ServiceSpec: request.ServiceSpec{
		Ports: []string{"80:8080"}, Selector: map[string]string{"app": "web"},
	}}
	change(&r)
	return r
}

func asItIs(*request.ServiceCreate) {}

// server is a sandbox on front that is labelled app=web.
func (w *world) server(name string) request.SandboxView {
	w.t.Helper()
	return w.run(request.SandboxConfig{Name: name, Networks: on("front"), Labels: map[string]string{"app": "web"}})
}

// told is the first pool of a service in the datapath: addresses with their states.
func (w *world) told(id string) string {
	w.t.Helper()
	s := w.fake.service(id)
	if len(s.Pools) == 0 {
		return "no pool"
	}
	var texts []string
	for _, b := range s.Pools[0].Backends {
		texts = append(texts, b.Target.String()+" "+string(b.State))
	}
	return strings.Join(texts, ", ")
}

func (w *world) wantTold(id, want string) {
	w.t.Helper()
	if have := w.told(id); have != want {
		w.t.Errorf("the datapath has %q, want %q", have, want)
	}
}

// onDevice reports whether a network's device has the address.
func (w *world) onDevice(n model.Network, a netip.Addr) bool {
	w.t.Helper()
	dev, err := w.links.Find(n.Device())
	must(w.t, err)
	all, err := w.links.Addresses()
	must(w.t, err)
	return slices.Contains(all[dev.Index], netip.PrefixFrom(a, a.BitLen()))
}

func TestServiceFollowsSandboxes(t *testing.T) {
	w := newWorld(t)
	n := w.front()
	v := w.serve("shop", asItIs)
	vip := v.Networks[0].IPv4
	if !w.onDevice(n, vip) || slices.Contains(w.fake.hostNow().Addresses, vip) {
		t.Errorf("address %s: on the device: %v, and the datapath has it as one of the host's: %v", vip, w.onDevice(n, vip), w.fake.hostNow().Addresses)
	}
	if len(v.Warnings) != 1 || !strings.Contains(v.Warnings[0], "app=web") {
		t.Errorf("warnings of a service without backends: %q", v.Warnings)
	}
	front := w.fake.service(v.ID).Fronts
	if len(front) != 1 || front[0].Addr != vip || front[0].NetworkID != n.ID || front[0].Port.Num != 80 {
		t.Errorf("fronts: %+v", front)
	}
	a := w.server("a")
	addr := a.Endpoints[0].IPv4.Addr().String() + ":8080"
	w.wantTold(v.ID, addr+" active")
	w.run(request.SandboxConfig{Name: "stranger", Networks: on("front")})
	w.wantTold(v.ID, addr+" active")

	must(t, w.Disconnect(context.Background(), "front", "a", false))
	w.wantTold(v.ID, "")
	must(t, w.Connect(context.Background(), "a", request.EndpointSettings{Network: "front"}))
	addr = w.view("a").Endpoints[0].IPv4.Addr().String() + ":8080"
	w.wantTold(v.ID, addr+" active")

	must(t, w.DrainService(context.Background(), "shop", request.ServiceDrain{Backend: "a"}))
	w.wantTold(v.ID, addr+" draining")
	must(t, w.DrainService(context.Background(), "shop", request.ServiceDrain{Backend: a.ID[:8], Undo: true}))
	w.wantTold(v.ID, addr+" active")
	if err := w.DrainService(context.Background(), "shop", request.ServiceDrain{Backend: "stranger"}); !errors.Is(err, request.ErrNotFound) {
		t.Errorf("drained what is no backend: %v", err)
	}
	must(t, w.Remove(context.Background(), "a", true))
	w.wantTold(v.ID, "")
	w.stored()

	if err := w.RemoveNetwork(context.Background(), "front"); !errors.Is(err, request.ErrConflict) {
		t.Errorf("a network with a service was removed: %v", err)
	}
	must(t, w.Remove(context.Background(), "stranger", true))
	if err := w.RemoveNetwork(context.Background(), "front"); err == nil || !strings.Contains(err.Error(), "shop") {
		t.Errorf("the refusal doesn't name the service: %v", err)
	}
	must(t, w.RemoveService(context.Background(), "shop"))
	if w.onDevice(n, vip) || w.fake.service(v.ID).ID != "" {
		t.Error("something is left of a service that was removed")
	}
	w.stored()
	must(t, w.RemoveNetwork(context.Background(), "front"))
}

func TestServiceRefusals(t *testing.T) {
	w := newWorld(t)
	w.front()
	w.network(request.NetworkCreate{Name: "inside", Internal: true})
	a := w.server("a")
	w.run(request.SandboxConfig{Name: "b", Networks: on("front"), Publish: []string{"127.0.0.1:18080:80"}})
	w.serve("shop", func(r *request.ServiceCreate) { r.Publish = []string{"127.0.0.1:18081:80"} })
	before := w.snapshot()
	for text, change := range map[string]func(*request.ServiceCreate){
		`service name "shop": already in use in network front`:               func(r *request.ServiceCreate) { r.Name = "shop" },
		`service name "SHOP": already in use in network front`:               func(r *request.ServiceCreate) { r.Name = "SHOP" },
		`service name "a": sandbox a is called so in network front`:          func(r *request.ServiceCreate) { r.Name = "a" },
		"network nowhere not found":                                          func(r *request.ServiceCreate) { r.Networks = []string{"nowhere"} },
		"network front: given twice":                                         func(r *request.ServiceCreate) { r.Networks = []string{"front", "front"} },
		"network host: has no subnets":                                       func(r *request.ServiceCreate) { r.Networks = []string{"host"} },
		"address 10.78.0.1: outside of subnet 10.77.0.0/24 of network front": func(r *request.ServiceCreate) { r.IPv4 = netip.MustParseAddr("10.78.0.1") },
		"address fd00::1: network front has no subnet of that family":        func(r *request.ServiceCreate) { r.IPv6 = netip.MustParseAddr("fd00::1") },
		"10.77.0.1":                                                          func(r *request.ServiceCreate) { r.IPv4 = netip.MustParseAddr("10.77.0.1") },
		a.Endpoints[0].IPv4.Addr().String():                                  func(r *request.ServiceCreate) { r.IPv4 = a.Endpoints[0].IPv4.Addr() },
		"port is already allocated (sandbox b)":                              func(r *request.ServiceCreate) { r.Publish = []string{"127.0.0.1:18080:80"} },
		"port is already allocated (service shop)":                           func(r *request.ServiceCreate) { r.Publish = []string{"127.0.0.1:18081:80"} },
		"published port 80/tcp: no network of service other publishes ports": func(r *request.ServiceCreate) { r.Networks, r.Publish = []string{"inside"}, []string{"80"} },
		"backend 10.77.0.9: is in network front; want the name of a sandbox": func(r *request.ServiceCreate) { r.Selector, r.Backends = nil, []string{"10.77.0.9"} },
		`scheduler "wrr": want maglev or random`:                             func(r *request.ServiceCreate) { r.Scheduler = "wrr" },
	} {
		_, err := w.CreateService(context.Background(), ofWeb("other", change))
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("want %q, have: %v", text, err)
		}
	}
	if _, _, err := w.Run(context.Background(), request.Run{SandboxConfig: request.SandboxConfig{Name: "shop", Networks: on("front")}, Command: []string{"true"}}, nil); !errors.Is(err, request.ErrConflict) {
		t.Errorf("a sandbox took a service's name: %v", err)
	}
	w.unchanged(before)
}

// TestServiceEditsFailAtEachStep has the datapath refuse every call of an edit in turn.
func TestServiceEditsFailAtEachStep(t *testing.T) {
	w := newWorld(t)
	w.front()
	w.server("a")
	w.serve("old", asItIs)
	for what, edit := range map[string]func() error{
		"create": func() error {
			_, err := w.CreateService(context.Background(), ofWeb("new", func(r *request.ServiceCreate) { r.Publish = []string{"127.0.0.1:18082:80"} }))
			return err
		},
		"update": func() error {
			_, err := w.UpdateService(context.Background(), "old", request.ServiceUpdate{
				Publish: &[]string{"127.0.0.1:18083:80"}, Ports: &[]string{"80:81"}, Scheduler: new(model.SchedulerRandom)})
			return err
		},
		"drain": func() error { return w.DrainService(context.Background(), "old", request.ServiceDrain{Backend: "a"}) },
	} {
		before := w.snapshot()
		w.fake.failNext(1)
		if err := edit(); !errors.Is(err, errInjected) {
			t.Errorf("%s: %v", what, err)
		}
		w.fake.failNext(0)
		w.unchanged(before)
		w.stored()
		must(t, edit())
		w.stored()
	}
	must(t, w.RemoveService(context.Background(), "new"))
}

func TestServiceUpdate(t *testing.T) {
	w := newWorld(t)
	w.front()
	a, b := w.server("a"), w.server("b")
	v := w.serve("shop", func(r *request.ServiceCreate) {
		r.Publish, r.Drain, r.Selector, r.Backends = []string{"127.0.0.1::80"}, "0s", nil, []string{"a"}
	})
	at := func(v request.SandboxView, port string) string {
		return v.Endpoints[0].IPv4.Addr().String() + ":" + port + " active"
	}
	w.wantTold(v.ID, at(a, "8080"))
	now, err := w.UpdateService(context.Background(), "shop", request.ServiceUpdate{Backends: &[]string{"b"}, Ports: &[]string{"80:81"}})
	must(t, err)
	eventually(t, "the backend that left is gone", func() bool { return w.told(v.ID) == at(b, "81") })
	if !slices.Equal(now.Published, v.Published) || len(now.Published) != 1 {
		t.Errorf("published ports were renumbered: %v, before %v", now.Published, v.Published)
	}
	now, err = w.UpdateService(context.Background(), "shop", request.ServiceUpdate{Publish: new([]string)})
	must(t, err)
	if len(now.Published) > 0 || w.ports.Len() > 0 {
		t.Errorf("still published: %v", now.Published)
	}
	w.stored()
}

// TestDrainedBackendThatComesBack is another one: who takes a backend away has forgotten why.
func TestDrainedBackendThatComesBack(t *testing.T) {
	w := newWorld(t)
	w.front()
	w.server("a")
	w.server("b")
	const outside = "192.0.2.7"
	w.serve("shop", func(r *request.ServiceCreate) { r.Selector, r.Backends = nil, []string{"a", "b", outside} })
	for _, who := range []string{"a", "b", outside} {
		must(t, w.DrainService(ctx, "shop", request.ServiceDrain{Backend: who}))
	}
	for _, backends := range [][]string{{"a"}, {"a", "b", outside}} {
		_, err := w.UpdateService(ctx, "shop", request.ServiceUpdate{Backends: &backends})
		must(t, err)
	}
	now, err := w.Service(ctx, "shop")
	must(t, err)
	for _, b := range now.Backends {
		if want := map[bool]model.BackendState{true: model.BackendDraining, false: model.BackendActive}[b.Name == "a"]; b.State != want {
			t.Errorf("backend %s%s is %s, want %s", b.Name, b.IPv4, b.State, want)
		}
	}
	if len(now.Backends) != 3 || len(now.Drained) != 1 {
		t.Errorf("backends %+v, drained %v", now.Backends, now.Drained)
	}
	w.stored()
}

// TestServiceSurvivesRestart compares what the datapath has before and after.
func TestServiceSurvivesRestart(t *testing.T) {
	w := newWorld(t)
	n := w.front()
	w.server("a")
	w.server("b")
	v := w.serve("shop", func(r *request.ServiceCreate) {
		r.IPv4, r.Publish = netip.MustParseAddr("10.77.0.200"), []string{"127.0.0.1:18084:80"}
	})
	w.serve("names", func(r *request.ServiceCreate) { r.EndpointMode = model.EndpointModeDNSRR })
	must(t, w.DrainService(context.Background(), "shop", request.ServiceDrain{Backend: "b"}))
	before := w.snapshot()
	stray := netip.MustParseAddr("10.77.0.201")
	must(t, w.links.AddServiceAddress(n.Device(), stray))
	must(t, w.links.RemoveServiceAddress(n.Device(), v.Networks[0].IPv4))
	w.fake.takeLog()
	w.restart()
	w.unchanged(before)
	w.stored()
	if !w.onDevice(n, v.Networks[0].IPv4) || w.onDevice(n, stray) {
		t.Error("the device hasn't the services' addresses, or more")
	}
	if w.fake.pruned == nil || len(w.fake.pruned.Services) != 2 {
		t.Errorf("leftovers were removed without a word of services: %+v", w.fake.pruned)
	}
	log := w.fake.takeLog()
	if said := slices.Index(log, "service shop"); said < 0 || said > slices.Index(log, "prune") || said < lastIndex(log, "endpoint") {
		t.Errorf("not after the endpoints and before leftovers are removed: %q", log)
	}
	if _, err := w.CreateService(context.Background(), ofWeb("other", func(r *request.ServiceCreate) { r.IPv4 = v.Networks[0].IPv4 })); !errors.Is(err, request.ErrConflict) {
		t.Errorf("an address was given twice after a restart: %v", err)
	}
}

func lastIndex(log []string, what string) int {
	last := -1
	for i, l := range log {
		if l == what {
			last = i
		}
	}
	return last
}

// TestServiceAddressIsPutBack deletes it behind the engine's back.
func TestServiceAddressIsPutBack(t *testing.T) {
	w := newWorld(t)
	n := w.front()
	v := w.serve("shop", asItIs)
	must(t, w.links.RemoveServiceAddress(n.Device(), v.Networks[0].IPv4))
	eventually(t, "the address is on the device again", func() bool { return w.onDevice(n, v.Networks[0].IPv4) })
}

// TestSandboxThatEndsLeavesServices has a process end by itself.
func TestSandboxThatEndsLeavesServices(t *testing.T) {
	w := newWorld(t)
	w.front()
	v := w.serve("shop", asItIs)
	c := request.SandboxConfig{Name: "short", Networks: on("front"), Labels: map[string]string{"app": "web"}}
	_, _, err := w.Run(context.Background(), request.Run{SandboxConfig: c, Command: []string{"true"}}, nil)
	must(t, err)
	eventually(t, "the backend is gone", func() bool { return w.told(v.ID) == "" })
}

// TestServiceIsSaidAgainForRemadeEndpoints deletes a backend's device: the endpoint that is
// made in its place is another one to a datapath.
func TestServiceIsSaidAgainForRemadeEndpoints(t *testing.T) {
	w := newWorld(t)
	w.front()
	w.serve("shop", asItIs)
	a := w.server("a")
	w.fake.takeLog()
	must(t, w.links.Delete(a.Endpoints[0].HostIf, a.Endpoints[0].ID))
	var log []string
	eventually(t, "the service is said after the endpoint", func() bool {
		log = append(log, w.fake.takeLog()...)
		made := slices.Index(log, "endpoint")
		return made >= 0 && lastIndex(log, "service shop") > made
	})
}
