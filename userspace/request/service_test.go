// SPDX-License-Identifier: Apache-2.0

package request

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/model"
)

func tcp(port uint16) model.Port { return model.Port{Num: port, Proto: model.TCP} }

// web asks for the least.
func web(change func(*ServiceCreate)) ServiceCreate {
	r := ServiceCreate{Name: "web", Networks: []string{"front"}, ServiceSpec: ServiceSpec{Ports: []string{"80"}}}
	change(&r)
	return r
}

func TestServiceDefaults(t *testing.T) {
	r := web(func(*ServiceCreate) {})
	s, err := r.Service()
	want := &model.Service{
		Name: "web", EndpointMode: model.EndpointModeVIP, Ports: []model.ServicePort{{Port: tcp(80), Target: 80}},
		Scheduler: model.SchedulerMaglev, Affinity: model.Affinity{Kind: model.AffinityNone},
		Health: model.Health{Kind: model.HealthNone}, Drain: 30 * time.Second,
	}
	if diff := cmp.Diff(want, s); err != nil || diff != "" {
		t.Errorf("%v (-want +have):\n%s", err, diff)
	}
}

func TestServiceRead(t *testing.T) {
	r := ServiceCreate{
		Name: "web", Networks: []string{"front"}, EndpointMode: model.EndpointModeDNSRR,
		ServiceSpec: ServiceSpec{
			Ports: []string{"80:8080", "53/udp"}, Publish: []string{"127.0.0.1:8080:80", "53/udp"},
			Backends:  []string{"a", "b:81,weight=3", "192.0.2.7", "192.0.2.8:5432", "[2001:db8::1]:5432,weight=256", "2001:db8::2"},
			Scheduler: model.SchedulerRandom, Affinity: "client-ip,timeout=10m",
			Health:  "http:/healthz?x=1,port=9000,interval=1s,timeout=500ms,rise=1,fall=4",
			Passive: new(bool), Drain: "0s", Sources: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
			Labels: map[string]string{"k": "v"},
		},
	}
	want := &model.Service{
		Name: "web", EndpointMode: model.EndpointModeDNSRR,
		Ports: []model.ServicePort{{Port: tcp(80), Target: 8080}, {Port: model.Port{Num: 53, Proto: model.UDP}, Target: 53}},
		Specs: []model.PortSpec{
			{Port: tcp(80), HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 8080, HostPortEnd: 8080},
			{Port: model.Port{Num: 53, Proto: model.UDP}},
		},
		Backends: []model.ServiceBackend{
			{Name: "a", Weight: 1}, {Name: "b", Port: 81, Weight: 3}, {Addr: netip.MustParseAddr("192.0.2.7"), Weight: 1},
			{Addr: netip.MustParseAddr("192.0.2.8"), Port: 5432, Weight: 1},
			{Addr: netip.MustParseAddr("2001:db8::1"), Port: 5432, Weight: 256}, {Addr: netip.MustParseAddr("2001:db8::2"), Weight: 1},
		},
		Scheduler: model.SchedulerRandom, Affinity: model.Affinity{Kind: model.AffinityClientIP, Timeout: 10 * time.Minute},
		Health: model.Health{
			Kind: model.HealthHTTP, Path: "/healthz?x=1", Port: 9000, Interval: time.Second, Timeout: 500 * time.Millisecond, Rise: 1, Fall: 4,
		},
		Passive: new(bool), Sources: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Labels: map[string]string{"k": "v"},
	}
	s, err := r.Service()
	equal := cmp.Options{
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	}
	if diff := cmp.Diff(want, s, equal); err != nil || diff != "" {
		t.Errorf("%v (-want +have):\n%s", err, diff)
	}
}

