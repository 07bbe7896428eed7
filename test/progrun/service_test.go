// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/maps/service"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
	"github.com/fairway-project/fairway/test/progrun/testrun"
	"github.com/fairway-project/fairway/userspace/model"
)

const (
	noBackend     = object.DatapathDropReasonDROP_NO_BACKEND
	serviceSource = object.DatapathDropReasonDROP_SERVICE_SOURCE
)

// poolSlot is of the pool that the cases have.
const poolSlot = 3

// vip is the service's own address in net1.
func (f family) vip() netip.Addr { return f.pick("172.18.9.9", "fd00:1::99") }

type backend = service.Backend

// active backends get what comes for the port 8080.
func (f family) active(e rig.Endpoint) backend { return testrun.Backend(e, f.v6, 80) }

func is(b backend, s service.State) backend {
	b.State = s
	return b
}

// formerly is of an owner of the endpoint's slot that is gone.
func formerly(b backend) backend {
	b.Generation--
	return b
}

// serves has a pool behind port 8080: published on all addresses of the host, and by the
// service's own in net1.
func serves(f family, proto model.Proto, s service.Settings, backends ...backend) func(*testing.T, *rig.Host) {
	return func(t *testing.T, h *rig.Host) {
		h.Front(t, rig.Any(f.v6), 8080, proto, 0, poolSlot)
		h.Front(t, f.vip(), 8080, proto, f.Net1.Slot, poolSlot)
		h.PutPool(t, poolSlot, s, backends...)
	}
}

func serviceCases(f family) []testCase {
	at := f.arrives(f.client(), f.host())
	tcp, udp := at.TCP(50000, 8080, "S"), at.UDP(50000, 8080)
	var plain service.Settings
	cases := []testCase{
		{name: "tcp", world: serves(f, protoTCP, plain, f.active(f.Web)), steps: visit(f, tcp, f.Web, 80), flows: 1},
		{name: "udp", world: serves(f, protoUDP, plain, f.active(f.DB)), steps: visit(f, udp, f.DB, 80), flows: 1},
		{name: "drawn", world: serves(f, protoUDP, service.Settings{Random: true}, f.active(f.DB)), steps: visit(f, udp, f.DB, 80), flows: 1},
		{name: "tcp taken up in the middle", world: serves(f, protoTCP, plain, f.active(f.Web)), steps: visit(f, tcp.Flags("PA"), f.Web, 80), flows: 1},
		{name: "backend with another owner", world: serves(f, protoTCP, plain, formerly(f.active(f.Web)), f.active(f.DB)), steps: visit(f, tcp, f.DB, 80), flows: 1},
		{
			name: "backend gone", steps: visit(f, tcp, f.DB, 80), flows: 1,
			world: func(t *testing.T, h *rig.Host) {
				serves(f, protoTCP, plain, f.active(f.Web), f.active(f.App), f.active(f.DB))(t, h)
				h.Unready(t, f.Web)
				h.Unready(t, f.App)
			},
		},
		{
			name: "sctp, port for port", flows: 1, steps: visit(f, at.SCTP(50000, 8080), f.Web, 8080),
			world: serves(f, protoSCTP, plain, testrun.Backend(f.Web, f.v6, 8080)),
		},
		{name: "reset of nothing is answered by the stack", world: serves(f, protoTCP, plain, f.active(f.Web)), steps: []step{
			fromUplink(f.Eth0, tcp.Flags("R"), passed(), nil), fromUplink(f.Eth0, tcp.Flags("SA"), passed(), nil),
		}, after: requireChosen(0, 0)},
		{name: "counted", world: serves(f, protoTCP, plain, f.active(f.Web)), flows: 2, after: requireChosen(2, 0), steps: append(
			visit(f, tcp, f.Web, 80), visit(f, at.TCP(50001, 8080, "S"), f.Web, 80)...)},
		{
			name: "published on one address for a container alone", flows: 2,
			steps: append(visit(f, tcp, f.App, 81), visit(f, f.arrives(f.client(), f.Eth1.Addr(f.v6)).TCP(50000, 8080, "S"), f.Web, 80)...),
			world: func(t *testing.T, h *rig.Host) {
				serves(f, protoTCP, plain, f.active(f.Web))(t, h)
				h.Publish(t, f.host(), 8080, protoTCP, f.App, 81)
			},
		},
		{
			name: "from a container", flows: 1, steps: hairpin(f, f.App, f.DB, 8080, 80, true),
			world: serves(f, protoTCP, plain, f.active(f.DB)),
		},
		{
			name: "host only", steps: []step{fromUplink(f.Eth0, tcp, passed(), nil)},
			world: func(t *testing.T, h *rig.Host) {
				h.PublishEntry(t, publish.Key{Addr: rig.Any(f.v6), Port: 8080, Proto: protoTCP}, publish.Entry{Service: true, Endpoint: poolSlot, HostOnly: true})
				h.PutPool(t, poolSlot, plain, f.active(f.Web))
			},
		},
	}
	for _, s := range []service.State{service.Draining, service.Down, service.None} {
		cases = append(cases, testCase{
			name: "another is " + map[service.State]string{service.Draining: "draining", service.Down: "down", service.None: "nobody"}[s],
			// A ring that is out of date names it.
			world: serves(f, protoTCP, plain, is(f.active(f.Web), s), f.active(f.DB)), steps: visit(f, tcp, f.DB, 80), flows: 1,
		})
	}
	return append(cases, serviceChanges(f), serviceCountsOn(f), serviceFragments(f), serviceError(f))
}

