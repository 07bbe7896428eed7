// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"net/netip"
	"testing"

	"github.com/fairway-project/fairway/maps/endpoint"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/service"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
	"github.com/fairway-project/fairway/test/progrun/testrun"
	"github.com/fairway-project/fairway/userspace/model"
)

// relayed is a backend outside that clients outside get to.
func relayed(target netip.Addr, port uint16) backend {
	return backend{Target: netip.AddrPortFrom(target, port), Outside: true, State: service.Active, Endpoint: testrun.RelaySlot, Generation: testrun.Generation}
}

func relays(f family, proto model.Proto, backends ...backend) func(*testing.T, *rig.Host) {
	return func(t *testing.T, h *rig.Host) {
		h.PutRelay(t, f.Net1)
		serves(f, proto, service.Settings{}, backends...)(t, h)
	}
}

// passing is a client's packet through the host to a backend outside, with the client's own port,
// and the answer.
func passing(f family, in frame.Frame, target netip.Addr, port uint16) []step {
	wire := in.From(f.host(), in.Src().Port()).To(target, port).Hop()
	answer := wire.Reply().MACs(f.RouterMAC, f.Eth0.MAC)
	return []step{
		fromUplink(f.Eth0, in, forwarded(), wire),
		fromUplink(f.Eth0, answer, forwarded(), answer.From(f.host(), in.Dst().Port()).To(in.Src().Addr(), in.Src().Port()).Hop()),
	}
}

// relayCases: what comes from outside for a service whose backend is outside is passed on, with
// both addresses translated.
func relayCases(f family) []testCase {
	at := f.arrives(f.client(), f.host())
	tcp, udp := at.TCP(50000, 8080, "S"), at.UDP(50000, 8080)
	web, dns := relayed(f.far(), 443), relayed(f.far(), 53)
	wire := udp.From(f.host(), 50000).To(f.far(), 53).Hop()
	established := append(passing(f, tcp, f.far(), 443),
		fromUplink(f.Eth0, tcp.Flags("A"), forwarded(), tcp.From(f.host(), 50000).To(f.far(), 443).Flags("A").Hop()))
	gone := append(passing(f, tcp, f.far(), 443), fromUplink(f.Eth0, tcp.Flags("A"), passed(), nil))
	gone[2].before = func(t *testing.T, h *rig.Host) {
		check(t, h.Endpoints.Put(testrun.RelaySlot, endpoint.Endpoint{Generation: testrun.Generation + 1}))
	}
	taken := fromUplink(f.Eth0, f.arrives(f.pick("198.51.100.78", "2001:db8:1::78"), f.host()).UDP(50000, 8080), forwarded(), nil)
	taken.free = true
	cases := []testCase{
		{name: "tcp", flows: 1, world: relays(f, protoTCP, web), steps: established},
		{name: "udp", flows: 1, world: relays(f, protoUDP, dns), steps: passing(f, udp, f.far(), 53)},
		{name: "udp without checksum", flows: 1, world: relays(f, protoUDP, dns), steps: passing(f, udp.NoChecksum(), f.far(), 53)},
		{name: "sctp, port for port", flows: 1, world: relays(f, protoSCTP, relayed(f.far(), 8080)), steps: passing(f, at.SCTP(50000, 8080), f.far(), 8080)},
		{name: "sctp to another port", world: relays(f, protoSCTP, web), steps: []step{fromUplink(f.Eth0, at.SCTP(50000, 8080), dropped(unsupported), nil)}},
		{name: "the client is the backend", flows: 1, world: relays(f, protoUDP, relayed(f.client(), 53)), steps: passing(f, udp, f.client(), 53)},
		{name: "two clients with one port", flows: 2, world: relays(f, protoUDP, dns), steps: append(passing(f, udp, f.far(), 53), taken)},
		{name: "the middle of nothing is the stack's", world: relays(f, protoTCP, web), steps: []step{
			fromUplink(f.Eth0, tcp.Flags("A"), passed(), nil), fromUplink(f.Eth0, tcp.Flags("R"), passed(), nil),
		}},
		{name: "without the relay there is none", world: func(t *testing.T, h *rig.Host) {
			relays(f, protoUDP, dns, f.active(f.DB))(t, h)
			check(t, h.Endpoints.Put(testrun.RelaySlot, endpoint.Endpoint{}))
		}, flows: 1, steps: visit(f, udp, f.DB, 80)},
		// The middle of nothing is the stack's again, which resets it.
		{name: "the relay goes, and its flows", world: relays(f, protoTCP, web), steps: gone},
		{name: "behind no uplink", world: relays(f, protoTCP, relayed(f.tunnel(), 443)), steps: []step{fromUplink(f.Eth0, tcp, dropped(noRoute), nil)}},
		{name: "refused by the routes", world: relays(f, protoTCP, relayed(f.refused(), 443)), steps: []step{fromUplink(f.Eth0, tcp, dropped(noRoute), nil)}},
		{name: "by way of an internal network", steps: []step{fromUplink(f.Eth0, tcp, dropped(internalReason), nil)}, world: func(t *testing.T, h *rig.Host) {
			relays(f, protoTCP, web)(t, h)
			h.PutNetwork(t, f.Net1, rig.Default|rig.Internal)
		}},
		{name: "last hop", flows: 1, world: relays(f, protoUDP, dns), steps: append(passing(f, udp, f.far(), 53),
			fromUplink(f.Eth0, udp.TTL(1), forwarded(), timeExceeded(f, frame.Between(f.Eth0.MAC, f.RouterMAC).IP(f.host(), f.client()).ID(0).TTL(64), udp.TTL(1))))},
		{name: "error of a router", flows: 1, world: relays(f, protoUDP, dns), steps: []step{
			fromUplink(f.Eth0, udp, forwarded(), wire),
			// The client doesn't see who it is beside the host.
			fromUplink(f.Eth0, unreachable(f, f.arrives(f.pick("203.0.113.9", "2001:db8:2::9"), f.host()), wire, whole), forwarded(),
				unreachable(f, f.arrives(f.host(), f.client()), udp.Hop(), whole).Hop()),
			fromUplink(f.Eth0, tooBig(f, f.arrives(f.far(), f.host()), wire, 1300, whole), forwarded(),
				tooBig(f, f.arrives(f.host(), f.client()), udp.Hop(), 1300, whole).Hop()),
		}},
		{name: "error of the client", flows: 1, world: relays(f, protoUDP, dns), steps: append(passing(f, udp, f.far(), 53),
			fromUplink(f.Eth0, unreachable(f, at, udp.Reply(), whole), forwarded(),
				unreachable(f, f.arrives(f.host(), f.far()), wire.Reply(), whole).Hop()))},
	}
	return append(cases, relayTooBig(f), relayFragments(f))
}

