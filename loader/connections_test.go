// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/maps/endpoint"
	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/object"
)

// theNetwork is that of the endpoint in slot 3.
const theNetwork = 5

// inhabit puts the endpoint of all connections into its slot.
func inhabit(t *testing.T, l *Loader) {
	t.Helper()
	e := endpoint.Endpoint{
		Index: 100, IPv4: netip.MustParseAddr("172.17.0.2"), IPv6: netip.MustParseAddr("fd00::2"), Generation: 7, Network: theNetwork, Ready: true,
	}
	if err := endpoint.New(l.Maps()).Put(3, e); err != nil {
		t.Fatal(err)
	}
}

// connection returns both halves of a masqueraded one of the endpoint in slot 3.
func connection(v6 bool, n int, proto uint8) []flow.Half {
	inside, outside, hosts := "172.17.0.2", "198.51.100.9", "192.0.2.1"
	if v6 {
		inside, outside, hosts = "fd00::2", "2001:db8:9::9", "2001:db8::1"
	}
	at := func(a string, port int) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr(a), uint16(port))
	}
	origin := flow.Half{
		Key:    flow.Key{Src: at(inside, 1000+n), Dst: at(outside, 80), Zone: theNetwork, Proto: proto},
		NATSrc: at(hosts, 20000+n), NATDst: at(outside, 80),
		LastSeen: uint32(5000 + n), State: object.DatapathFlowStateFLOW_SEEN, Action: object.DatapathFlowActionFLOW_FORWARD,
		Flags:    object.DatapathFlowFlagFLOW_ORIGIN | object.DatapathFlowFlagFLOW_TWIN_WORLD | object.DatapathFlowFlagFLOW_REWRITE,
		OutIndex: 4, Endpoint: 3, EndpointGeneration: 7,
	}
	reply := origin
	reply.Key = flow.Key{Src: origin.NATDst, Dst: origin.NATSrc, Zone: object.DatapathZoneZONE_WORLD, Proto: proto}
	reply.NATSrc, reply.NATDst = origin.Dst, origin.Src
	reply.Flags, reply.Action = object.DatapathFlowFlagFLOW_REWRITE, object.DatapathFlowActionFLOW_DELIVER
	reply.OutIndex, reply.TwinZone = 0, theNetwork
	return []flow.Half{reply, origin}
}

// connections are of each family, TCP, UDP and echo.
func connections(n int) (all []flow.Half) {
	for _, v6 := range []bool{false, true} {
		for i := range n {
			all = append(all, connection(v6, i, []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP}[i%2])...)
		}
		echo := connection(v6, n, unix.IPPROTO_ICMP)
		if v6 {
			echo = connection(v6, n, unix.IPPROTO_ICMPV6)
		}
		for i := range echo {
			h := &echo[i]
			h.Echo = object.DatapathFlowEchoFLOW_ECHO_REPLY
			if h.Origin() {
				h.Echo = object.DatapathFlowEchoFLOW_ECHO_REQUEST
			}
		}
		all = append(all, echo...)
	}
	return all
}
