// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/fairway-project/fairway/maps/network"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
	"github.com/fairway-project/fairway/userspace/model"
)

func onWire(u rig.Uplink, in packet, want verdict, out packet) step {
	return step{run: rig.Run{Program: rig.UplinkXDP, Device: u.Device}, in: in, want: want, out: out}
}

// generic is the step in the stack's hook.
func generic(s step) step {
	s.run.Generic = true
	return s
}

// withXDP has eth0 run the program in the driver, and web take frames.
func withXDP(more ...func(*testing.T, *rig.Host)) func(*testing.T, *rig.Host) {
	return func(t *testing.T, h *rig.Host) {
		h.PutXDP(t, h.Eth0)
		h.TakesFrames(t, h.Web)
		for _, f := range more {
			f(t, h)
		}
	}
}

// opened is a UDP flow from outside that tc has opened, and its next packet.
func opened(f family) (frame.Frame, step) {
	in := f.arrives(f.client(), f.host()).UDP(50000, 8080)
	return in, visit(f, in, f.Web, 80)[0]
}

func forwardedByXDPCases(f family) []testCase {
	in, open := opened(f)
	inside := f.into(f.Web, in.To(f.addr(f.Web), 80))
	largest := 1500 - 28
	if f.v6 {
		largest = 1500 - 48
	}
	asked := f.sends(f.Web, f.far()).UDP(40000, 53)
	replied := f.arrives(f.far(), f.host()).UDP(53, 40000)
	return []testCase{
		{name: "published", world: withXDP(publishAny(f, protoUDP)), flows: 1, steps: []step{
			onWire(f.Eth0, in, passed(), nil),
			open,
			onWire(f.Eth0, in, delivered(f.Web), inside),
			onWire(f.Eth0, in.Payload(largest), delivered(f.Web), inside.Payload(largest)),
			onWire(f.Eth0, in.Payload(0), delivered(f.Web), inside.Payload(0)),
			onWire(f.Eth0, in.TTL(2), delivered(f.Web), inside.TTL(1)),
		}},
		{name: "answer to a masqueraded packet", world: withXDP(), flows: 1, steps: []step{
			fromContainer(f.Web, asked, forwarded(), asked.From(f.host(), 40000).Hop()),
			onWire(f.Eth0, replied, delivered(f.Web), f.into(f.Web, replied.To(f.addr(f.Web), 40000))),
		}},
	}
}

// partial is the frame as a sender leaves it that has its device finish the sum.
func partial(f family, in frame.Frame) packet {
	b := in.Bytes()
	at, addrs := 14+20, b[14+12:14+20]
	if f.v6 {
		at, addrs = 14+40, b[14+8:14+40]
	}
	sum := uint32(17) + uint32(len(b)-at)
	for ; len(addrs) > 0; addrs = addrs[2:] {
		sum += uint32(binary.BigEndian.Uint16(addrs))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[at+6:], uint16(sum))
	return raw(b)
}

// leftToTCCases are packets of an open flow that the program doesn't touch.
func leftToTCCases(f family) []testCase {
	in, open := opened(f)
	published := publishAny(f, protoUDP)
	passes := func(name string, in packet, world func(*testing.T, *rig.Host), flows int) testCase {
		return testCase{name: name, world: world, flows: flows, steps: []step{open, onWire(f.Eth0, in, passed(), nil)}}
	}
	after := func(name string, change func(*testing.T, *rig.Host)) testCase {
		last := onWire(f.Eth0, in, passed(), nil)
		last.before = change
		return testCase{name: name, world: withXDP(published), flows: 1, steps: []step{open, last}}
	}
	return []testCase{
		passes("sum to be finished by a device", partial(f, in), withXDP(published), 1),
		passes("last hop", in.TTL(1), withXDP(published), 1),
		passes("longer than the network's MTU", in.Payload(1473), withXDP(published), 1),
		passes("for another machine", in.MACs(f.RouterMAC, model.MAC{2, 9, 9, 9, 9, 9}), withXDP(published), 1),
		passes("of another flow", in.From(f.client(), 50001), withXDP(published), 1),
		passes("fragment", raw(in.Payload(1400).Fragments(800)[0]), withXDP(published), 1),
		passes("endpoint takes no frames", in, func(t *testing.T, h *rig.Host) {
			h.PutXDP(t, h.Eth0)
			published(t, h)
		}, 1),
		{name: "not run by the driver", world: withXDP(published), flows: 1, steps: []step{open, generic(onWire(f.Eth0, in, passed(), nil))}},
		passes("not an uplink of ours", in, func(t *testing.T, h *rig.Host) {
			h.TakesFrames(t, h.Web)
			published(t, h)
		}, 1),
		{
			name: "tunnel", flows: 2,
			world: withXDP(
				func(t *testing.T, h *rig.Host) { h.Publish(t, rig.Any(f.v6), 4789, protoUDP, f.Web, 80) },
				func(t *testing.T, h *rig.Host) { h.Publish(t, rig.Any(f.v6), 5000, protoUDP, f.Web, 6081) }),
			steps: []step{
				visit(f, in.To(f.host(), 4789), f.Web, 80)[0], onWire(f.Eth0, in.To(f.host(), 4789), passed(), nil),
				visit(f, in.To(f.host(), 5000).From(f.client(), 50001), f.Web, 6081)[0],
				onWire(f.Eth0, in.To(f.host(), 5000).From(f.client(), 50001), passed(), nil),
			},
		},
		after("endpoint isn't ready", func(t *testing.T, h *rig.Host) { h.Unready(t, h.Web) }),
		after("slot has a new owner", func(t *testing.T, h *rig.Host) {
			h.PutEndpoint(t, h.Web, rig.Generation+1)
			h.TakesFrames(t, h.Web)
		}),
	}
}

