// SPDX-License-Identifier: Apache-2.0

package prog

import (
	"net/netip"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/testrun"
)

// kind is what a path does with the flow table.
type kind string

const (
	hit     kind = "hit"
	miss    kind = "miss"
	opens   kind = "new"
	without kind = "none"
)

// path is one way through a program.
type path struct {
	name string
	kind kind
	run  series
	// first opens the flows that run's packets are of.
	first   series
	action  int32
	verdict object.DatapathVerdict
}

// series is a packet through a program over and over, every time of another flow:
// the outside's address varies in its last 16 bits.
type series struct {
	testrun.Run
	outside side
}

// side of a packet at which the outside's address is; same is none, and all
// packets are alike.
type side int

const (
	same side = iota
	source
	destination
)

// offset of the last 16 bits of the outside's address in a frame.
func (s side) offset(v6 bool) int16 {
	switch {
	case s == source && v6:
		return 14 + 8 + 14
	case s == source:
		return 14 + 12 + 2
	case v6:
		return 14 + 24 + 14
	}
	return 14 + 16 + 2
}

// published is the port that is open in the world, target what is behind it. served is a
// service's.
const (
	published = 8080
	served    = 20000
	target    = 80
)

// builder makes frames of one family in the standard world.
type builder struct {
	testrun.World
	v6           bool
	far, visitor netip.Addr
}

func newBuilder(v6 bool) builder {
	b := builder{World: testrun.Standard(), v6: v6}
	b.far, b.visitor = netip.MustParseAddr("8.8.0.0"), netip.MustParseAddr("100.64.0.0")
	if v6 {
		b.far, b.visitor = netip.MustParseAddr("2001:4860:4860::"), netip.MustParseAddr("2001:db8:99::")
	}
	return b
}

// leaves is a frame that the container web sends to the outside.
func (b builder) leaves(to netip.Addr) frame.Frame {
	return frame.Between(b.Web.MAC, b.Net1.MAC).IP(b.Web.Addr(b.v6), to)
}

// arrives is a frame from outside to the host's address.
func (b builder) arrives(from netip.Addr) frame.Frame {
	return frame.Between(b.RouterMAC, b.Eth0.MAC).IP(from, b.Eth0.Addr(b.v6))
}

func fromWeb(f frame.Frame, outside side) series {
	return series{testrun.Run{Program: testrun.FromContainer, Device: "web", Frame: f.Bytes()}, outside}
}

func fromEth0(f frame.Frame, outside side) series {
	return series{testrun.Run{Program: testrun.FromUplink, Device: "eth0", Frame: f.Bytes()}, outside}
}

const (
	redirected = object.DatapathVerdictVERDICT_REDIRECT
	passed     = object.DatapathVerdictVERDICT_PASS
	dropped    = object.DatapathVerdictVERDICT_DROP
)

// paths of one family, by program.
func paths(v6 bool) []path {
	b := newBuilder(v6)
	out := b.leaves(b.far)
	syn := fromWeb(out.TCP(40000, 443, "S"), destination)
	visit := fromEth0(b.arrives(b.visitor).TCP(50000, published, "S"), source)
	use := fromEth0(b.arrives(b.visitor).TCP(50000, served, "S"), source)
	peer := frame.Between(b.Web.MAC, b.App.MAC).IP(b.Web.Addr(v6), b.App.Addr(v6)).TCP(1, 2, "A")
	own := frame.Between(b.Eth0.MAC, b.RouterMAC).IP(b.Eth0.Addr(v6), b.far).TCP(40001, 443, "A")
	return []path{
		{"masqueraded", hit, fromWeb(out.TCP(40000, 443, "A"), destination), syn, testrun.Redirect, redirected},
		{"published", hit, fromWeb(b.leaves(b.visitor).TCP(target, 50000, "A"), destination), visit, testrun.Redirect, redirected},
		{"refused", miss, fromWeb(out.TCP(40000, 443, "A"), destination), series{}, testrun.Drop, dropped},
		{"masqueraded", opens, syn, series{}, testrun.Redirect, redirected},
		{"peer", without, fromWeb(peer, same), series{}, testrun.Redirect, redirected},
		{"to-gateway", without, fromWeb(b.leaves(b.Net1.Gateway(v6)).TCP(40000, 443, "A"), same), series{}, testrun.Next, passed},
		{"masqueraded", hit, fromEth0(b.arrives(b.far).TCP(443, 40000, "A"), source), syn, testrun.Redirect, redirected},
		{"published", hit, fromEth0(b.arrives(b.visitor).TCP(50000, published, "A"), source), visit, testrun.Redirect, redirected},
		{"for-the-host", miss, fromEth0(b.arrives(b.visitor).TCP(50000, 22, "A"), source), series{}, testrun.Next, passed},
		{"published", opens, visit, series{}, testrun.Redirect, redirected},
		{aService, opens, use, series{}, testrun.Redirect, redirected},
		{largeService, opens, use, series{}, testrun.Redirect, redirected},
		{manyServices, opens, use, series{}, testrun.Redirect, redirected},
		{"of-the-host", without, series{testrun.Run{Program: testrun.ToUplink, Device: "eth0", Frame: own.Bytes()}, same}, series{}, testrun.Next, passed},
		{"of-the-host", without, series{testrun.Run{Program: testrun.ToContainer, Device: "web", Frame: peer.Bytes()}, same}, series{}, testrun.Next, passed},
	}
}