// serviceCountsOn: what was led to a backend stays counted when another has its place, and
// when the table becomes a larger one.
func serviceCountsOn(f family) testCase {
	const tcp = protoTCP
	first := visit(f, f.arrives(f.client(), f.host()).TCP(50000, 8080, "S"), f.Web, 80)
	second := visit(f, f.arrives(f.client(), f.host()).TCP(50001, 8080, "S"), f.DB, 80)
	second[0].before = func(t *testing.T, h *rig.Host) { h.PutPool(t, poolSlot, service.Settings{}, f.active(f.DB)) }
	third := visit(f, f.arrives(f.client(), f.host()).TCP(50002, 8080, "S"), f.DB, 80)
	third[0].before = func(t *testing.T, h *rig.Host) {
		more := make([]backend, 8)
		h.PutPool(t, poolSlot, service.Settings{}, append([]backend{f.active(f.DB)}, more...)...)
	}
	return testCase{
		name: "counts of backends that go", world: serves(f, tcp, service.Settings{}, f.active(f.Web)), steps: slices.Concat(first, second, third), flows: 3,
		after: func(t *testing.T, h *rig.Host) {
			requireChosen(3, 0)(t, h)
			if c, err := h.Services.Counts(poolSlot); err != nil || c.Past != 1 || len(c.Backends) != 1 || c.Backends[0].Flows != 2 {
				t.Errorf("counted %+v, %v; want 1 of one that is gone and 2 of the other", c, err)
			}
		},
	}
}

// serviceChanges: a flow stays where it is, whatever becomes of the ring, and the next goes by
// what is there then.
func serviceChanges(f family) testCase {
	first := visit(f, f.arrives(f.client(), f.host()).TCP(50000, 8080, "S"), f.Web, 80)
	again := visit(f, f.arrives(f.client(), f.host()).TCP(50000, 8080, "A"), f.Web, 80)
	again[1].in, again[1].out = again[1].in.(frame.Frame).Flags("A"), again[1].out.(frame.Frame).Flags("A")
	other := visit(f, f.arrives(f.client(), f.host()).TCP(50001, 8080, "S"), f.DB, 80)
	again[0].before = func(t *testing.T, h *rig.Host) {
		h.PutPool(t, poolSlot, service.Settings{}, is(f.active(f.Web), service.Draining), f.active(f.DB))
		check(t, h.Services.PutRing(poolSlot, []uint16{2}))
	}
	return testCase{
		name: "one drains", flows: 2, world: serves(f, protoTCP, service.Settings{}, f.active(f.Web)),
		steps: append(append(first, again...), other...),
	}
}

// closedCases: what leads to an endpoint of an internal network is for that one's containers.
func closedCases(f family) []testCase {
	in, out := f.arrives(f.client(), f.host()), f.sends(f.App, f.host())
	world := func(t *testing.T, h *rig.Host) {
		h.PutNetwork(t, f.Net2, rig.Default|rig.Internal)
		h.Publish(t, rig.Any(f.v6), 8080, protoTCP, f.DB, 80)
		h.Publish(t, rig.Any(f.v6), 8080, protoUDP, f.DB, 80)
	}
	return []testCase{
		{name: "from outside", world: world, steps: []step{
			fromUplink(f.Eth0, in.TCP(50000, 8080, "S"), dropped(internalReason), nil),
			fromUplink(f.Eth0, in.TCP(50000, 8080, "A"), dropped(internalReason), nil),
			fromUplink(f.Eth0, in.UDP(50000, 8080), dropped(internalReason), nil),
		}},
		{name: "from another network", world: world, steps: []step{
			fromContainer(f.App, out.TCP(45000, 8080, "S"), dropped(internalReason), nil),
			fromContainer(f.App, out.UDP(45000, 8080), dropped(internalReason), nil),
		}},
		{name: "a service, from outside", flows: 20, after: requireChosen(20, 0), steps: manyTimes(func(i uint16) step {
			return visit(f, in.TCP(50000+i, 8080, "S"), f.Web, 80)[0]
		}), world: func(t *testing.T, h *rig.Host) {
			world(t, h)
			serves(f, protoTCP, service.Settings{}, f.active(f.DB), f.active(f.Web))(t, h)
		}},
		{name: "a service, from another network", flows: 20, after: requireChosen(20, 0), steps: manyTimes(func(i uint16) step {
			p := out.TCP(45000+i, 8080, "S")
			return fromContainer(f.App, p, delivered(f.Web), f.into(f.Web, p.From(f.Net1.Gateway(f.v6), 45000+i).To(f.addr(f.Web), 80)))
		}), world: func(t *testing.T, h *rig.Host) {
			world(t, h)
			serves(f, protoTCP, service.Settings{}, f.active(f.DB), f.active(f.Web))(t, h)
		}},
		{name: "a service that is there alone", steps: refusedInside(f, out.TCP(45000, 8080, "S")), world: func(t *testing.T, h *rig.Host) {
			world(t, h)
			serves(f, protoTCP, service.Settings{}, f.active(f.DB))(t, h)
		}},
	}
}

