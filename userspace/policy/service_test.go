// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

func TestSelects(t *testing.T) {
	labels := map[string]string{"app": "web", "tier": "front", "empty": ""}
	for _, c := range []struct {
		selector map[string]string
		want     bool
	}{
		{nil, false},
		{map[string]string{"app": "web"}, true},
		{map[string]string{"app": "web", "tier": "front"}, true},
		{map[string]string{"app": "db"}, false},
		{map[string]string{"app": "web", "zone": "a"}, false},
		{map[string]string{"empty": ""}, true},
		{map[string]string{"none": ""}, false},
	} {
		if have := Selects(c.selector, labels); have != c.want {
			t.Errorf("%v: %v", c.selector, have)
		}
	}
}

// at is an address, invalid for "".
func at(text string) (a netip.Addr) {
	if text != "" {
		a = netip.MustParseAddr(text)
	}
	return a
}

func reach(id, network, v4, v6 string) Reach {
	return Reach{EndpointID: id, NetworkID: network, IPv4: at(v4), IPv6: at(v6)}
}

// serviceOf is in the networks front and back.
func serviceOf(change func(*model.Service)) *model.Service {
	s := &model.Service{
		ID: "id", Name: "web", EndpointMode: model.EndpointModeVIP,
		Networks: []model.ServiceNetwork{{NetworkID: "front", IPv4: at("10.1.0.9")}, {NetworkID: "back", IPv4: at("10.2.0.9"), IPv6: at("fd00:2::9")}},
		Ports:    []model.ServicePort{{Port: web, Target: 8080}},
	}
	change(s)
	return s
}

func TestAddressPrefersTheFirstNetwork(t *testing.T) {
	s := serviceOf(func(*model.Service) {})
	for _, c := range []struct {
		what      string
		endpoints []Reach
		addr      string
		v4, v6    string
		id        string
	}{
		{"both", []Reach{reach("b", "back", "10.2.0.2", "fd00:2::2"), reach("f", "front", "10.1.0.2", "")}, "", "10.1.0.2", "fd00:2::2", "f"},
		{"the second only", []Reach{reach("b", "back", "10.2.0.2", "")}, "", "10.2.0.2", "", "b"},
		{"none", []Reach{reach("x", "other", "10.3.0.2", "")}, "", "", "", ""},
		{"outside", nil, "192.0.2.1", "192.0.2.1", "", ""},
		{"outside by IPv6", nil, "2001:db8::1", "", "2001:db8::1", ""},
	} {
		b := Backend{Endpoints: c.endpoints, Addr: at(c.addr)}
		id, a4 := Address(s, &b, false)
		_, a6 := Address(s, &b, true)
		if a4 != at(c.v4) || a6 != at(c.v6) || id != c.id {
			t.Errorf("%s: %v %v by %q", c.what, a4, a6, id)
		}
	}
}

