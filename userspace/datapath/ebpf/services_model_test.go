// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// What the model has: services, endpoints that may be backends, and one that is a client.
const (
	modelServices  = 3
	modelEndpoints = 4
	modelClients   = 6
	clientEndpoint = modelEndpoints + 1
)

func TestRandomServices(t *testing.T) { randomServices(t, "12") }

// randomServices lives as many lives, unless the command line has a number. In each services are
// said, changed and removed, endpoints come and go, and the process is killed before any of its
// writes. Programs choose a backend for clients after each step, and when the process has been
// killed: it is always one that serves, an open flow keeps its own, and what doesn't concern a
// service changes none of its choices.
func randomServices(t *testing.T, lives string) {
	t.Helper()
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		if err := f.Value.Set(lives); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t)
	uplink := w.route()
	for n := range byte(modelEndpoints) {
		w.endpoint(n + 1)
	}
	w.endpoint(clientEndpoint)
	rapid.Check(t, func(rt *rapid.T) {
		m := &servicesModel{T: rt, w: w, uplink: uplink, now: said{services: map[int]datapath.Service{}, alive: map[int]bool{}}}
		for n := range modelEndpoints {
			m.now.alive[n+1] = true
		}
		m.begin()
		for range rapid.IntRange(3, 10).Draw(rt, "steps") {
			m.step()
		}
		m.end()
	})
}

// said is what was asked for last.
type said struct {
	services map[int]datapath.Service
	alive    map[int]bool
}

func (s said) clone() said { return said{maps.Clone(s.services), maps.Clone(s.alive)} }

// servicesModel compares the tables and the programs with what was said.
type servicesModel struct {
	*rapid.T
	w      *world
	uplink model.MAC
	now    said
	// choices are those of the last step, of services that don't draw.
	choices map[visit]netip.AddrPort
	open    []openFlow
	port    uint16
}

// visit is a client's flow to a service.
type visit struct {
	service, client int
	v6, inside      bool
	port            uint16
}

// openFlow is one that was let be.
type openFlow struct {
	visit
	target netip.AddrPort
}

// route makes the uplink one by which answers go out.
func (w *world) route() (mac model.MAC) {
	w.t.Helper()
	w.do(func() error {
		var errs []error
		for _, name := range []string{"up0", "up0p"} {
			errs = append(errs, netlink.LinkSetUp(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: name}}))
		}
		up, err := netlink.LinkByName("up0")
		if err != nil {
			return err
		}
		mac = model.MAC(up.Attrs().HardwareAddr)
		for _, text := range []string{"192.0.2.10/24", "2001:db8::10/64"} {
			p := netip.MustParsePrefix(text)
			a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
			if p.Addr().Is6() {
				a.Flags = unix.IFA_F_NODAD
			}
			errs = append(errs, netlink.AddrAdd(up, a))
		}
		for _, name := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
			errs = append(errs, os.WriteFile("/proc/sys/net/"+name, []byte("1"), 0))
		}
		return errors.Join(errs...)
	})
	return mac
}

// servicePort is a service's: TCP or UDP.
func servicePort(i int) model.Port {
	return model.Port{Num: uint16(1000 + i), Proto: []model.Proto{model.TCP, model.UDP}[i%2]}
}

func vipOf(i int, v6 bool) netip.Addr {
	if v6 {
		return netip.AddrFrom16([16]byte{0xfd, 0, 0, 0x20, 14: 9, 15: byte(i + 1)})
	}
	return netip.AddrFrom4([4]byte{172, 20, 9, byte(i + 1)})
}

// drawService is some value of a service.
func (m *servicesModel) drawService(i int) datapath.Service {
	s := datapath.Service{ID: fmt.Sprint("service", i), Name: fmt.Sprint("svc", i), Pools: make([]datapath.Pool, 2)}
	s.Random = rapid.IntRange(0, 3).Draw(m.T, "random") == 0
	if rapid.IntRange(0, 3).Draw(m.T, "affinity") == 0 {
		s.Affinity = time.Hour
	}
	if rapid.IntRange(0, 3).Draw(m.T, "sources") == 0 {
		s.Sources = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28"), netip.MustParsePrefix("2001:db8::/124")}
	}
	states := []model.BackendState{model.BackendActive, model.BackendActive, model.BackendActive, model.BackendDraining, model.BackendDown}
	for n := range modelEndpoints {
		if rapid.IntRange(0, 3).Draw(m.T, "absent") == 0 {
			continue
		}
		e := m.w.endpointOf(byte(n + 1))
		state, weight := rapid.SampledFrom(states).Draw(m.T, "state"), rapid.IntRange(1, 4).Draw(m.T, "weight")
		for pool, a := range []netip.Addr{e.IPv4, e.IPv6} {
			b := datapath.Backend{EndpointID: e.ID, Target: netip.AddrPortFrom(a, 80), Weight: weight, State: state}
			s.Pools[pool].Backends = append(s.Pools[pool].Backends, b)
		}
	}
	port := servicePort(i)
	for pool, wildcard := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		s.Fronts = append(s.Fronts, datapath.Front{NetworkID: "net1", Addr: vipOf(i, pool == 1), Port: port, Pool: pool},
			datapath.Front{Addr: wildcard, Port: port, Pool: pool})
	}
	return s
}