func serviceFragments(f family) testCase {
	in := f.arrives(f.client(), f.host()).UDP(50000, 8080).Payload(3000)
	inside := f.into(f.Web, in.To(f.addr(f.Web), 80))
	answer := inside.Reply()
	steps := pieces(func(in, out packet) step { return fromUplink(f.Eth0, in, delivered(f.Web), out) }, in, inside)
	steps = append(steps, pieces(func(in, out packet) step { return fromContainer(f.Web, in, forwarded(), out) }, answer, answer.From(f.host(), 8080).Hop())...)
	return testCase{name: "in pieces", steps: steps, flows: 1, world: serves(f, protoUDP, service.Settings{Random: true}, f.active(f.Web))}
}

// serviceError: a backend complains, and the client knows the service alone.
func serviceError(f family) testCase {
	out := f.sends(f.App, f.vip()).UDP(45000, 8080)
	gateway := f.Net2.Gateway(f.v6)
	inside := f.into(f.DB, out.From(gateway, 45000).To(f.addr(f.DB), 80))
	complaint := f.sends(f.DB, gateway)
	return testCase{
		name: "icmp error", flows: 1, world: serves(f, protoUDP, service.Settings{}, f.active(f.DB)),
		steps: []step{
			fromContainer(f.App, out, delivered(f.DB), inside),
			fromContainer(f.DB, unreachable(f, complaint, inside, whole), delivered(f.App),
				f.into(f.App, unreachable(f, complaint.From(f.vip(), 0).To(f.addr(f.App), 0), out.Hop(), whole))),
		},
	}
}

// asks is a container's packet to the service's own address, and back.
func asks(f family, from, target rig.Endpoint, tcp bool) []step {
	steps := hairpin(f, from, target, 8080, 80, tcp)
	out, back := steps[0].in.(frame.Frame), steps[1].out.(frame.Frame)
	steps[0].in, steps[1].out = out.To(f.vip(), 8080), back.From(f.vip(), 8080)
	return steps
}