func refusedByXDPCases(f family) []testCase {
	in := f.arrives(f.client(), f.host()).TCP(50000, 8080, "S")
	direct := in.To(f.addr(f.Web), 80)
	network := func(flags network.Flags) func(*testing.T, *rig.Host) {
		return withXDP(func(t *testing.T, h *rig.Host) { h.PutNetwork(t, h.Net1, flags) })
	}
	wire := func(in packet, want verdict) []step { return []step{onWire(f.Eth0, in, want, nil)} }
	return []testCase{
		{name: "loopback", world: withXDP(), steps: wire(in.To(f.pick("127.0.0.1", "::1"), 80), dropped(martian))},
		{name: "from loopback", world: withXDP(), steps: wire(in.From(f.pick("127.0.0.1", "::1"), 80), dropped(martian))},
		{name: "from a container", world: withXDP(), steps: wire(in.From(f.addr(f.App), 80), dropped(spoofedAddress))},
		{name: "straight to a container", world: withXDP(), steps: wire(direct, dropped(directRouting))},
		{name: "udp straight to a container", world: withXDP(), steps: wire(direct.UDP(1, 80), dropped(directRouting))},
		{name: "to the gateway", world: withXDP(), steps: wire(in.To(f.Net1.Gateway(f.v6), 80), passed())},
		{name: "to the host", world: withXDP(), steps: wire(in, passed())},
		{name: "for another machine", world: withXDP(), steps: wire(in.To(f.far(), 80), passed())},
		{name: "straight to an open network", world: network(rig.Default | flagOf(f, rig.Open4, rig.Open6)), steps: wire(direct, passed())},
		{name: "straight to a routed network", world: network(rig.IPv4 | rig.IPv6 | rig.ICC), steps: wire(direct, passed())},
		{name: "straight to a network that trusts somebody", world: network(rig.Default | rig.Trusts), steps: wire(direct, passed())},
		{name: "not run by the driver", world: withXDP(), steps: []step{generic(onWire(f.Eth0, direct, dropped(directRouting), nil))}},
		{name: "not an uplink of ours", steps: wire(direct, passed())},
	}
}

// carriedOnCases are packets that look as if they had to be refused, and belong to
// a flow: what tc accepts, XDP must not drop.
func carriedOnCases(f family) []testCase {
	asked := f.sends(f.Web, f.far()).TCP(40000, 443, "S")
	open := fromContainer(f.Web, asked, forwarded(), asked.From(f.host(), 40000).Hop())
	// far belongs to a network that was made after the flow.
	taken := func(t *testing.T, h *rig.Host) {
		if err := h.Networks.PutSubnet(netip.PrefixFrom(f.far(), f.far().BitLen()), h.Net2.Slot); err != nil {
			t.Fatal(err)
		}
	}
	left := func(name string, in packet) testCase {
		last := onWire(f.Eth0, in, passed(), nil)
		last.before = taken
		return testCase{name: name, world: withXDP(), flows: 1, steps: []step{open, last}}
	}
	answer := f.arrives(f.far(), f.host()).TCP(443, 40000, "SA")
	quoted := asked.From(f.host(), 40000)
	return []testCase{
		left("its peer's address is a network's now", answer),
		left("fragment", raw(answer.Payload(1400).Fragments(800)[0])),
		left("later fragment", raw(answer.Payload(1400).Fragments(800)[1])),
		left("error from a router with a container's address", tooBig(f, f.arrives(f.addr(f.App), f.host()), quoted, 1400, whole)),
	}
}

// TestXDP: the program decides as those of tc do, or leaves it to them.
func TestXDP(t *testing.T) {
	h := rig.New(t, rig.Options{})
	for name, f := range families() {
		for kind, cases := range map[string][]testCase{
			"forwarded": forwardedByXDPCases(f), "left": leftToTCCases(f), "refused": refusedByXDPCases(f),
			"carried on": carriedOnCases(f),
		} {
			for _, c := range cases {
				t.Run(name+"/"+kind+"/"+c.name, func(t *testing.T) { runCase(t, h, c) })
			}
		}
	}
}

// TestXDPWithoutChecksum: IPv4 datagrams may go without, and stay so.
func TestXDPWithoutChecksum(t *testing.T) {
	h := rig.New(t, rig.Options{})
	f := families()["ipv4"]
	in, open := opened(f)
	open.in, open.out = in.NoChecksum(), f.into(f.Web, in.NoChecksum().To(f.addr(f.Web), 80))
	runCase(t, h, testCase{world: withXDP(publishAny(f, protoUDP)), flows: 1, steps: []step{
		open, onWire(f.Eth0, in.NoChecksum(), delivered(f.Web), f.into(f.Web, in.NoChecksum().To(f.addr(f.Web), 80))),
	}})
}
