// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"net/netip"
	"testing"

	"github.com/fairway-project/fairway/maps/host"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
)

// roundTrip is a packet of web's, what it is on the wire, and the answer's way back.
func roundTrip(f family, out frame.Frame) []step {
	wire := out.From(f.host(), out.Src().Port()).Hop()
	back := wire.Reply().MACs(f.RouterMAC, f.Eth0.MAC)
	inside := out.Reply().TTL(64)
	return []step{
		fromContainer(f.Web, out, forwarded(), wire),
		fromUplink(f.Eth0, back, delivered(f.Web), f.into(f.Web, inside)),
	}
}

// masqueradeCases: a container to the outside and the answer back, with its own
// source port.
func masqueradeCases(f family) []testCase {
	to := func(a netip.Addr) frame.Frame { return f.sends(f.Web, a) }
	cases := []testCase{
		{name: "tcp", steps: roundTrip(f, to(f.far()).TCP(40000, 443, "S")), flows: 1},
		{name: "udp", steps: roundTrip(f, to(f.far()).UDP(40000, 53)), flows: 1},
		{name: "udp on link", steps: roundTrip(f, to(f.client()).UDP(40000, 53)), flows: 1},
		{name: "udp odd length", steps: roundTrip(f, to(f.far()).UDP(40000, 53).Payload(33)), flows: 1},
		{name: "udp empty", steps: roundTrip(f, to(f.far()).UDP(40000, 53).Payload(0)), flows: 1},
		{name: "echo", steps: roundTrip(f, to(f.far()).Echo(77)), flows: 1},
		{name: "sctp", steps: roundTrip(f, to(f.far()).SCTP(40000, 38412)), flows: 1},
		{name: "gre", steps: roundTrip(f, to(f.far()).Proto(frame.GRE)), flows: 1},
		{name: "privileged port", steps: roundTrip(f, to(f.far()).UDP(123, 123)), flows: 1},
		{name: "source port zero", steps: roundTrip(f, to(f.far()).UDP(0, 53)), flows: 1},
	}
	return append(cases, echoZero(f), masqueradeSharing(f), masqueradeFromOther(f), masqueradeSNAT(f), routedOut(f))
}

// An echo's identifier may be 0, as the ports are of all other ICMP: what isn't the answer
// belongs to no flow, in either direction.
func echoZero(f family) testCase {
	out := f.sends(f.Web, f.far()).Echo(0)
	in := f.arrives(f.far(), f.host())
	query := flagOf[uint8](f, frame.Timestamp4, 139)
	return testCase{name: "echo with identifier 0", flows: 1, steps: append(roundTrip(f, out),
		fromContainer(f.Web, f.sends(f.Web, f.far()).EchoReply(0), dropped(unsupported), nil),
		fromContainer(f.Web, f.sends(f.Web, f.far()).ICMP(query, 0, 0, nil), dropped(unsupported), nil),
		fromUplink(f.Eth0, in.Echo(0), passed(), nil),
		fromUplink(f.Eth0, in.ICMP(query, 0, 0, nil), passed(), nil),
		fromContainer(f.Web, out, forwarded(), out.From(f.host(), 0).Hop()),
	)}
}

// Two containers may use one port towards different destinations.
func masqueradeSharing(f family) testCase {
	web := f.sends(f.Web, f.far()).UDP(5000, 53)
	app := f.sends(f.App, f.client()).UDP(5000, 53)
	return testCase{name: "one port towards two destinations", flows: 2, steps: []step{
		fromContainer(f.Web, web, forwarded(), web.From(f.host(), 5000).Hop()),
		fromContainer(f.App, app, forwarded(), app.From(f.host(), 5000).Hop()),
	}}
}

// Who isn't asked doesn't get in by the port that masquerading uses.
func masqueradeFromOther(f family) testCase {
	out := f.sends(f.Web, f.far()).UDP(5000, 53)
	other := f.arrives(f.client(), f.host()).UDP(53, 5000)
	return testCase{name: "answer of another is the host's", flows: 1, steps: []step{
		fromContainer(f.Web, out, forwarded(), out.From(f.host(), 5000).Hop()),
		fromUplink(f.Eth0, other, passed(), nil),
	}}
}

func masqueradeSNAT(f family) testCase {
	snat := f.pick("198.51.100.99", "2001:db8:1::99")
	out := f.sends(f.Web, f.far()).UDP(5000, 53)
	return testCase{
		name: "given source address", flows: 1,
		world: func(t *testing.T, h *rig.Host) {
			var v4, v6 netip.Addr
			if f.v6 {
				v6 = snat
			} else {
				v4 = snat
			}
			h.PutNetworkSNAT(t, f.Net1, rig.Default, v4, v6)
		},
		steps: []step{fromContainer(f.Web, out, forwarded(), out.From(snat, 5000).Hop())},
	}
}