// begin forgets what a life that failed has left.
func (m *servicesModel) begin() {
	m.sayAll()
	var all []flow.Key
	for half, err := range m.w.dp.meter.flows.All() {
		if err != nil {
			m.Fatal(err)
		}
		all = append(all, half.Key)
	}
	for _, k := range all {
		if err := m.w.dp.meter.flows.Delete(k); err != nil {
			m.Fatal(err)
		}
	}
	m.remember()
}

// step makes an edit, and perhaps doesn't come to its end.
func (m *servicesModel) step() {
	before := m.now.clone()
	concerns := func(int) bool { return false }
	i, n := rapid.IntRange(0, modelServices-1).Draw(m.T, "service"), rapid.IntRange(1, modelEndpoints).Draw(m.T, "endpoint")
	what := rapid.SampledFrom([]string{"put", "put", "put", "delete", "endpoint", "nothing"}).Draw(m.T, "what")
	var edit func(context.Context) error
	switch what {
	case "put":
		s := m.drawService(i)
		m.now.services[i] = s
		concerns, edit = func(j int) bool { return j == i }, m.w.serviceIs(s)
	case "delete":
		delete(m.now.services, i)
		concerns = func(j int) bool { return j == i }
		edit = func(ctx context.Context) error { return m.w.dp.DeleteService(ctx, fmt.Sprint("service", i)) }
	case "endpoint":
		e := m.w.endpointOf(byte(n))
		m.now.alive[n] = !m.now.alive[n]
		concerns, edit = func(j int) bool { return m.uses(j, e.ID) }, m.w.endpointGone(e.ID)
		if m.now.alive[n] {
			edit = m.w.endpointIs(e)
		}
	case "nothing":
		edit = func(context.Context) error { return nil }
	}
	killed := rapid.IntRange(0, 2).Draw(m.T, "killed") == 0
	when := fmt.Sprintf("%s of %d or endpoint %d", what, i, n)
	if killed {
		after := rapid.IntRange(0, 14).Draw(m.T, "writes")
		m.w.killedAfter(after, edit)
		when += fmt.Sprintf(", killed after %d writes", after)
		m.check(when, before, m.now)
		m.sayAll()
	} else {
		m.w.ensure(edit)
	}
	m.keepOpen(when, before)
	m.check(when, m.now)
	m.sameChoices(when, concerns)
	m.remember()
}

// uses reports whether a service has the endpoint among its backends.
func (m *servicesModel) uses(i int, endpointID string) bool {
	return slices.ContainsFunc(m.now.services[i].Pools, func(p datapath.Pool) bool {
		return slices.ContainsFunc(p.Backends, func(b datapath.Backend) bool { return b.EndpointID == endpointID })
	})
}

// sayAll says everything, as a process that has begun does.
func (m *servicesModel) sayAll() {
	w := m.w
	calls := []func(context.Context) error{w.hostIs(w.host()), w.networkIs(w.network()), w.endpointIs(w.endpointOf(clientEndpoint))}
	desired := datapath.Desired{Networks: []datapath.Network{w.network()}, Endpoints: []datapath.Endpoint{w.endpointOf(clientEndpoint)}}
	for n := 1; n <= modelEndpoints; n++ {
		if m.now.alive[n] {
			desired.Endpoints = append(desired.Endpoints, w.endpointOf(byte(n)))
			calls = append(calls, w.endpointIs(w.endpointOf(byte(n))))
		}
	}
	for _, i := range rapid.Permutation([]int{0, 1, 2}).Draw(m.T, "order") {
		if s, there := m.now.services[i]; there {
			desired.Services = append(desired.Services, s)
			calls = append(calls, w.serviceIs(s))
		}
	}
	w.ensure(append(calls, w.pruned(desired))...)
}

