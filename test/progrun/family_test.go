// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"net/netip"

	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
	"github.com/fairway-project/fairway/userspace/model"
)

// family is the standard world in one of IPv4 and IPv6: what tables are made of.
type family struct {
	rig.World
	v6 bool
}

func families() map[string]family {
	return map[string]family{"ipv4": {rig.Standard(), false}, "ipv6": {rig.Standard(), true}}
}

func (f family) pick(v4, v6 string) netip.Addr {
	if f.v6 {
		return netip.MustParseAddr(v6)
	}
	return netip.MustParseAddr(v4)
}

// client is a machine on eth0's LAN, far one behind the router.
func (f family) client() netip.Addr { return f.pick("198.51.100.77", "2001:db8:1::77") }
func (f family) far() netip.Addr    { return f.pick("8.8.8.8", "2001:4860:4860::8888") }

// narrow is behind a route with an MTU of 1400, refused behind an unreachable one.
func (f family) narrow() netip.Addr  { return f.pick("192.0.2.5", "2001:db8:14::5") }
func (f family) refused() netip.Addr { return f.pick("10.66.1.1", "2001:db8:66::1") }

// tunnel is behind a device that is no uplink.
func (f family) tunnel() netip.Addr { return f.pick("10.9.0.7", "2001:db8:9::7") }

func (f family) host() netip.Addr               { return f.Eth0.Addr(f.v6) }
func (f family) addr(e rig.Endpoint) netip.Addr { return e.Addr(f.v6) }

func (f family) network(e rig.Endpoint) rig.Network {
	if e.Network == f.Net2.Slot {
		return f.Net2
	}
	return f.Net1
}

// sends is a frame from a container by way of its gateway.
func (f family) sends(e rig.Endpoint, to netip.Addr) frame.Frame {
	return frame.Between(e.MAC, f.network(e).MAC).IP(f.addr(e), to)
}

// arrives is a frame on eth0.
func (f family) arrives(from, to netip.Addr) frame.Frame {
	return frame.Between(f.RouterMAC, f.Eth0.MAC).IP(from, to)
}

// into is what becomes of a frame on its way into a container.
func (f family) into(e rig.Endpoint, in frame.Frame) frame.Frame {
	return in.MACs(f.network(e).MAC, e.MAC).Hop()
}

// flagOf picks the family's of two flags.
func flagOf[F any](f family, v4, v6 F) F {
	if f.v6 {
		return v6
	}
	return v4
}

const (
	protoTCP  = model.TCP
	protoUDP  = model.UDP
	protoSCTP = model.SCTP
)
