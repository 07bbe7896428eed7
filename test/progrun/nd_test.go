// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
	"github.com/fairway-project/fairway/userspace/model"
)

// Options of neighbour discovery.
const (
	sourceMAC     = 1
	targetMAC     = 2
	nonce         = 14
	unknownOption = 99
)

// option is one of units of 8 bytes.
func option(kind, units uint8, content ...byte) []byte {
	return append(append([]byte{kind, units}, content...), make([]byte, max(0, int(units)*8-2-len(content)))...)
}

// message is neighbour discovery from web to all nodes; target may be left out.
func message(f family, kind uint8, target netip.Addr, options ...[]byte) frame.Frame {
	var body []byte
	if target.IsValid() {
		body = target.AsSlice()
	}
	to := frame.Between(f.Web.MAC, model.MAC{0x33, 0x33, 0, 0, 0, 1}).IP(f.Web.IPv6, netip.MustParseAddr("ff02::1"))
	return to.TTL(255).ICMP(kind, 0, 0, append(body, bytes.Join(options, nil)...))
}

// discoveryCases: a container's neighbour discovery is what RFC 4861 says, and with icc=false,
// where nothing else passes, no bag for anything else.
func discoveryCases(f family) []testCase {
	if !f.v6 {
		return nil
	}
	noICC := func(t *testing.T, h *rig.Host) { h.PutNetwork(t, f.Net1, rig.Default&^rig.ICC) }
	return []testCase{
		{name: "as hosts send it", steps: goodDiscovery(f)},
		{name: "as hosts send it, icc off", world: noICC, steps: goodDiscovery(f)},
		{name: "against the RFC", steps: badDiscovery(f)},
		{name: "against the RFC, icc off", world: noICC, steps: badDiscovery(f)},
		{name: "more than needed", steps: bags(f, passed(), delivered(f.App))},
		{name: "more than needed, icc off", world: noICC, steps: bags(f, dropped(malformed), dropped(malformed))},
		{name: "arp's trailer, icc off", world: noICC, steps: arpTrailer(f)},
	}
}

// The kernel's own messages: for a router, for a neighbour, for duplicates, answers.
func goodDiscovery(f family) []step {
	own, other, none := f.Web.IPv6, f.App.IPv6, netip.IPv6Unspecified()
	source, target := option(sourceMAC, 1, f.Web.MAC[:]...), option(targetMAC, 1, f.Web.MAC[:]...)
	var steps []step
	for _, m := range []frame.Frame{
		message(f, frame.RouterSolicit, netip.Addr{}),
		message(f, frame.RouterSolicit, netip.Addr{}, source),
		message(f, frame.RouterSolicit, netip.Addr{}).IP(none, netip.MustParseAddr("ff02::2")),
		message(f, frame.NeighborSolict, other, source),
		message(f, frame.NeighborSolict, other, source, option(nonce, 1, 1, 2, 3, 4, 5, 6)),
		message(f, frame.NeighborSolict, own, option(nonce, 1, 1, 2, 3, 4, 5, 6)).IP(none, netip.MustParseAddr("ff02::1:ff00:2")),
		message(f, frame.NeighborAdvert, own, target),
		message(f, frame.NeighborAdvert, own),
	} {
		steps = append(steps, fromContainer(f.Web, m, passed(), nil))
	}
	for _, m := range []frame.Frame{message(f, frame.NeighborSolict, other, source), message(f, frame.NeighborAdvert, own, target)} {
		steps = append(steps, fromContainer(f.Web, m.MACs(f.Web.MAC, f.App.MAC).IP(own, other), delivered(f.App), nil))
	}
	return steps
}