// serving are the targets that a visit may be led to by what was said.
func (m *servicesModel) serving(s said, v visit) map[netip.AddrPort]bool {
	if !s.admits(v.service, m.clientOf(v)) {
		return nil
	}
	return s.serving(v)
}

// admits reports whether a client may use a service.
func (s said) admits(service int, client netip.Addr) bool {
	svc, there := s.services[service]
	within := func(p netip.Prefix) bool { return p.Contains(client) }
	return there && (len(svc.Sources) == 0 || slices.ContainsFunc(svc.Sources, within))
}

// serving are the targets that visits may be led to, of clients who may use the service.
func (s said) serving(v visit) map[netip.AddrPort]bool {
	all := make(map[netip.AddrPort]bool)
	svc, there := s.services[v.service]
	if !there {
		return all
	}
	for _, b := range svc.Pools[flagged(v.v6)].Backends {
		if s.up(b) && b.State == model.BackendActive {
			all[b.Target] = true
		}
	}
	return all
}

func flagged(b bool) int {
	if b {
		return 1
	}
	return 0
}

// up reports whether a backend's endpoint is there.
func (s said) up(b datapath.Backend) bool {
	for n, alive := range s.alive {
		if alive && b.EndpointID == fmt.Sprint("ep", n) {
			return true
		}
	}
	return false
}

// visits are by every client to every service.
func visits(port uint16) (all []visit) {
	for i := range modelServices {
		for _, v6 := range []bool{false, true} {
			for c := range modelClients {
				all = append(all, visit{service: i, client: c, v6: v6, port: port})
			}
			all = append(all, visit{service: i, v6: v6, inside: true, port: port})
		}
	}
	return all
}

// check has clients choose. It is right by one of several words, and somebody has to be there
// where all of them say so.
func (m *servicesModel) check(when string, words ...said) {
	m.port++
	for k, v := range visits(20000 + m.port%20000) {
		target := m.choose(v)
		var want []map[netip.AddrPort]bool
		for _, word := range words {
			want = append(want, m.serving(word, v))
		}
		if !right(target, words, m.clientOf(v), v, want) {
			m.Fatalf("%s: %+v is led to %v, want one of %v", when, v, target, want)
		}
		if target.IsValid() && k%5 == 0 && len(words) == 1 {
			m.open = append(m.open, openFlow{v, target})
			continue
		}
		m.forget(v)
	}
}

// right judges a choice by one of several words, in the middle between which the process was
// killed. A client that may use the service by one gets a backend that serves by one.
func right(target netip.AddrPort, words []said, client netip.Addr, v visit, want []map[netip.AddrPort]bool) bool {
	nobody := func(serving map[netip.AddrPort]bool) bool { return len(serving) == 0 }
	if !target.IsValid() {
		return slices.ContainsFunc(want, nobody)
	}
	admitted, serves := false, false
	for _, word := range words {
		admitted = admitted || word.admits(v.service, client)
		serves = serves || word.serving(v)[target]
	}
	return admitted && serves
}

// remember keeps what clients choose that begin again and again from one port.
func (m *servicesModel) remember() {
	m.choices = make(map[visit]netip.AddrPort)
	for _, v := range visits(10000) {
		if !m.now.services[v.service].Random {
			m.choices[v] = m.choose(v)
			m.forget(v)
		}
	}
}

// sameChoices compares with what was remembered, of services that the step didn't concern.
func (m *servicesModel) sameChoices(when string, concerned func(int) bool) {
	for v, target := range m.choices {
		if concerned(v.service) {
			continue
		}
		now := m.choose(v)
		m.forget(v)
		if now != target {
			m.Fatalf("%s: %+v is led to %v, and was to %v", when, v, now, target)
		}
	}
}

// keepOpen compares open flows with what became of their backends: those of a backend that is
// neither down nor gone are there, those of one that is said to be down, or of a service that is
// gone, aren't.
func (m *servicesModel) keepOpen(when string, before said) {
	var open []openFlow
	for _, f := range m.open {
		was, had := before.services[f.service]
		is, has := m.now.services[f.service]
		now, wanted := backendAt(is, f.target)
		_, formerly := backendAt(was, f.target)
		half, there := m.flow(f.visit)
		there = there && half.NATDst == f.target
		switch {
		case wanted && m.now.up(now) && now.State != model.BackendDown:
			if !there {
				m.Fatalf("%s: the flow of %+v to %v is gone", when, f.visit, f.target)
			}
			open = append(open, f)
			continue
		case had && !has, wanted && formerly && now.State == model.BackendDown && m.now.up(now):
			if there {
				m.Fatalf("%s: the flow of %+v to %v goes on", when, f.visit, f.target)
			}
		}
		m.forget(f.visit)
	}
	m.open = open
}