func vipCases(f family) []testCase {
	var plain service.Settings
	syn := f.sends(f.App, f.vip()).TCP(45000, 8080, "S")
	var cases []testCase
	for name, target := range map[string]rig.Endpoint{"same network": f.Web, "other network": f.DB, "itself": f.App} {
		cases = append(cases,
			testCase{name: name + " tcp", flows: 1, world: serves(f, protoTCP, plain, f.active(target)), steps: asks(f, f.App, target, true)},
			testCase{name: name + " udp", flows: 1, world: serves(f, protoUDP, plain, f.active(target)), steps: asks(f, f.App, target, false)})
	}
	// only is the service without the published port, which all may use.
	only := func(t *testing.T, h *rig.Host) {
		h.Front(t, f.vip(), 8080, protoTCP, f.Net1.Slot, poolSlot)
		h.PutPool(t, poolSlot, plain, f.active(f.Web))
	}
	internal := func(target rig.Endpoint) func(*testing.T, *rig.Host) {
		return func(t *testing.T, h *rig.Host) {
			serves(f, protoTCP, plain, f.active(target))(t, h)
			h.PutNetwork(t, f.Net1, rig.Default|rig.Internal)
		}
	}
	return append(cases,
		testCase{name: "from another network", world: only, steps: []step{
			fromContainer(f.DB, f.sends(f.DB, f.vip()).TCP(45000, 8080, "S"), dropped(isolated), nil),
		}},
		testCase{name: "another port is the stack's", world: only, steps: []step{
			fromContainer(f.App, f.sends(f.App, f.vip()).TCP(45000, 8081, "S"), passed(), nil),
			fromContainer(f.App, f.sends(f.App, f.vip()).Echo(5), passed(), nil),
		}},
		testCase{name: "from outside it is the host's own", world: only, steps: []step{
			fromUplink(f.Eth0, f.arrives(f.client(), f.vip()).TCP(50000, 8080, "S"), passed(), nil),
		}},
		testCase{name: "middle of nothing is the stack's", world: only, steps: []step{fromContainer(f.App, syn.Flags("A"), passed(), nil)}},
		testCase{name: "in an internal network", flows: 1, world: internal(f.Web), steps: asks(f, f.App, f.Web, true)},
		testCase{name: "out of an internal network", world: internal(f.DB), steps: refusedInside(f, syn)},
		testCase{name: "in an internal network, past others", flows: 20, after: requireChosen(20, 0), steps: manyTimes(func(i uint16) step {
			out := f.sends(f.App, f.vip()).TCP(45000+i, 8080, "S")
			return fromContainer(f.App, out, delivered(f.Web), f.into(f.Web, out.From(f.Net1.Gateway(f.v6), 45000+i).To(f.addr(f.Web), 80)))
		}), world: func(t *testing.T, h *rig.Host) {
			internal(f.DB)(t, h)
			h.PutPool(t, poolSlot, plain, f.active(f.DB), outsideBackend(f), f.active(f.Web))
		}},
		testCase{name: "in an internal network, past one that was remembered", flows: 2, world: serves(f, protoTCP, service.Settings{ByClient: 10000}, f.active(f.DB)), steps: []step{
			asks(f, f.App, f.DB, true)[0], rememberedOutside(f),
		}},
		testCase{name: "in an internal network, a later fragment first", steps: []step{
			fromContainer(f.App, raw(f.sends(f.App, f.vip()).UDP(45000, 8080).Payload(2000).Fragments(pieceSize)[1]), passedParked(), nil),
		}, world: func(t *testing.T, h *rig.Host) {
			serves(f, protoUDP, plain, f.active(f.Web))(t, h)
			h.PutNetwork(t, f.Net1, rig.Default|rig.Internal)
		}},
		testCase{name: "published, from an internal network", world: internal(f.Web), steps: []step{
			fromContainer(f.App, f.sends(f.App, f.host()).TCP(45000, 8080, "S"), dropped(internalReason), nil),
		}},
	)
}

// manyTimes is the step for each of 20 flows.
func manyTimes(make func(i uint16) step) (steps []step) {
	for i := range uint16(20) {
		steps = append(steps, make(i))
	}
	return steps
}

// refusedInside: app hears that the service has no backend for it.
func refusedInside(f family, out frame.Frame) []step {
	back := frame.Between(f.Net1.MAC, f.App.MAC).IP(f.Net1.Gateway(f.v6), f.addr(f.App)).ID(0).TTL(64)
	return []step{fromContainer(f.App, out, telling(delivered(f.App), noBackend), unreachable(f, back, out, quoteMax))}
}

// rememberedOutside: app's network has become internal, and its service has another backend there.
func rememberedOutside(f family) step {
	out := f.sends(f.App, f.vip()).TCP(45001, 8080, "S")
	s := fromContainer(f.App, out, delivered(f.Web), f.into(f.Web, out.From(f.Net1.Gateway(f.v6), 45001).To(f.addr(f.Web), 80)))
	s.before = func(t *testing.T, h *rig.Host) {
		h.PutNetwork(t, f.Net1, rig.Default|rig.Internal)
		h.PutPool(t, poolSlot, service.Settings{ByClient: 10000}, f.active(f.DB), f.active(f.Web))
	}
	return s
}

// telling is a refusal that the sender hears of.
func telling(v verdict, r reason) verdict {
	v.told = r
	return v
}

// vacantCases: no backend is there, or none that serves.
func vacantCases(f family) []testCase {
	var plain service.Settings
	in, out := f.arrives(f.client(), f.host()), f.sends(f.Web, f.vip())
	fromHost := frame.Between(f.Eth0.MAC, f.RouterMAC).IP(f.host(), f.client())
	refused := func(e, quoted frame.Frame) frame.Frame { return unreachable(f, e.ID(0).TTL(64), quoted, quoteMax) }
	steps := func(in, out frame.Frame) []step {
		return []step{
			fromUplink(f.Eth0, in, telling(forwarded(), noBackend), refused(fromHost, in)),
			fromContainer(f.Web, out, telling(delivered(f.Web), noBackend), refused(fromGateway(f), out)),
		}
	}
	tcp := steps(in.TCP(50000, 8080, "S"), out.TCP(45000, 8080, "S"))
	gone := func(t *testing.T, h *rig.Host) {
		serves(f, protoTCP, plain, f.active(f.DB), formerly(f.active(f.App)))(t, h)
		h.Unready(t, f.DB)
	}
	return []testCase{
		{name: "tcp", world: serves(f, protoTCP, plain), steps: tcp, after: requireChosen(0, 2)},
		{name: "udp", world: serves(f, protoUDP, plain), steps: steps(in.UDP(50000, 8080), out.UDP(45000, 8080))},
		{name: "all gone", world: gone, steps: tcp},
		{name: "all draining", world: serves(f, protoTCP, plain, is(f.active(f.DB), service.Draining)), steps: tcp},
		{name: "no pool", world: func(t *testing.T, h *rig.Host) {
			serves(f, protoTCP, plain)(t, h)
			check(t, h.Services.Clear(poolSlot))
		}, steps: tcp},
		{name: "in an internal network", steps: tcp[1:], world: func(t *testing.T, h *rig.Host) {
			serves(f, protoTCP, plain)(t, h)
			h.PutNetwork(t, f.Net1, rig.Default|rig.Internal)
		}},
		{name: "sctp", world: serves(f, protoSCTP, plain), steps: []step{
			fromUplink(f.Eth0, in.SCTP(50000, 8080), dropped(noBackend), nil), fromContainer(f.Web, out.SCTP(45000, 8080), dropped(noBackend), nil),
		}},
		{name: "the middle of what was is reset by the stack", world: serves(f, protoTCP, plain), steps: []step{
			fromUplink(f.Eth0, in.TCP(50000, 8080, "PA"), passed(), nil), fromContainer(f.Web, out.TCP(45000, 8080, "PA"), passed(), nil),
		}},
	}
}