func TestServe(t *testing.T) {
	a := Backend{Endpoints: []Reach{reach("a", "front", "10.1.0.3", "")}, Weight: 1, State: model.BackendActive}
	b := Backend{Endpoints: []Reach{reach("b", "back", "10.2.0.2", "fd00:2::2")}, Port: 81, Weight: 7, State: model.BackendDraining}
	both := Backend{
		Endpoints: []Reach{reach("both-front", "front", "10.1.0.4", ""), reach("both-back", "back", "10.2.0.4", "")}, Weight: 1, State: model.BackendActive,
	}
	outside := Backend{Addr: at("192.0.2.1"), Weight: 1, State: model.BackendActive}
	stranger := Backend{Endpoints: []Reach{reach("x", "other", "10.3.0.2", "")}, Weight: 1, State: model.BackendActive}
	target := func(id, target string, weight int, state model.BackendState) datapath.Backend {
		return datapath.Backend{EndpointID: id, Target: netip.MustParseAddrPort(target), Weight: weight, State: state}
	}
	v4 := datapath.Pool{Backends: []datapath.Backend{
		target("a", "10.1.0.3:8080", 1, model.BackendActive), target("b", "10.2.0.2:81", 7, model.BackendDraining),
	}}
	v6 := datapath.Pool{Backends: []datapath.Backend{target("b", "[fd00:2::2]:81", 7, model.BackendDraining)}}
	vips := []datapath.Front{
		{NetworkID: "front", Addr: at("10.1.0.9"), Port: web, Pool: 0},
		{NetworkID: "back", Addr: at("10.2.0.9"), Port: web, Pool: 0},
		{NetworkID: "back", Addr: at("fd00:2::9"), Port: web, Pool: 1},
	}
	published := []model.PublishedPort{{Port: web, HostIP: at("0.0.0.0"), HostPort: 80}, {Port: web, HostIP: at("::"), HostPort: 80}}
	for _, c := range []struct {
		what     string
		service  *model.Service
		backends []Backend
		want     datapath.Service
	}{
		{"networks", serviceOf(func(*model.Service) {}), []Backend{a, b, stranger}, datapath.Service{
			ID: "id", Name: "web", Passive: true, Fronts: vips, Pools: []datapath.Pool{v4, v6},
		}},
		{"any order", serviceOf(func(*model.Service) {}), []Backend{stranger, b, a}, datapath.Service{
			ID: "id", Name: "web", Passive: true, Fronts: vips, Pools: []datapath.Pool{v4, v6},
		}},
		{"no backends", serviceOf(func(*model.Service) {}), nil, datapath.Service{
			ID: "id", Name: "web", Passive: true, Fronts: vips, Pools: []datapath.Pool{{}, {}},
		}},
		{"published", serviceOf(func(s *model.Service) {
			s.Networks, s.Published = []model.ServiceNetwork{{NetworkID: "back"}}, published
		}), []Backend{b}, datapath.Service{
			ID: "id", Name: "web", Passive: true,
			Fronts: []datapath.Front{{Addr: at("0.0.0.0"), Port: web, Pool: 0}, {Addr: at("::"), Port: web, Pool: 1}},
			Pools:  []datapath.Pool{{Backends: []datapath.Backend{target("b", "10.2.0.2:81", 7, model.BackendDraining)}}, v6},
		}},
		{"published by IPv6 for sockets of the host only", serviceOf(func(s *model.Service) {
			s.Networks, s.Published = []model.ServiceNetwork{{NetworkID: "front"}}, published
		}), []Backend{a}, datapath.Service{
			ID: "id", Name: "web", Passive: true,
			Fronts: []datapath.Front{{Addr: at("0.0.0.0"), Port: web, Pool: 0}, {Addr: at("::"), Port: web, HostOnly: true, Pool: 0}},
			Pools:  []datapath.Pool{{Backends: []datapath.Backend{target("a", "10.1.0.3:8080", 1, model.BackendActive)}}},
		}},
		{"published without backends", serviceOf(func(s *model.Service) {
			s.Networks, s.Published = []model.ServiceNetwork{{NetworkID: "front"}}, published
		}), nil, datapath.Service{
			ID: "id", Name: "web", Passive: true,
			Fronts: []datapath.Front{{Addr: at("0.0.0.0"), Port: web, Pool: 0}, {Addr: at("::"), Port: web, Pool: 1}},
			Pools:  []datapath.Pool{{}, {}},
		}},
		{"an internal network keeps its own", serviceOf(func(s *model.Service) {
			s.Networks = []model.ServiceNetwork{
				{NetworkID: "front", IPv4: at("10.1.0.9"), Internal: true}, {NetworkID: "back", IPv4: at("10.2.0.9")},
			}
			s.Published = published[:1]
		}), []Backend{both, a, b, outside}, datapath.Service{
			ID: "id", Name: "web", Passive: true, Networks: []string{"back"},
			Fronts: []datapath.Front{
				{NetworkID: "front", Addr: at("10.1.0.9"), Port: web, Pool: 0},
				{NetworkID: "back", Addr: at("10.2.0.9"), Port: web, Pool: 1},
				{Addr: at("0.0.0.0"), Port: web, Pool: 1},
			},
			Pools: []datapath.Pool{
				{Backends: []datapath.Backend{
					target("a", "10.1.0.3:8080", 1, model.BackendActive), target("both-front", "10.1.0.4:8080", 1, model.BackendActive),
				}},
				{Backends: []datapath.Backend{
					target("b", "10.2.0.2:81", 7, model.BackendDraining), target("both-back", "10.2.0.4:8080", 1, model.BackendActive),
					target("", "192.0.2.1:8080", 1, model.BackendActive),
				}},
			},
		}},
		{"published with backends in an internal network alone", serviceOf(func(s *model.Service) {
			s.Networks, s.Published = []model.ServiceNetwork{{NetworkID: "front", Internal: true}, {NetworkID: "back"}}, published
		}), []Backend{a}, datapath.Service{
			ID: "id", Name: "web", Passive: true,
			Fronts: []datapath.Front{{Addr: at("0.0.0.0"), Port: web, Pool: 0}, {Addr: at("::"), Port: web, Pool: 1}},
			Pools:  []datapath.Pool{{}, {}},
		}},
		{"how it chooses", serviceOf(func(s *model.Service) {
			s.Networks, s.Ports = nil, nil
			s.Scheduler, s.Passive, s.Sources = model.SchedulerRandom, new(bool), []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
			s.Affinity = model.Affinity{Kind: model.AffinityClientIP, Timeout: time.Hour}
		}), nil, datapath.Service{
			ID: "id", Name: "web", Random: true, Affinity: time.Hour, Sources: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		}},
	} {
		have := Serve(c.service, c.backends)
		equal := append(cmp.Options{cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
			cmp.Comparer(func(a, b datapath.Pool) bool {
				return SameService(&datapath.Service{Pools: []datapath.Pool{a}}, &datapath.Service{Pools: []datapath.Pool{b}})
			})}, compare...)
		if diff := cmp.Diff(c.want, have, equal); diff != "" {
			t.Errorf("%s (-want +have):\n%s", c.what, diff)
		}
		if again := Serve(c.service, c.backends); !SameService(&have, &again) {
			t.Errorf("%s: differs the second time", c.what)
		}
	}
}

