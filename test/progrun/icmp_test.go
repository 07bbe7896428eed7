// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"fmt"
	"testing"

	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
)

// whole quotes everything, least what RFC 792 asks for: eight bytes after the header.
const whole = 1 << 16

func least(f family) int { return flagOf(f, 28, 48) }

// unreachable is what errors are mostly; too big ones carry an MTU.
func unreachable(f family, e frame.Frame, quoted frame.Frame, size int) frame.Frame {
	return e.ICMP(flagOf[uint8](f, frame.Unreachable4, frame.Unreachable6), flagOf[uint8](f, 3, 4), 0, quoted.Datagram(size))
}

func tooBig(f family, e frame.Frame, quoted frame.Frame, mtu uint32, size int) frame.Frame {
	if f.v6 {
		return e.ICMP(frame.TooBig6, 0, mtu, quoted.Datagram(size))
	}
	return e.ICMP(frame.Unreachable4, 4, mtu, quoted.Datagram(size))
}

func icmpErrorCases(f family) []testCase {
	cases := append(errorsAboutMasqueraded(f), errorsAboutPublished(f)...)
	return append(append(cases, errorAboutHairpin(f)), strayErrors(f)...)
}

// errorsAboutMasqueraded: a router outside complains to the host; the container
// reads about its own packet.
func errorsAboutMasqueraded(f family) []testCase {
	var cases []testCase
	base := f.sends(f.Web, f.far())
	for name, out := range map[string]frame.Frame{
		"tcp": base.TCP(5000, 443, "S"), "udp": base.UDP(5000, 53), "udp without checksum": base.UDP(5000, 53).NoChecksum(),
		"extensions": base.UDP(5000, 53).Extensions(flagOf(f, nil, []byte{frame.HopByHop, frame.DestOptions})...),
		"echo":       base.Echo(99), "sctp": base.SCTP(5000, 38412), "gre": base.Proto(frame.GRE), "options": base.Options(148, 4, 0, 0).UDP(1, 2),
	} {
		wire := out.From(f.host(), out.Src().Port()).Hop()
		seen := out.Hop() // what the container sent, with the TTL that the router saw
		for _, size := range []int{whole, least(f) + len(optionsOf(f, name))} {
			for _, from := range []struct {
				who  string
				addr frame.Frame
			}{{"router", f.arrives(f.client(), f.host())}, {"destination", f.arrives(f.far(), f.host())}} {
				in := unreachable(f, from.addr, wire, size)
				inside := f.into(f.Web, unreachable(f, from.addr.To(f.addr(f.Web), 0), seen, size))
				cases = append(cases, testCase{
					name: fmt.Sprintf("masqueraded %s quoting %d from %s", name, size, from.who), flows: 1,
					steps: []step{
						fromContainer(f.Web, out, forwarded(), wire),
						fromUplink(f.Eth0, in, delivered(f.Web), inside),
					},
				})
			}
		}
	}
	out := base.TCP(5000, 443, "S")
	wire := out.From(f.host(), 5000).Hop()
	router := f.arrives(f.client(), f.host())
	cases = append(cases, errorAboutFragment(f))
	return append(cases, testCase{name: "masqueraded too big", flows: 1, steps: []step{
		fromContainer(f.Web, out, forwarded(), wire),
		fromUplink(f.Eth0, tooBig(f, router, wire, 1300, whole), delivered(f.Web),
			f.into(f.Web, tooBig(f, router.To(f.addr(f.Web), 0), out.Hop(), 1300, whole))),
	}})
}

// errorAboutFragment: a router further on has no room for the first of a packet's pieces.
// What quotes another piece names no ports, and is the host's to make sense of.
func errorAboutFragment(f family) testCase {
	const size = 1376
	out := f.sends(f.Web, f.far()).UDP(5000, 53).Payload(2000)
	wire := out.From(f.host(), 5000).Hop()
	quoting := func(e frame.Frame, p frame.Frame, piece int) frame.Frame {
		quoted := p.Fragments(size)[piece][14:110]
		if f.v6 {
			return e.ICMP(frame.TooBig6, 0, 1300, quoted)
		}
		return e.ICMP(frame.Unreachable4, 4, 1300, quoted)
	}
	router := f.arrives(f.client(), f.host())
	return testCase{name: "masqueraded, quoting a piece", flows: 1, steps: []step{
		fromContainer(f.Web, raw(out.Fragments(size)[0]), forwarded(), raw(wire.Fragments(size)[0])),
		fromUplink(f.Eth0, quoting(router, wire, 0), delivered(f.Web),
			f.into(f.Web, quoting(router.To(f.addr(f.Web), 0), out.Hop(), 0))),
		fromUplink(f.Eth0, quoting(router, wire, 1), passed(), nil),
	}}
}

func optionsOf(f family, name string) []byte {
	switch {
	case name == "options" && !f.v6:
		return make([]byte, 4)
	case name == "extensions" && f.v6:
		return make([]byte, 16)
	}
	return nil
}