func sourceCases(f family) []testCase {
	at := f.arrives(f.client(), f.host())
	in, ack := at.TCP(50000, 8080, "S"), at.TCP(50000, 8080, "A")
	from := func(sources ...netip.Prefix) func(*testing.T, *rig.Host) {
		return func(t *testing.T, h *rig.Host) {
			serves(f, protoTCP, service.Settings{Sources: true}, f.active(f.Web))(t, h)
			for _, p := range sources {
				check(t, h.Services.PutSource(service.Source{Slot: poolSlot, Prefix: p}))
			}
		}
	}
	own := netip.PrefixFrom(f.client(), f.client().BitLen())
	lan := f.Eth0.Prefix4.Masked()
	if f.v6 {
		lan = f.Eth0.Prefix6.Masked()
	}
	other := func(t *testing.T, h *rig.Host) {
		from()(t, h)
		check(t, h.Services.PutSource(service.Source{Slot: poolSlot + 1, Prefix: own}))
	}
	everybody, allOthers := netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")
	if f.v6 {
		everybody, allOthers = allOthers, everybody
	}
	refused := []step{fromUplink(f.Eth0, in, dropped(serviceSource), nil), fromUplink(f.Eth0, ack, dropped(serviceSource), nil)}
	return []testCase{
		{name: "one of them", world: from(own), steps: visit(f, in, f.Web, 80), flows: 1, after: requireChosen(1, 0)},
		{name: "its subnet", world: from(lan), steps: visit(f, in, f.Web, 80), flows: 1},
		{name: "nobody", world: from(), steps: refused, after: func(t *testing.T, h *rig.Host) {
			if c, err := h.Services.Counts(poolSlot); c.Strangers != 2 || err != nil {
				t.Errorf("%d flows of strangers are counted, %v", c.Strangers, err)
			}
		}},
		{name: "somebody else", world: from(netip.PrefixFrom(f.far(), f.far().BitLen())), steps: refused},
		{name: "everybody", world: from(everybody), steps: visit(f, in, f.Web, 80), flows: 1},
		{name: "everybody of the other family", world: from(allOthers), steps: refused},
		{name: "of another service", world: other, steps: refused},
		{name: "a container", world: from(own), steps: []step{
			fromContainer(f.App, f.sends(f.App, f.vip()).TCP(45000, 8080, "S"), dropped(serviceSource), nil),
		}},
		{
			name: "a container of the network", flows: 1, steps: asks(f, f.App, f.Web, true),
			world: from(netip.PrefixFrom(f.addr(f.App), f.addr(f.App).BitLen()-8).Masked()),
		},
	}
}

