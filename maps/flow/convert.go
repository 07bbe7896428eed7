// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/wire"
)

func key4(k Key) object.DatapathFlow4Key {
	return object.DatapathFlow4Key{
		Saddr: wire.Word(k.Src.Addr()), Daddr: wire.Word(k.Dst.Addr()),
		Sport: wire.Port(k.Src.Port()), Dport: wire.Port(k.Dst.Port()),
		Zone: uint16(k.Zone), Proto: k.Proto, Echo: uint8(k.Echo),
	}
}

func key6(k Key) object.DatapathFlow6Key {
	return object.DatapathFlow6Key{
		Saddr: wire.Words(k.Src.Addr()), Daddr: wire.Words(k.Dst.Addr()),
		Sport: wire.Port(k.Src.Port()), Dport: wire.Port(k.Dst.Port()),
		Zone: uint16(k.Zone), Proto: k.Proto, Echo: uint8(k.Echo),
	}
}

func fromKey4(k *object.DatapathFlow4Key) Key {
	return Key{
		Src: addrPort4(k.Saddr, k.Sport), Dst: addrPort4(k.Daddr, k.Dport),
		Zone: Zone(k.Zone), Proto: k.Proto, Echo: Echo(k.Echo),
	}
}

func fromKey6(k *object.DatapathFlow6Key) Key {
	return Key{
		Src: addrPort6(k.Saddr, k.Sport), Dst: addrPort6(k.Daddr, k.Dport),
		Zone: Zone(k.Zone), Proto: k.Proto, Echo: Echo(k.Echo),
	}
}

func from4(k *object.DatapathFlow4Key, v *object.DatapathFlow4) Half {
	h := Half{
		Key:    fromKey4(k),
		NATSrc: addrPort4(v.Saddr, v.Flow.Sport), NATDst: addrPort4(v.Daddr, v.Flow.Dport),
		Begun: begun(k.Proto, v.Flow.TcpAck),
	}
	h.LastSeen, h.State, h.Flags = v.Flow.LastSeen, State(v.Flow.State), Flags(v.Flow.Flags)
	h.Action, h.RouteGeneration = Action(v.Flow.Action), v.Flow.RouteGeneration
	h.OutIndex, h.TwinZone = outOrTwin(h.Flags, v.Flow.Oif)
	h.Endpoint, h.EndpointGeneration, h.Netfilter = v.Flow.Endpoint, v.Flow.EndpointGeneration, v.Flow.Netfilter
	h.NextHop = v.Flow.Nexthop
	return h
}

func from6(k *object.DatapathFlow6Key, v *object.DatapathFlow6) Half {
	h := Half{
		Key:    fromKey6(k),
		NATSrc: addrPort6(v.Saddr, v.Flow.Sport), NATDst: addrPort6(v.Daddr, v.Flow.Dport),
		Begun: begun(k.Proto, v.Flow.TcpAck),
	}
	h.LastSeen, h.State, h.Flags = v.Flow.LastSeen, State(v.Flow.State), Flags(v.Flow.Flags)
	h.Action, h.RouteGeneration = Action(v.Flow.Action), v.Flow.RouteGeneration
	h.OutIndex, h.TwinZone = outOrTwin(h.Flags, v.Flow.Oif)
	h.Endpoint, h.EndpointGeneration, h.Netfilter = v.Flow.Endpoint, v.Flow.EndpointGeneration, v.Flow.Netfilter
	h.NextHop = v.Flow.Nexthop
	return h
}

func to4(h *Half) object.DatapathFlow4 {
	v := object.DatapathFlow4{Saddr: wire.Word(h.NATSrc.Addr()), Daddr: wire.Word(h.NATDst.Addr())}
	v.Flow.TcpAck = h.Begun
	v.Flow.LastSeen, v.Flow.State, v.Flow.Flags = h.LastSeen, uint32(h.State), uint8(h.Flags)
	v.Flow.Action, v.Flow.Oif, v.Flow.RouteGeneration = uint8(h.Action), h.OutIndex|uint32(h.TwinZone), h.RouteGeneration
	v.Flow.Endpoint, v.Flow.EndpointGeneration, v.Flow.Netfilter = h.Endpoint, h.EndpointGeneration, h.Netfilter
	v.Flow.Nexthop = h.NextHop
	v.Flow.Sport, v.Flow.Dport = wire.Port(h.NATSrc.Port()), wire.Port(h.NATDst.Port())
	return v
}

func to6(h *Half) object.DatapathFlow6 {
	v := object.DatapathFlow6{Saddr: wire.Words(h.NATSrc.Addr()), Daddr: wire.Words(h.NATDst.Addr())}
	v.Flow.TcpAck = h.Begun
	v.Flow.LastSeen, v.Flow.State, v.Flow.Flags = h.LastSeen, uint32(h.State), uint8(h.Flags)
	v.Flow.Action, v.Flow.Oif, v.Flow.RouteGeneration = uint8(h.Action), h.OutIndex|uint32(h.TwinZone), h.RouteGeneration
	v.Flow.Endpoint, v.Flow.EndpointGeneration, v.Flow.Netfilter = h.Endpoint, h.EndpointGeneration, h.Netfilter
	v.Flow.Nexthop = h.NextHop
	v.Flow.Sport, v.Flow.Dport = wire.Port(h.NATSrc.Port()), wire.Port(h.NATDst.Port())
	return v
}

// outOrTwin tells what oif is. A half whose twin isn't outside's delivers, and has no device.
func outOrTwin(f Flags, oif uint32) (out uint32, twin Zone) {
	if f&object.DatapathFlowFlagFLOW_TWIN_WORLD != 0 {
		return oif, object.DatapathZoneZONE_WORLD
	}
	return 0, Zone(oif)
}

// begun is what bpf/flow.h has in the place of TCP's acknowledgement.
func begun(proto uint8, tcpAck uint32) uint32 {
	if proto == unix.IPPROTO_TCP {
		return 0
	}
	return tcpAck
}

// ExpiredKey returns k as package expired wants it: an IPv4 key lies in the
// first bytes of the IPv6 one.
func ExpiredKey(k Key) object.DatapathFlow6Key {
	if k.IPv6() {
		return key6(k)
	}
	var out object.DatapathFlow6Key
	*(*object.DatapathFlow4Key)(unsafe.Pointer(&out)) = key4(k)
	return out
}

func addrPort4(w uint32, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(wire.Addr4(w), wire.Port(port))
}

func addrPort6(w [4]uint32, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(wire.Addr6(w), wire.Port(port))
}