// Without masquerading a container's address goes out as it is, and what begins
// in the middle may continue.
func routedOut(f family) testCase {
	out := f.sends(f.Web, f.far()).TCP(40000, 443, "A")
	back := out.Reply().MACs(f.RouterMAC, f.Eth0.MAC)
	return testCase{
		name: "not masqueraded", flows: 1,
		world: func(t *testing.T, h *rig.Host) { h.PutNetwork(t, f.Net1, rig.IPv4|rig.IPv6|rig.ICC) },
		steps: []step{
			fromContainer(f.Web, out, forwarded(), out.Hop()),
			fromUplink(f.Eth0, back, delivered(f.Web), f.into(f.Web, back)),
		},
	}
}

// linkLocalCases: a container may use its link-local address on its link, and nothing that
// comes from there goes further.
func linkLocalCases(f family) []testCase {
	if !f.v6 {
		return nil
	}
	own := netip.MustParseAddr("fe80::42:acff:fe12:2")
	from := func(to netip.Addr) frame.Frame { return f.sends(f.Web, to).IP(own, to).UDP(5000, 53) }
	outside := []step{
		fromContainer(f.Web, from(f.far()), dropped(martian), nil),
		fromContainer(f.Web, from(f.far()).Proto(frame.GRE), dropped(martian), nil),
		fromContainer(f.Web, from(f.client()).TCP(40000, 443, "S"), dropped(martian), nil),
	}
	return []testCase{
		{name: "outside", steps: outside},
		{name: "outside, not masqueraded", steps: outside, world: func(t *testing.T, h *rig.Host) {
			h.PutNetwork(t, f.Net1, rig.IPv4|rig.IPv6|rig.ICC)
		}},
		{name: "another network that is open", steps: []step{fromContainer(f.Web, from(f.addr(f.DB)), dropped(martian), nil)}, world: func(t *testing.T, h *rig.Host) {
			h.PutNetwork(t, f.Net2, rig.Default|rig.Open6)
		}},
		{
			name:  "host and link",
			world: func(t *testing.T, h *rig.Host) { h.Publish(t, rig.Any(true), 53, protoUDP, f.DB, 53) },
			steps: []step{
				fromContainer(f.Web, from(f.host()), passed(), nil),
				fromContainer(f.Web, from(f.Net1.Gateway(true)), passed(), nil),
				fromContainer(f.Web, from(netip.MustParseAddr("fe80::1")), passed(), nil),
				fromContainer(f.Web, from(f.addr(f.App)), passed(), nil),
				fromContainer(f.Web, from(f.addr(f.App)).MACs(f.Web.MAC, f.App.MAC), delivered(f.App), nil),
			},
		},
	}
}

func masqueradeRefusedCases(f family) []testCase {
	syn := func(to netip.Addr) frame.Frame { return f.sends(f.Web, to).TCP(40000, 443, "S") }
	noAddress := func(t *testing.T, h *rig.Host) { check(t, h.State.PutUplink(h.Index["eth0"], host.Uplink{})) }
	internal := func(t *testing.T, h *rig.Host) { h.PutNetwork(t, f.Net1, rig.Default|rig.Internal) }
	sctp := f.sends(f.Web, f.far()).SCTP(5000, 38412)
	return []testCase{
		{name: "middle of nothing", steps: []step{
			fromContainer(f.Web, syn(f.far()).Flags("A"), dropped(noFlow), nil),
			fromContainer(f.Web, syn(f.far()).Flags("SA"), dropped(noFlow), nil),
			fromContainer(f.Web, syn(f.far()).Flags("R"), dropped(noFlow), nil),
			fromContainer(f.Web, syn(f.far()).Flags("FA"), dropped(noFlow), nil),
			fromContainer(f.Web, syn(f.far()).Flags("SF"), dropped(noFlow), nil),
		}},
		{name: "by a device that is no uplink", steps: []step{fromContainer(f.Web, syn(f.tunnel()), dropped(noRoute), nil)}},
		{name: "unreachable is for the stack to say", steps: []step{fromContainer(f.Web, syn(f.refused()), passed(), nil)}},
		{name: "no address", world: noAddress, steps: []step{fromContainer(f.Web, syn(f.far()), dropped(noAddressReason), nil)}},
		{name: "internal", world: internal, steps: []step{fromContainer(f.Web, syn(f.far()), dropped(internalReason), nil)}},
		{name: "icmp query", steps: []step{
			fromContainer(f.Web, f.sends(f.Web, f.far()).ICMP(flagOf[uint8](f, frame.Timestamp4, 139), 0, 0, nil), dropped(unsupported), nil),
		}},
		{name: "echo reply to nobody", steps: []step{fromContainer(f.Web, f.sends(f.Web, f.far()).EchoReply(1), dropped(unsupported), nil)}},
		{name: "sctp port taken", flows: 1, steps: []step{
			fromContainer(f.Web, sctp, forwarded(), sctp.From(f.host(), 5000).Hop()),
			fromContainer(f.App, f.sends(f.App, f.far()).SCTP(5000, 38412), dropped(noPort), nil),
		}},
		// UDP-Lite is translated like UDP, if only it has a whole header.
		{name: "no room for the checksum", flows: 1, steps: []step{
			fromContainer(f.Web, f.sends(f.Web, f.far()).Proto(136).Payload(4), dropped(rewriteFailed), nil),
		}},
		{name: "loopback", steps: []step{fromContainer(f.Web, syn(f.pick("127.0.0.1", "::1")), dropped(martian), nil)}},
	}
}