// affinityCases: a client keeps its backend, though the ring leads elsewhere by now, for as
// long as it is remembered and the backend serves.
func affinityCases(f family) []testCase {
	const kept = 10000
	at := f.arrives(f.client(), f.host())
	by := service.Settings{ByClient: kept}
	// moved has the ring lead to db alone.
	moved := func(steps []step, web service.State, more func(*testing.T, *rig.Host)) []step {
		steps[0].before = func(t *testing.T, h *rig.Host) {
			h.PutPool(t, poolSlot, by, is(f.active(f.Web), web), f.active(f.DB))
			check(t, h.Services.PutRing(poolSlot, []uint16{2}))
			if more != nil {
				more(t, h)
			}
		}
		return steps
	}
	world := serves(f, protoTCP, by, f.active(f.Web))
	first := func() []step { return visit(f, at.TCP(50000, 8080, "S"), f.Web, 80) }
	second := at.TCP(50001, 8080, "S")
	other := f.arrives(f.far(), f.host()).TCP(50002, 8080, "S")
	late := func(t *testing.T, h *rig.Host) { check(t, h.ForgetClients(poolSlot, kept+1)) }
	muchLater := func(t *testing.T, h *rig.Host) { check(t, h.ForgetClients(poolSlot, kept+1<<31+10)) }
	soon := func(t *testing.T, h *rig.Host) { check(t, h.ForgetClients(poolSlot, kept/2)) }
	gone := func(t *testing.T, h *rig.Host) { h.Unready(t, f.Web) }
	return []testCase{
		{name: "kept", world: world, flows: 3, steps: append(append(first(), moved(visit(f, second, f.Web, 80), service.Active, soon)...), visit(f, other, f.DB, 80)...)},
		{name: "draining", world: world, flows: 2, steps: append(first(), moved(visit(f, second, f.DB, 80), service.Draining, nil)...)},
		{name: "gone", world: world, flows: 2, steps: append(first(), moved(visit(f, second, f.DB, 80), service.Active, gone)...)},
		// Jiffies begin again after 2^32, and half of that is as far as a difference with a sign tells.
		{name: "much too late", world: world, flows: 2, steps: append(first(), moved(visit(f, second, f.DB, 80), service.Active, muchLater)...)},
		{name: "too late", world: world, flows: 2, steps: append(first(), moved(visit(f, second, f.DB, 80), service.Active, late)...)},
	}
}

func outsideBackend(f family) backend {
	return backend{Target: netip.AddrPortFrom(f.far(), 443), Outside: true, State: service.Active}
}

// outsideCases: a backend that is no endpoint, reached as anything outside is.
func outsideCases(f family) []testCase {
	outside := outsideBackend(f)
	narrow := outside
	narrow.Target = netip.AddrPortFrom(f.narrow(), 53)
	big := f.sends(f.Web, f.vip()).UDP(40000, 8080).Payload(1401 - flagOf(f, 20, 40) - 8)
	out := f.sends(f.App, f.vip()).TCP(45000, 8080, "S")
	wire := out.From(f.host(), 45000).To(f.far(), 443).Hop()
	answer := wire.Reply().MACs(f.RouterMAC, f.Eth0.MAC).Flags("SA")
	back := f.into(f.App, answer.From(f.vip(), 8080).To(f.addr(f.App), 45000))
	in := f.arrives(f.client(), f.host()).TCP(50000, 8080, "S")
	fromHost := frame.Between(f.Eth0.MAC, f.RouterMAC).IP(f.host(), f.client())
	unroutable := outside
	unroutable.Target = netip.AddrPortFrom(f.tunnel(), 443)
	return []testCase{
		{name: "from a container", flows: 1, world: serves(f, protoTCP, service.Settings{}, outside), steps: []step{
			fromContainer(f.App, out, forwarded(), wire), fromUplink(f.Eth0, answer, delivered(f.App), back),
			fromContainer(f.App, out.Flags("A"), forwarded(), wire.Flags("A")),
		}},
		{name: "from outside there is none", world: serves(f, protoTCP, service.Settings{}, outside), steps: []step{
			fromUplink(f.Eth0, in, telling(forwarded(), noBackend), unreachable(f, fromHost.ID(0).TTL(64), in, quoteMax)),
		}},
		{name: "from outside the other", flows: 1, world: serves(f, protoTCP, service.Settings{}, outside, f.active(f.DB)), steps: visit(f, in, f.DB, 80)},
		{name: "behind no uplink", world: serves(f, protoTCP, service.Settings{}, unroutable), steps: []step{fromContainer(f.App, out, dropped(noRoute), nil)}},
		// The stack, which fragments what has no DF, would take it for the host's.
		{name: "too big for the way there", flows: 1, world: serves(f, protoUDP, service.Settings{}, narrow), steps: []step{
			fromContainer(f.Web, big, delivered(f.Web), tooBig(f, fromGateway(f).ID(0), big, 1400, quoteMax)),
		}},
		{name: "out of an internal network", steps: refusedInside(f, out), world: func(t *testing.T, h *rig.Host) {
			serves(f, protoTCP, service.Settings{}, outside)(t, h)
			h.PutNetwork(t, f.Net1, rig.Default|rig.Internal)
		}},
		{name: "sctp to another port", world: serves(f, protoSCTP, service.Settings{}, outside), steps: []step{
			fromContainer(f.App, f.sends(f.App, f.vip()).SCTP(45000, 8080), dropped(unsupported), nil),
		}},
	}
}

// requireChosen compares what the pool's backends were chosen for, all together, and for how
// many flows none was.
func requireChosen(flows, refused uint64) func(*testing.T, *rig.Host) {
	return func(t *testing.T, h *rig.Host) {
		t.Helper()
		c, err := h.Services.Counts(poolSlot)
		check(t, err)
		all := c.Past
		for _, b := range c.Backends {
			all += b.Flows
		}
		if all != flows || c.Refused != refused {
			t.Errorf("%d flows found a backend and %d none; want %d and %d", all, c.Refused, flows, refused)
		}
	}
}