// errorsAboutPublished: the container complains to the client, and the client's
// side about the container's answers.
func errorsAboutPublished(f family) []testCase {
	in := f.arrives(f.client(), f.host()).UDP(50000, 53)
	inside := f.into(f.Web, in.To(f.addr(f.Web), 5353))
	answer := inside.Reply()
	wire := answer.From(f.host(), 53).Hop()
	publishIt := func(t *testing.T, h *rig.Host) { h.Publish(t, rig.Any(f.v6), 53, protoUDP, f.Web, 5353) }
	complaint := f.sends(f.Web, f.client())
	router := f.arrives(f.far(), f.host())
	return []testCase{
		{name: "published, from inside", world: publishIt, flows: 1, steps: []step{
			fromUplink(f.Eth0, in, delivered(f.Web), inside),
			fromContainer(f.Web, unreachable(f, complaint, inside, whole), forwarded(),
				unreachable(f, complaint.From(f.host(), 0).Hop(), in.Hop(), whole)),
		}},
		{name: "published, from outside", world: publishIt, flows: 1, steps: []step{
			fromUplink(f.Eth0, in, delivered(f.Web), inside),
			fromContainer(f.Web, answer, forwarded(), wire),
			fromUplink(f.Eth0, tooBig(f, router, wire, 1300, least(f)), delivered(f.Web),
				f.into(f.Web, tooBig(f, router.To(f.addr(f.Web), 0), answer.Hop(), 1300, least(f)))),
		}},
	}
}

func errorAboutHairpin(f family) testCase {
	out := f.sends(f.Web, f.host()).UDP(45000, 53)
	gateway := f.Net2.Gateway(f.v6)
	inside := f.into(f.DB, out.From(gateway, 45000).To(f.addr(f.DB), 5353))
	complaint := f.sends(f.DB, gateway)
	return testCase{
		name: "hairpin", flows: 1,
		world: func(t *testing.T, h *rig.Host) { h.Publish(t, rig.Any(f.v6), 53, protoUDP, f.DB, 5353) },
		steps: []step{
			fromContainer(f.Web, out, delivered(f.DB), inside),
			fromContainer(f.DB, unreachable(f, complaint, inside, whole), delivered(f.Web),
				f.into(f.Web, unreachable(f, complaint.From(f.host(), 0).To(f.addr(f.Web), 0), out.Hop(), whole))),
		},
	}
}

// strayErrors are about flows that there aren't, or say so to the wrong one.
func strayErrors(f family) []testCase {
	out := f.sends(f.Web, f.far()).UDP(5000, 53)
	wire := out.From(f.host(), 5000).Hop()
	router := f.arrives(f.client(), f.host())
	opened := fromContainer(f.Web, out, forwarded(), wire)
	gre := f.sends(f.Web, f.far()).Proto(frame.GRE)
	greWire := gre.From(f.host(), 0).Hop()
	stale := fromUplink(f.Eth0, unreachable(f, router, wire, whole), passed(), nil)
	stale.before = func(t *testing.T, h *rig.Host) { h.PutEndpoint(t, f.Web, rig.Generation+1) }
	return []testCase{
		{name: "stray, from outside", steps: []step{fromUplink(f.Eth0, unreachable(f, router, wire, whole), passed(), nil)}},
		{name: "stray, from inside", steps: []step{
			fromContainer(f.Web, unreachable(f, f.sends(f.Web, f.far()), wire, whole), dropped(noFlow), nil),
		}},
		{name: "of another container", flows: 1, steps: []step{
			opened, fromContainer(f.App, unreachable(f, f.sends(f.App, f.far()), out.Reply(), whole), dropped(noFlow), nil),
		}},
		{name: "about another port", flows: 1, steps: []step{
			opened, fromUplink(f.Eth0, unreachable(f, router, wire.From(f.host(), 5001), whole), passed(), nil),
		}},
		{name: "to another address", flows: 1, steps: []step{
			opened, fromUplink(f.Eth0, unreachable(f, router.To(f.Eth1.Addr(f.v6), 0), wire, whole), passed(), nil),
		}},
		{name: "quote cut short", flows: 1, steps: []step{
			opened, fromUplink(f.Eth0, unreachable(f, router, wire, least(f)-1), passed(), nil),
		}},
		{name: "quote beyond the datagram", flows: 2, steps: []step{
			opened, fromUplink(f.Eth0, padded(f, unreachable(f, router, wire, least(f)-20), wire), passed(), nil),
			fromContainer(f.Web, gre, forwarded(), greWire),
			fromUplink(f.Eth0, padded(f, unreachable(f, router, greWire, least(f)-20), greWire), passed(), nil),
		}},
		{name: "former owner", flows: 1, steps: []step{opened, stale}},
	}
}

// padded is an error whose datagram ends before what follows it in the frame, the
// rest of the quote.
func padded(f family, short, quoted frame.Frame) raw {
	b := short.Bytes()
	return append(b, quoted.Datagram(whole)[least(f)-20:]...)
}