// What the way to the backend, or back, is too narrow for is answered by the host, with DF or
// without: the stack would take it for its own.
func relayTooBig(f family) testCase {
	size := func(total int) int { return total - flagOf(f, 20, 40) - 8 }
	out := f.arrives(f.client(), f.host()).UDP(50000, 8080)
	fits, big := out.Payload(size(1400)), out.Payload(size(1401))
	in := f.arrives(f.narrow(), f.host()).UDP(50001, 8080)
	answer := in.From(f.host(), 50001).To(f.narrow(), 53).Reply().MACs(f.RouterMAC, f.Eth0.MAC).Payload(size(1401))
	fromHost := func(to netip.Addr) frame.Frame {
		return frame.Between(f.Eth0.MAC, f.RouterMAC).IP(f.host(), to).ID(0).TTL(64)
	}
	return testCase{
		name: "too big", flows: 2, world: relays(f, protoUDP, relayed(f.narrow(), 53)), steps: []step{
			fromUplink(f.Eth0, fits, forwarded(), fits.From(f.host(), 50000).To(f.narrow(), 53).Hop()),
			fromUplink(f.Eth0, big, forwarded(), tooBig(f, fromHost(f.client()), big, 1400, quoteMax)),
			fromUplink(f.Eth0, in, forwarded(), in.From(f.host(), 50001).To(f.narrow(), 53).Hop()),
			fromUplink(f.Eth0, answer, forwarded(), tooBig(f, fromHost(f.narrow()), answer, 1400, quoteMax)),
		},
	}
}

func relayFragments(f family) testCase {
	in := f.arrives(f.client(), f.host()).UDP(50000, 8080).Payload(3000)
	wire := in.From(f.host(), 50000).To(f.far(), 53).Hop()
	answer := wire.Reply().MACs(f.RouterMAC, f.Eth0.MAC)
	pass := func(in, out packet) step { return fromUplink(f.Eth0, in, forwarded(), out) }
	steps := append(pieces(pass, in, wire), pieces(pass, answer, answer.From(f.host(), 8080).To(f.client(), 50000).Hop())...)
	return testCase{name: "in pieces", flows: 1, steps: steps, world: relays(f, protoUDP, relayed(f.far(), 53))}
}

// Where the way to a backend goes nothing is sent, and the flow waits for another one.
func TestRelayWithoutRoute(t *testing.T) {
	h := rig.New(t, rig.Options{})
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			udp := f.arrives(f.client(), f.host()).UDP(50000, 8080)
			prefix := netip.PrefixFrom(f.far(), f.far().BitLen()).String()
			steps := append(passing(f, udp, f.far(), 53), fromUplink(f.Eth0, udp, dropped(noRoute), nil), passing(f, udp, f.far(), 53)[0])
			steps[2].before = func(t *testing.T, h *rig.Host) {
				h.Refuse(t, prefix)
				check(t, h.State.NewRoutes())
			}
			steps[3].before = func(t *testing.T, h *rig.Host) {
				h.Route(t, prefix, f.Eth0, f.Eth0.Router(f.v6))
				check(t, h.State.NewRoutes())
			}
			runCase(t, h, testCase{world: relays(f, protoUDP, relayed(f.far(), 53)), steps: steps, flows: 1})
		})
	}
}

// The stack would take what netfilter is to judge for the host's own, so there are no relays.
func TestRelayBeforeNetfilter(t *testing.T) {
	h := rig.New(t, rig.Options{Constants: map[string]any{object.DatapathVarFirstPacket: true}})
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			in := f.arrives(f.client(), f.host()).TCP(50000, 8080, "S")
			fromHost := frame.Between(f.Eth0.MAC, f.RouterMAC).IP(f.host(), f.client())
			runCase(t, h, testCase{world: relays(f, protoTCP, relayed(f.far(), 443)), steps: []step{
				fromUplink(f.Eth0, in, telling(forwarded(), noBackend), unreachable(f, fromHost.ID(0).TTL(64), in, quoteMax)),
			}})
		})
	}
}
