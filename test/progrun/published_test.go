// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"net/netip"
	"testing"

	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
	"github.com/fairway-project/fairway/userspace/model"
)

// publishAny opens 8080 of every address to web's port 80.
func publishAny(f family, proto model.Proto) func(*testing.T, *rig.Host) {
	return func(t *testing.T, h *rig.Host) { h.Publish(t, rig.Any(f.v6), 8080, proto, f.Web, 80) }
}

// visit is a client's packet to a published port, in and answered, to target:port.
func visit(f family, in frame.Frame, target rig.Endpoint, port uint16) []step {
	inside := f.into(target, in.To(f.addr(target), port))
	answer := inside.Reply()
	return []step{
		fromUplink(f.Eth0, in, delivered(target), inside),
		fromContainer(target, answer, forwarded(), answer.From(in.Dst().Addr(), in.Dst().Port()).Hop()),
	}
}

func publishedCases(f family) []testCase {
	at := func(a netip.Addr) frame.Frame { return f.arrives(a, f.host()) }
	cases := []testCase{
		{name: "tcp", world: publishAny(f, protoTCP), steps: visit(f, at(f.client()).TCP(50000, 8080, "S"), f.Web, 80), flows: 1},
		{name: "tcp from far", world: publishAny(f, protoTCP), steps: visit(f, at(f.far()).TCP(50000, 8080, "S"), f.Web, 80), flows: 1},
		{name: "tcp taken up in the middle", world: publishAny(f, protoTCP), steps: visit(f, at(f.far()).TCP(50000, 8080, "PA"), f.Web, 80), flows: 1},
		{name: "udp", world: publishAny(f, protoUDP), steps: visit(f, at(f.client()).UDP(50000, 8080), f.Web, 80), flows: 1},
		{
			name: "sctp, port for port", flows: 1, steps: visit(f, at(f.client()).SCTP(50000, 3868), f.Web, 3868),
			world: func(t *testing.T, h *rig.Host) { h.Publish(t, rig.Any(f.v6), 3868, protoSCTP, f.Web, 3868) },
		},
		{
			name: "on one address", flows: 1, steps: visit(f, at(f.client()).UDP(50000, 53), f.Web, 5353),
			world: func(t *testing.T, h *rig.Host) { h.Publish(t, f.host(), 53, protoUDP, f.Web, 5353) },
		},
		{
			name: "address before wildcard", flows: 1, steps: visit(f, at(f.client()).UDP(50000, 53), f.DB, 5353),
			world: func(t *testing.T, h *rig.Host) {
				h.Publish(t, rig.Any(f.v6), 53, protoUDP, f.Web, 53)
				h.Publish(t, f.host(), 53, protoUDP, f.DB, 5353)
			},
		},
		{
			name: "two flows that look alike to the container", flows: 2,
			world: func(t *testing.T, h *rig.Host) {
				h.Publish(t, f.Eth0.Addr(f.v6), 53, protoUDP, f.Web, 53)
				h.Publish(t, f.Eth1.Addr(f.v6), 53, protoUDP, f.Web, 53)
			},
			steps: []step{
				visit(f, at(f.client()).UDP(50000, 53), f.Web, 53)[0],
				anyPacket(rig.FromUplink, "eth0", f.arrives(f.client(), f.Eth1.Addr(f.v6)).UDP(50000, 53), delivered(f.Web)),
			},
			after: func(t *testing.T, h *rig.Host) { requireDistinctSources(t, h) },
		},
	}
	return cases
}

// anyPacket is a step whose packet out depends on chance.
func anyPacket(p rig.Program, device string, in packet, want verdict) step {
	return step{run: rig.Run{Program: p, Device: device}, in: in, want: want, free: true}
}

// requireDistinctSources: what web sees comes from as many sources as there are flows.
func requireDistinctSources(t *testing.T, h *rig.Host) {
	sources := map[netip.AddrPort]bool{}
	for _, half := range halves(t, h) {
		if half.Origin() {
			sources[half.NATSrc] = true
		}
	}
	if len(sources) != 2 {
		t.Errorf("sources %v, want two", sources)
	}
}