// Flows of many clients go to all backends, each client's or each flow's to the same one again.
func TestServiceChoice(t *testing.T) {
	h := rig.New(t, rig.Options{})
	for name, f := range families() {
		for _, c := range []struct {
			what     string
			settings service.Settings
			// ports is whether a client's flows differ, again whether a flow's choice may.
			ports, again bool
		}{
			{"by flow", service.Settings{}, true, false},
			{"by client", service.Settings{ByClient: 10000}, false, false},
			{"by chance", service.Settings{Random: true}, true, true},
			{"by client and by chance", service.Settings{ByClient: 10000, Random: true}, false, false},
		} {
			t.Run(name+"/"+c.what, func(t *testing.T) {
				choose := func(client, port uint16) uint16 {
					from := f.pick("198.51.100.0", "2001:db8:1::1000").As16()
					from[15] = byte(client)
					h.Run(t, rig.Run{Program: rig.FromUplink, Device: f.Eth0.Device, Frame: f.arrives(netip.AddrFrom16(from).Unmap(), f.host()).UDP(port, 8080).Bytes()})
					var chosen uint16
					for _, half := range halves(t, h) {
						chosen = half.Endpoint
						check(t, h.Flows.Delete(half.Key))
					}
					return chosen
				}
				h.Restore(t)
				serves(f, protoUDP, c.settings, f.active(f.Web), f.active(f.App), f.active(f.DB))(t, h)
				seen := make(map[uint16]int)
				ports, again := false, false
				for client := range uint16(20) {
					one := choose(50+client, 1000)
					seen[one]++
					ports = ports || choose(50+client, 1001) != one
					again = again || choose(50+client, 1000) != one
				}
				if len(seen) != 3 || seen[0] != 0 || ports != c.ports || again != c.again {
					t.Errorf("backends were chosen %v times; another port may lead elsewhere: %t, want %t; the same flow: %t, want %t", seen, ports, c.ports, again, c.again)
				}
			})
		}
	}
}

// All clients of a subnet are remembered, though the ring leads elsewhere by now.
func TestServiceRemembersNeighbours(t *testing.T) {
	h := rig.New(t, rig.Options{})
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			h.Restore(t)
			by := service.Settings{ByClient: 10000}
			serves(f, protoUDP, by, f.active(f.Web))(t, h)
			choose := func(client byte) (chosen uint16) {
				from := f.pick("198.51.100.0", "2001:db8:1::").As16()
				from[15] = client
				h.Run(t, rig.Run{Program: rig.FromUplink, Device: f.Eth0.Device, Frame: f.arrives(netip.AddrFrom16(from).Unmap(), f.host()).UDP(1000, 8080).Bytes()})
				for _, half := range halves(t, h) {
					chosen = half.Endpoint
					check(t, h.Flows.Delete(half.Key))
				}
				return chosen
			}
			for client := byte(20); client < 250; client++ {
				choose(client)
			}
			h.PutPool(t, poolSlot, by, f.active(f.Web), f.active(f.DB))
			check(t, h.Services.PutRing(poolSlot, []uint16{2}))
			forgotten := 0
			for client := byte(20); client < 250; client++ {
				if choose(client) != f.Web.Slot {
					forgotten++
				}
			}
			if forgotten > 0 {
				t.Errorf("%d of 230 clients were forgotten", forgotten)
			}
		})
	}
}

// Without room for another flow a service refuses what is new, as any port does.
func TestServiceInFullTable(t *testing.T) {
	h := rig.New(t, rig.Options{MaxEntries: map[string]uint32{object.DatapathMapFlows4: 4, object.DatapathMapFlows6: 4}})
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			in := f.arrives(f.client(), f.host())
			steps := append(visit(f, in.UDP(1, 8080), f.Web, 80), visit(f, in.UDP(2, 8080), f.Web, 80)...)
			steps = append(steps, fromUplink(f.Eth0, in.UDP(3, 8080), dropped(tableFull), nil),
				fromContainer(f.App, f.sends(f.App, f.vip()).UDP(3, 8080), dropped(tableFull), nil))
			runCase(t, h, testCase{flows: 2, world: serves(f, protoUDP, service.Settings{}, f.active(f.Web)), steps: append(steps, visit(f, in.UDP(1, 8080), f.Web, 80)...)})
		})
	}
}