func backendAt(s datapath.Service, target netip.AddrPort) (datapath.Backend, bool) {
	for _, p := range s.Pools {
		for _, b := range p.Backends {
			if b.Target == target {
				return b, true
			}
		}
	}
	return datapath.Backend{}, false
}

// end takes everything away, and looks for what is left.
func (m *servicesModel) end() {
	m.now.services = map[int]datapath.Service{}
	m.sayAll()
	for _, f := range m.open {
		m.forget(f.visit)
	}
	d := m.w.dp
	used, err := d.services.table.Used()
	sources, err2 := d.services.table.Sources()
	snapshot := m.w.snapshot()
	_, addressed := snapshot.Addresses[vipOf(0, false)]
	if len(used)+len(d.services.slots.used)+len(sources)+len(snapshot.Ports)+len(d.services.shut) != 0 || addressed || err != nil || err2 != nil {
		m.Fatalf("left: pools %v, slots %v, sources %v, ports %v, address %t, %v, %v",
			used, d.services.slots.used, sources, snapshot.Ports, addressed, err, err2)
	}
}

func (m *servicesModel) clientOf(v visit) netip.Addr {
	switch e := m.w.endpointOf(clientEndpoint); {
	case v.inside && v.v6:
		return e.IPv6
	case v.inside:
		return e.IPv4
	case v.v6:
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(12 + v.client + 16*flagged(v.client > 2))})
	}
	return netip.AddrFrom4([4]byte{192, 0, 2, byte(12 + v.client + 16*flagged(v.client > 2))})
}

func (m *servicesModel) key(v visit) flow.Key {
	port := servicePort(v.service)
	k := flow.Key{Src: netip.AddrPortFrom(m.clientOf(v), v.port), Proto: uint8(port.Proto), Zone: object.DatapathZoneZONE_WORLD}
	dst := []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")}[flagged(v.v6)]
	if v.inside {
		dst, k.Zone = vipOf(v.service, v.v6), 1
	}
	k.Dst = netip.AddrPortFrom(dst, port.Num)
	return k
}

// choose runs the program on the first packet of a visit, and returns where it is led.
func (m *servicesModel) choose(v visit) (target netip.AddrPort) {
	k, client := m.key(v), m.w.endpointOf(clientEndpoint)
	f, device := frame.Between(model.MAC{2, 0xfe}, m.uplink), m.w.uplink
	prog := m.w.dp.loader.Programs().FromUplink
	if v.inside {
		f, device = frame.Between(client.MAC, m.w.network().Device.MAC), client.HostIndex
		prog = m.w.dp.loader.Programs().FromContainer
	}
	f = f.IP(k.Src.Addr(), k.Dst.Addr())
	if f = f.UDP(k.Src.Port(), k.Dst.Port()); k.Proto == uint8(model.TCP) {
		f = f.TCP(k.Src.Port(), k.Dst.Port(), "S")
	}
	// struct __sk_buff (linux/bpf.h), of which test runs take little.
	var ctx [192]byte
	const ifindex = 40
	binary.NativeEndian.PutUint32(ctx[ifindex:], uint32(device))
	b := f.Bytes()
	m.w.do(func() error {
		_, err := prog.Run(&ebpf.RunOptions{Data: b, DataOut: make([]byte, len(b)+256), Context: &ctx})
		return err
	})
	if half, there := m.flow(v); there {
		return half.NATDst
	}
	return target
}

func (m *servicesModel) flow(v visit) (flow.Half, bool) {
	half, there, err := m.w.dp.meter.flows.Lookup(m.key(v))
	if err != nil {
		m.Fatal(err)
	}
	return half, there
}

// forget takes a visit's flow away, so that it can begin anew.
func (m *servicesModel) forget(v visit) {
	half, there := m.flow(v)
	if !there {
		return
	}
	for _, k := range []flow.Key{half.Key, half.Twin()} {
		if err := m.w.dp.meter.flows.Delete(k); err != nil {
			m.Fatal(err)
		}
	}
}