func TestServiceRefused(t *testing.T) {
	for text, change := range map[string]func(*ServiceCreate){
		"service name is missing":                              func(r *ServiceCreate) { r.Name = "" },
		`service name "a b": want letters`:                     func(r *ServiceCreate) { r.Name = "a b" },
		"service web: a network is missing":                    func(r *ServiceCreate) { r.Networks = nil },
		`endpoint mode "nat": want vip or dnsrr`:               func(r *ServiceCreate) { r.EndpointMode = "nat" },
		"ip 10.0.0.1: a service with endpoint mode dnsrr":      func(r *ServiceCreate) { r.EndpointMode, r.IPv4 = "dnsrr", netip.MustParseAddr("10.0.0.1") },
		"ip6 10.0.0.1: want an IPv6 address":                   func(r *ServiceCreate) { r.IPv6 = netip.MustParseAddr("10.0.0.1") },
		"service web: a port is missing; only with":            func(r *ServiceCreate) { r.Ports = nil },
		`port "0": "0": want a number from 1 to 65535`:         func(r *ServiceCreate) { r.Ports = []string{"0"} },
		`port "80:http": target "http": want a number`:         func(r *ServiceCreate) { r.Ports = []string{"80:http"} },
		`port "80/icmp": protocol "icmp": want tcp`:            func(r *ServiceCreate) { r.Ports = []string{"80/icmp"} },
		`port "80:81": port 80/tcp is given twice`:             func(r *ServiceCreate) { r.Ports = []string{"80", "80:81"} },
		"published port 81/tcp: service web has no such port;": func(r *ServiceCreate) { r.Publish = []string{"8080:81"} },
		`publish "x:80"`:                                       func(r *ServiceCreate) { r.Publish = []string{"x:80"} },
		"a selector and named backends":                        func(r *ServiceCreate) { r.Selector, r.Backends = map[string]string{"a": "b"}, []string{"x"} },
		"selector: a label's name is missing":                  func(r *ServiceCreate) { r.Selector = map[string]string{"": "b"} },
		`weight "0": want a number from 1 to 256`:              func(r *ServiceCreate) { r.Backends = []string{"x,weight=0"} },
		`weight "257": want a number from 1 to 256`:            func(r *ServiceCreate) { r.Backends = []string{"x,weight=257"} },
		`backend "x,colour=red": option "colour"`:              func(r *ServiceCreate) { r.Backends = []string{"x,colour=red"} },
		`backend "x": is given twice`:                          func(r *ServiceCreate) { r.Backends = []string{"x", "x"} },
		`backend "x:0": port "0"`:                              func(r *ServiceCreate) { r.Backends = []string{"x:0"} },
		`backend "": want a sandbox's name`:                    func(r *ServiceCreate) { r.Backends = []string{""} },
		`backend "127.0.0.1": want an address that other`:      func(r *ServiceCreate) { r.Backends = []string{"127.0.0.1"} },
		`backend "224.0.0.1:80": want an address that other`:   func(r *ServiceCreate) { r.Backends = []string{"224.0.0.1:80"} },
		`scheduler "rr": want maglev or random`:                func(r *ServiceCreate) { r.Scheduler = "rr" },
		`affinity "cookie": want none or client-ip`:            func(r *ServiceCreate) { r.Affinity = "cookie" },
		`affinity "client-ip,timeout=0s": timeout "0s": want`:  func(r *ServiceCreate) { r.Affinity = "client-ip,timeout=0s" },
		`affinity "none,timeout=1s": none has no options`:      func(r *ServiceCreate) { r.Affinity = "none,timeout=1s" },
		`health "http:healthz": want http:PATH`:                func(r *ServiceCreate) { r.Health = "http:healthz" },
		`health "http": want http:PATH`:                        func(r *ServiceCreate) { r.Health = "http" },
		`health "ping": want none, tcp or http:PATH`:           func(r *ServiceCreate) { r.Health = "ping" },
		`health "tcp,rise=0": rise "0": want a number from 1`:  func(r *ServiceCreate) { r.Health = "tcp,rise=0" },
		`health "tcp,every=1s": every is no option; want port`: func(r *ServiceCreate) { r.Health = "tcp,every=1s" },
		"health tcp: service web has no TCP port; want port=N": func(r *ServiceCreate) { r.Ports, r.Health = []string{"53/udp"}, "tcp" },
		`drain "soon": want a duration from 0s to 24h0m0s`:     func(r *ServiceCreate) { r.Drain = "soon" },
		"::ffff:192.0.2.0/120: is IPv4 written as IPv6; want": func(r *ServiceCreate) {
			r.Sources = []netip.Prefix{netip.MustParsePrefix("::ffff:192.0.2.0/120")}
		},
		"192.0.2.1/24: has bits set beyond its length; did you mean 192.0.2.0/24?": func(r *ServiceCreate) {
			r.Sources = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}
		},
	} {
		r := web(change)
		err := r.Validate()
		if err == nil || !strings.Contains(err.Error(), text) || !errors.Is(err, ErrInvalid) {
			t.Errorf("want %q, have: %v", text, err)
		}
	}
}