// Sockets of the host reach services by loopback, by the host's addresses and by their own,
// and are told the address that they asked for. Without a backend they are refused at once.
func TestServiceSockets(t *testing.T) {
	h := rig.New(t, rig.Options{})
	attachSockets(t, h, ownCgroup(t))
	for name, f := range families() {
		h.AddAddress(t, "lo", netip.PrefixFrom(f.addr(f.Web), f.addr(f.Web).BitLen()))
		serve(t, h, netip.AddrPortFrom(f.addr(f.Web), 80))
		for _, proto := range []model.Proto{protoTCP, protoUDP} {
			serves(f, proto, service.Settings{}, formerly(f.active(f.App)), f.active(f.Web))(t, h)
		}
		reached := []netip.Addr{f.pick("127.0.0.1", "::1"), f.host(), f.vip()}
		for _, at := range reached {
			to := netip.AddrPortFrom(at, 8080)
			t.Run(name+"/tcp "+at.String(), func(t *testing.T) { reachTCP(t, h, "tcp", to) })
			t.Run(name+"/connected udp "+at.String(), func(t *testing.T) { reachConnectedUDP(t, h, to) })
			t.Run(name+"/udp "+at.String(), func(t *testing.T) { reachUDP(t, h, to) })
		}
		h.PutPool(t, poolSlot, service.Settings{Sources: true}, backend{Target: netip.AddrPortFrom(f.addr(f.Web), 80), Outside: true, State: service.Active})
		t.Run(name+"/outside, and the host is nobody's stranger", func(t *testing.T) { reachTCP(t, h, "tcp", netip.AddrPortFrom(f.vip(), 8080)) })
		h.PutPool(t, poolSlot, service.Settings{}, is(f.active(f.Web), service.Down))
		for _, at := range reached {
			t.Run(name+"/nobody at "+at.String(), func(t *testing.T) { requireRefused(t, h, netip.AddrPortFrom(at, 8080)) })
		}
	}
}

// With a backend drawn for each flow an unconnected socket keeps the one that it has; it asks
// with each datagram.
func TestServiceSocketKeepsWhatItDrew(t *testing.T) {
	h := rig.New(t, rig.Options{})
	attachSockets(t, h, ownCgroup(t))
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			h.AddAddress(t, "lo", netip.PrefixFrom(f.addr(f.Web), f.addr(f.Web).BitLen()))
			serves(f, protoUDP, service.Settings{Random: true}, f.active(f.Web), testrun.Backend(f.Web, f.v6, 81))(t, h)
			to, drawn := netip.AddrPortFrom(f.vip(), 8080), map[int]int{}
			for range 20 {
				before := chosen(t, h)
				var err error
				h.Do(func() { err = sendFromOneSocket(to, 10) })
				check(t, err)
				for i, n := range chosen(t, h) {
					if n -= before[i]; n != 0 && n != 10 {
						t.Errorf("%d of a socket's 10 datagrams went to backend %d", n, i)
					} else if n == 10 {
						drawn[i]++
					}
				}
			}
			if len(drawn) != 2 {
				t.Errorf("backends were drawn %v times, want both", drawn)
			}
		})
	}
}

// chosen is for how many flows each backend of the pool was chosen.
func chosen(t *testing.T, h *rig.Host) (flows []uint64) {
	c, err := h.Services.Counts(poolSlot)
	check(t, err)
	for _, b := range c.Backends {
		flows = append(flows, b.Flows)
	}
	return flows
}

func sendFromOneSocket(to netip.AddrPort, datagrams int) error {
	network := "udp4"
	if to.Addr().Is6() {
		network = "udp6"
	}
	c, err := net.ListenUDP(network, nil)
	if err != nil {
		return err
	}
	for range datagrams {
		// Where nobody listens the one before is complained of.
		if _, err = c.WriteToUDPAddrPort([]byte("ping"), to); err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
			return errors.Join(err, c.Close())
		}
	}
	return c.Close()
}

// Before netfilter has let a flow in each piece of its first datagram asks for a backend, and so
// does each packet that is sent again. They all get the same, drawn for each flow though it is.
func TestServiceDrawBeforeNetfilter(t *testing.T) {
	h := rig.New(t, rig.Options{Constants: map[string]any{object.DatapathVarFirstPacket: true}})
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			h.Restore(t)
			serves(f, protoUDP, service.Settings{Random: true}, f.active(f.Web), f.active(f.App), f.active(f.DB))(t, h)
			drawn, torn := map[string]int{}, 0
			for i := range uint16(30) {
				in, targets := f.arrives(f.client(), f.host()).UDP(50000+i, 8080).Payload(4000).ID(1+i), map[string]bool{}
				for _, piece := range in.Fragments(pieceSize) {
					got := h.Run(t, rig.Run{Program: rig.FromUplink, Device: f.Eth0.Device, Frame: piece})
					target := string(got.Frame[flagOf(f, 14+16, 14+24):][:flagOf(f, 4, 16)])
					targets[target] = true
					drawn[target]++
				}
				if len(targets) != 1 {
					torn++
				}
			}
			// The draw is another one each second, and that may begin between two pieces.
			if len(drawn) != 3 || torn > 5 {
				t.Errorf("%d of 30 datagrams were torn, and %d backends drawn, want 3", torn, len(drawn))
			}
		})
	}
}