func badDiscovery(f family) []step {
	own, other, none := f.Web.IPv6, f.App.IPv6, netip.IPv6Unspecified()
	source, anothers := option(sourceMAC, 1, f.Web.MAC[:]...), option(sourceMAC, 1, f.App.MAC[:]...)
	good := message(f, frame.NeighborSolict, other, source)
	cut := other.AsSlice()[:15]
	all := netip.MustParseAddr("ff02::1")
	var steps []step
	for _, m := range []packet{
		good.TTL(64),
		good.TTL(254),
		message(f, frame.NeighborAdvert, own).TTL(64),
		message(f, frame.RouterSolicit, netip.Addr{}).TTL(64),
		good.ICMP(frame.NeighborSolict, 1, 0, other.AsSlice()),
		good.ICMP(frame.NeighborAdvert, 7, 0, own.AsSlice()),
		good.ICMP(frame.RouterSolicit, 1, 0, nil),
		good.ICMP(frame.NeighborSolict, 0, 0, cut),
		message(f, frame.NeighborSolict, all, source),
		message(f, frame.NeighborSolict, other, anothers),
		message(f, frame.NeighborSolict, other, option(nonce, 1), anothers),
		message(f, frame.NeighborAdvert, own, option(targetMAC, 1, f.App.MAC[:]...)),
		message(f, frame.NeighborSolict, other, option(sourceMAC, 2, f.Web.MAC[:]...)),
		message(f, frame.NeighborSolict, other, []byte{unknownOption, 0, 0, 0, 0, 0, 0, 0}),
		message(f, frame.NeighborSolict, other, source[:4]),
		message(f, frame.NeighborSolict, own, source).IP(none, netip.MustParseAddr("ff02::1:ff00:2")),
		raw(good.Fragments(8)[0]),
	} {
		steps = append(steps, fromContainer(f.Web, m, dropped(malformed), nil))
	}
	return append(steps, fromContainer(f.Web, good.TTL(64).MACs(f.Web.MAC, f.App.MAC).IP(own, other), dropped(malformed), nil))
}

// bags are messages that carry something else.
func bags(f family, toMany, toPeer verdict) []step {
	own, other := f.Web.IPv6, f.App.IPv6
	source := option(sourceMAC, 1, f.Web.MAC[:]...)
	var steps []step
	for _, m := range []frame.Frame{
		message(f, frame.NeighborSolict, other, option(unknownOption, 128)),
		message(f, frame.NeighborSolict, other, source, option(unknownOption, 1)),
		message(f, frame.NeighborSolict, other, option(nonce, 100)),
		message(f, frame.NeighborSolict, other, source, option(nonce, 1), option(nonce, 1)),
		message(f, frame.NeighborAdvert, own, option(unknownOption, 1)),
		message(f, frame.RouterSolicit, netip.Addr{}, option(unknownOption, 128)),
		message(f, frame.NeighborSolict, other, source).Extensions(frame.DestOptions),
	} {
		steps = append(steps,
			fromContainer(f.Web, m, toMany, nil),
			fromContainer(f.Web, m.MACs(f.Web.MAC, f.App.MAC).IP(own, other), toPeer, nil))
	}
	trailer := append(raw(message(f, frame.NeighborSolict, other, source).Bytes()), make(raw, 100)...)
	return append(steps, fromContainer(f.Web, trailer, toMany, nil))
}

// A short frame is padded; what lies behind the padding is a message.
func arpTrailer(f family) []step {
	who := frame.Between(f.Web.MAC, broadcast).ARP(frame.ARP{SenderMAC: f.Web.MAC, Sender: f.Web.IPv4.As4(), Target: f.App.IPv4.As4()}).Bytes()
	padded := func(to int) raw { return append(raw(bytes.Clone(who)), make(raw, to-len(who))...) }
	return []step{
		fromContainer(f.Web, raw(who), passed(), nil),
		fromContainer(f.Web, padded(60), passed(), nil),
		fromContainer(f.Web, padded(61), dropped(spoofedARP), nil),
		fromContainer(f.Web, padded(1000), dropped(spoofedARP), nil),
	}
}