func TestServiceDrainOfNobody(t *testing.T) {
	if err := new(ServiceDrain).Validate(); !errors.Is(err, ErrInvalid) {
		t.Errorf("a backend without a name: %v", err)
	}
	if err := (&ServiceDrain{Backend: "a"}).Validate(); err != nil {
		t.Error(err)
	}
}

// TestServiceUpdate changes what is said and nothing else.
func TestServiceUpdate(t *testing.T) {
	r := web(func(r *ServiceCreate) { r.Publish, r.Selector = []string{"8080:80"}, map[string]string{"app": "web"} })
	s, err := r.Service()
	if err != nil {
		t.Fatal(err)
	}
	same, err := new(ServiceUpdate).Apply(s)
	if diff := cmp.Diff(s, same, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); err != nil || diff != "" {
		t.Errorf("%v (-before +after):\n%s", err, diff)
	}
	named, err := (&ServiceUpdate{Backends: &[]string{"a"}}).Apply(s)
	if err != nil || len(named.Selector) > 0 || len(named.Backends) != 1 || len(s.Selector) != 1 {
		t.Errorf("named backends in the place of a selector: %+v %v", named, err)
	}
	if _, err := (&ServiceUpdate{Ports: &[]string{"81"}}).Apply(s); err == nil || !strings.Contains(err.Error(), "published port 80/tcp") {
		t.Errorf("a port that is published was taken away: %v", err)
	}
	if _, err := (&ServiceUpdate{Ports: &[]string{"81"}, Publish: &[]string{"8081:81"}}).Apply(s); err != nil {
		t.Error(err)
	}
}

func TestPublishAloneMakesPorts(t *testing.T) {
	r := web(func(r *ServiceCreate) { r.Ports, r.Publish = nil, []string{"8080:80", "127.0.0.1:8081:80"} })
	s, err := r.Service()
	if err != nil || len(s.Ports) != 1 || s.Ports[0] != (model.ServicePort{Port: tcp(80), Target: 80}) {
		t.Errorf("%+v %v", s, err)
	}
}

// Sizes are bounded, also where one is large because of two.
func TestServiceBounds(t *testing.T) {
	ask := func(edit func(*ServiceCreate)) error {
		r := &ServiceCreate{Name: "web", Networks: []string{"front"}, ServiceSpec: ServiceSpec{Ports: []string{"80"}}}
		edit(r)
		return r.Validate()
	}
	list := func(n int, format string) (all []string) {
		for i := range n {
			all = append(all, fmt.Sprintf(format, i+1))
		}
		return all
	}
	for what, edit := range map[string]func(*ServiceCreate){
		"networks": func(r *ServiceCreate) { r.Networks = list(maxServiceNetworks+1, "n%d") },
		"sources":  func(r *ServiceCreate) { r.Sources = make([]netip.Prefix, maxServiceSources+1) },
		"ports":    func(r *ServiceCreate) { r.Ports = list(maxServicePorts+1, "%d") },
		"targets":  func(r *ServiceCreate) { r.Ports, r.Backends = list(256, "%d"), list(257, "b%d") },
	} {
		if err := ask(edit); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "want at most") {
			t.Errorf("too many %s: %v", what, err)
		}
	}
	if err := ask(func(r *ServiceCreate) { r.Ports, r.Backends = list(256, "%d"), list(256, "b%d") }); err != nil {
		t.Error(err)
	}
	for _, path := range []string{"/%zz", "/a\x01", "/a\u00a0b"} {
		if err := ask(func(r *ServiceCreate) { r.Health = "http:" + path }); !errors.Is(err, ErrInvalid) {
			t.Errorf("health path %q: %v", path, err)
		}
	}
}