func publishedRefusedCases(f family) []testCase {
	in := f.arrives(f.client(), f.host()).TCP(50000, 8080, "S")
	entry := func(change func(*publish.Entry)) func(*testing.T, *rig.Host) {
		return func(t *testing.T, h *rig.Host) {
			e := publish.Entry{Target: netip.AddrPortFrom(f.addr(f.Web), 80), Endpoint: f.Web.Slot, Generation: rig.Generation}
			change(&e)
			h.PublishEntry(t, publish.Key{Addr: rig.Any(f.v6), Port: 8080, Proto: protoTCP}, e)
		}
	}
	return []testCase{
		{name: "nothing published", steps: []step{fromUplink(f.Eth0, in, passed(), nil)}},
		{name: "other protocol", world: publishAny(f, protoUDP), steps: []step{fromUplink(f.Eth0, in, passed(), nil)}},
		{
			name: "host only", world: entry(func(e *publish.Entry) { e.HostOnly = true }),
			steps: []step{fromUplink(f.Eth0, in, passed(), nil)},
		},
		{
			name: "former owner of the slot", world: entry(func(e *publish.Entry) { e.Generation-- }),
			steps: []step{fromUplink(f.Eth0, in, dropped(endpointGone), nil)},
		},
		{name: "reset of nothing is answered by the stack", world: publishAny(f, protoTCP), steps: []step{
			fromUplink(f.Eth0, in.Flags("R"), passed(), nil),
			fromUplink(f.Eth0, in.Flags("FA"), passed(), nil),
			fromUplink(f.Eth0, in.Flags("SA"), passed(), nil),
		}},
		{name: "address of nobody", world: publishAny(f, protoTCP), steps: []step{
			fromUplink(f.Eth0, in.To(f.pick("198.51.100.200", "2001:db8:1::200"), 8080), passed(), nil),
		}},
		{name: "for another machine", world: publishAny(f, protoTCP), steps: []step{
			fromUplink(f.Eth0, in.MACs(f.RouterMAC, model.MAC{2, 9, 9, 9, 9, 9}), passed(), nil),
		}},
		{name: "broadcast frame", world: publishAny(f, protoTCP), steps: []step{
			fromUplink(f.Eth0, in.MACs(f.RouterMAC, model.MAC{255, 255, 255, 255, 255, 255}), passed(), nil),
		}},
		{
			name: "sctp to another port", steps: []step{
				fromUplink(f.Eth0, f.arrives(f.client(), f.host()).SCTP(1, 8080), dropped(unsupported), nil),
			},
			world: publishAny(f, protoSCTP),
		},
		{name: "client behind no uplink", world: publishAny(f, protoTCP), steps: []step{
			fromUplink(f.Eth0, f.arrives(f.tunnel(), f.host()).TCP(1, 8080, "S"), dropped(noRoute), nil),
		}},
		{name: "from a container's address", world: publishAny(f, protoTCP), steps: []step{
			fromUplink(f.Eth0, f.arrives(f.addr(f.App), f.host()).TCP(1, 8080, "S"), dropped(spoofedAddress), nil),
		}},
		{name: "client known on one link only", world: publishAny(f, protoTCP), steps: []step{
			fromUplink(f.Eth0, f.arrives(f.pick("203.0.113.9", "fe80::9"), f.host()).TCP(1, flagOf[uint16](f, 8081, 8080), "S"), passed(), nil),
		}},
		{name: "client without an address", world: publishAny(f, protoTCP), steps: []step{
			fromUplink(f.Eth0, f.arrives(f.pick("0.0.0.0", "::"), f.host()).TCP(1, 8080, "S"), flagOf(f, dropped(martian), passed()), nil),
		}},
		{name: "to loopback", world: publishAny(f, protoTCP), steps: []step{
			fromUplink(f.Eth0, in.To(f.pick("127.0.0.1", "::1"), 8080), dropped(martian), nil),
			fromUplink(f.Eth0, f.arrives(f.pick("127.0.0.1", "::1"), f.host()).TCP(1, 8080, "S"), dropped(martian), nil),
		}},
	}
}