// TestSameService changes one thing at a time.
func TestSameService(t *testing.T) {
	base := func() datapath.Service {
		return datapath.Service{
			ID: "id", Name: "web", Fronts: []datapath.Front{{Addr: at("10.1.0.9"), Port: web}},
			Pools: []datapath.Pool{{Backends: []datapath.Backend{{EndpointID: "a", Target: netip.MustParseAddrPort("10.1.0.3:80"), Weight: 1}}}},
		}
	}
	for what, change := range map[string]func(*datapath.Service){
		"name":     func(s *datapath.Service) { s.Name = "db" },
		"networks": func(s *datapath.Service) { s.Networks = []string{"back"} },
		"random":   func(s *datapath.Service) { s.Random = true },
		"affinity": func(s *datapath.Service) { s.Affinity = 1 },
		"passive":  func(s *datapath.Service) { s.Passive = true },
		"sources":  func(s *datapath.Service) { s.Sources = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} },
		"front":    func(s *datapath.Service) { s.Fronts[0].HostOnly = true },
		"fronts":   func(s *datapath.Service) { s.Fronts = nil },
		"pools":    func(s *datapath.Service) { s.Pools = append(s.Pools, datapath.Pool{}) },
		"backend":  func(s *datapath.Service) { s.Pools[0].Backends[0].State = model.BackendDown },
	} {
		was, is := base(), base()
		change(&is)
		if SameService(&was, &is) {
			t.Errorf("%s: not seen", what)
		}
	}
	if was, is := base(), base(); !SameService(&was, &is) {
		t.Error("differs from itself")
	}
}

func TestHealthTarget(t *testing.T) {
	udp := model.ServicePort{Port: model.Port{Num: 53, Proto: model.UDP}, Target: 5353}
	both := Backend{Endpoints: []Reach{reach("b", "back", "10.2.0.2", "fd00:2::2")}}
	only6 := Backend{Endpoints: []Reach{reach("b", "back", "", "fd00:2::2")}, Port: 81}
	for _, c := range []struct {
		change func(*model.Service)
		b      Backend
		want   string
	}{
		{func(*model.Service) {}, both, "10.2.0.2:8080"},
		{func(*model.Service) {}, only6, "[fd00:2::2]:81"},
		{func(s *model.Service) { s.Health.Port = 9 }, only6, "[fd00:2::2]:9"},
		{func(s *model.Service) { s.Ports = append([]model.ServicePort{udp}, s.Ports...) }, both, "10.2.0.2:8080"},
		{func(s *model.Service) { s.Ports = []model.ServicePort{udp} }, both, ""},
		{func(*model.Service) {}, Backend{}, ""},
	} {
		want := netip.AddrPort{}
		if c.want != "" {
			want = netip.MustParseAddrPort(c.want)
		}
		if have := HealthTarget(serviceOf(c.change), &c.b); have != want {
			t.Errorf("want %q, have %s", c.want, have)
		}
	}
}
