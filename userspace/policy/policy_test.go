// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

var compare = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

// change alters an attachment that a test begins with.
type change func(*model.Network, *model.Endpoint)

// member is an endpoint on a network of its own.
func member(name, v4, v6 string, changes ...change) Attachment {
	n := &model.Network{ID: name, Name: name, Driver: model.DriverBridge, Bridge: defaults(name)}
	ep := &model.Endpoint{ID: "ep-" + name, NetworkID: name}
	if v4 != "" {
		ep.IPv4 = netip.MustParsePrefix(v4)
		n.IPv4 = &model.Subnet{Prefix: ep.IPv4.Masked(), Gateway: ep.IPv4.Masked().Addr().Next()}
	}
	if v6 != "" {
		ep.IPv6 = netip.MustParsePrefix(v6)
		n.IPv6 = &model.Subnet{Prefix: ep.IPv6.Masked(), Gateway: ep.IPv6.Masked().Addr().Next()}
	}
	for _, c := range changes {
		c(n, ep)
	}
	return Attachment{ep, n}
}

func internal(n *model.Network, _ *model.Endpoint) { n.Internal = true }

func priority(p int) change { return func(_ *model.Network, ep *model.Endpoint) { ep.GwPriority = p } }

func modes(v4, v6 model.GatewayMode) change {
	return func(n *model.Network, _ *model.Endpoint) { n.Bridge.GatewayMode4, n.Bridge.GatewayMode6 = v4, v6 }
}

func binding(addr string) change {
	return func(n *model.Network, _ *model.Endpoint) { n.Bridge.HostBinding = netip.MustParseAddr(addr) }
}

const (
	nat, routed = model.GatewayNAT, model.GatewayRouted
	v4, v6      = "10.1.0.2/24", "fd00:1::2/64"
)

var web = model.Port{Num: 80, Proto: model.TCP}

// What a container's attachments and its port 80, published on hostIP or everywhere,
// come to: the gateways by ID, the host addresses, and what each endpoint carries.
func TestPublication(t *testing.T) {
	isolated := func(n *model.Network, _ *model.Endpoint) { n.IPv4.Gateway = netip.Addr{} }
	for _, c := range []struct {
		name     string
		all      []Attachment
		hostIP   string
		without6 bool
		gateways string
		on       string
		carried  string
	}{
		{name: "none", gateways: "-,-"},
		{name: "by name", all: []Attachment{member("b", v4, ""), member("a", "10.2.0.2/24", "")},
			gateways: "ep-a,-", on: "0.0.0.0 ::", carried: "ep-a:10.2.0.2 ep-a:10.2.0.2=host"},
		{name: "a family each", all: []Attachment{member("a", v4, ""), member("c", "", v6)},
			gateways: "ep-a,ep-c", on: "0.0.0.0 ::", carried: "ep-a:10.1.0.2 ep-c:fd00:1::2"},
		{name: "both families first", all: []Attachment{member("a", "10.2.0.2/24", ""), member("d", v4, v6)},
			gateways: "ep-d,ep-d", on: "0.0.0.0 ::", carried: "ep-d:10.1.0.2 ep-d:fd00:1::2"},
		{name: "priority", all: []Attachment{member("d", v4, v6), member("z", "10.2.0.2/24", "", priority(1))},
			gateways: "ep-z,ep-d", on: "0.0.0.0 ::", carried: "ep-z:10.2.0.2 ep-d:fd00:1::2"},
		{name: "an internal one is none", all: []Attachment{member("0", "10.2.0.2/24", v6, internal, priority(9)), member("b", v4, "")},
			gateways: "ep-b,-", on: "0.0.0.0 ::", carried: "ep-b:10.1.0.2 ep-b:10.1.0.2=host"},
		{name: "internal only", all: []Attachment{member("0", v4, v6, internal)}, gateways: "-,-"},
		{name: "an isolated one is none", all: []Attachment{member("1", "10.2.0.2/24", "", isolated), member("b", v4, "")},
			gateways: "ep-b,-", on: "0.0.0.0 ::", carried: "ep-b:10.1.0.2 ep-b:10.1.0.2=host"},
		{name: "host without IPv6", all: []Attachment{member("n", v4, "")}, without6: true, gateways: "ep-n,-", on: "0.0.0.0", carried: "ep-n:10.1.0.2"},
		{name: "IPv6 only", all: []Attachment{member("n", "", v6)}, gateways: "-,ep-n", on: "::", carried: "ep-n:fd00:1::2"},
		{name: "IPv6 only and an IPv4 address", all: []Attachment{member("n", "", v6)}, hostIP: "127.0.0.1", gateways: "-,ep-n"},
		{name: "one address", all: []Attachment{member("n", v4, v6)}, hostIP: "127.0.0.1", gateways: "ep-n,ep-n", on: "127.0.0.1", carried: "ep-n:10.1.0.2"},
		{name: "one IPv6 address, IPv4 only", all: []Attachment{member("n", v4, "")}, hostIP: "::1", without6: true,
			gateways: "ep-n,-", on: "::1", carried: "ep-n:10.1.0.2=host"},
		{name: "default binding", all: []Attachment{member("n", v4, v6, binding("127.0.0.1"))}, gateways: "ep-n,ep-n", on: "127.0.0.1", carried: "ep-n:10.1.0.2"},
		{name: "unprotected", all: []Attachment{member("n", v4, "", modes(model.GatewayNATUnprotected, nat))},
			gateways: "ep-n,-", on: "0.0.0.0 ::", carried: "ep-n:10.1.0.2 ep-n:10.1.0.2=host"},
		{name: "routed", all: []Attachment{member("n", v4, v6, modes(routed, routed))}, gateways: "ep-n,ep-n",
			carried: "ep-n:10.1.0.2=routed ep-n:fd00:1::2=routed"},
		{name: "IPv6 routed", all: []Attachment{member("n", v4, v6, modes(nat, routed))}, gateways: "ep-n,ep-n", on: "0.0.0.0",
			carried: "ep-n:10.1.0.2 ep-n:fd00:1::2=routed"},
		{name: "routed, one family's address", all: []Attachment{member("n", v4, v6, modes(routed, routed))}, hostIP: "127.0.0.1", gateways: "ep-n,ep-n",
			carried: "ep-n:10.1.0.2=routed"},
		{name: "routed beside the gateway", all: []Attachment{member("a", v4, ""), member("r", "10.3.0.2/24", "", modes(routed, nat))},
			gateways: "ep-a,-", on: "0.0.0.0 ::", carried: "ep-a:10.1.0.2 ep-a:10.1.0.2=host ep-r:10.3.0.2=routed"},
		{name: "routed and internal", all: []Attachment{member("r", v4, "", modes(routed, nat), internal)}, gateways: "-,-"},
	} {
		spec := model.PortSpec{Port: web}
		if c.hostIP != "" {
			spec.HostIP = netip.MustParseAddr(c.hostIP)
		}
		g := Elect(c.all)
		if got := gatewayID(g.V4) + "," + gatewayID(g.V6); got != c.gateways {
			t.Errorf("%s: gateways %s, want %s", c.name, got, c.gateways)
		}
		var on, carried []string
		for _, a := range HostAddresses(spec, g, !c.without6) {
			on = append(on, a.String())
			if id, p := Carrier(model.PublishedPort{Port: web, HostIP: a, HostPort: 8080}, g); id != "" {
				carried = append(carried, portText(id, p))
			}
		}
		// Twice the same opening is one.
		for _, a := range c.all {
			for _, p := range Routed(a.Network, a.Endpoint.IPv4.Addr(), a.Endpoint.IPv6.Addr(), Openings([]model.PortSpec{spec, spec})) {
				carried = append(carried, portText(a.Endpoint.ID, p))
			}
		}
		if got := strings.Join(on, " "); got != c.on {
			t.Errorf("%s: published on %q, want %q", c.name, got, c.on)
		}
		if got := strings.Join(carried, " "); got != c.carried {
			t.Errorf("%s: carried %q, want %q", c.name, got, c.carried)
		}
	}
}

func gatewayID(a *Attachment) string {
	if a == nil {
		return "-"
	}
	return a.Endpoint.ID
}

func portText(id string, p datapath.Port) string {
	text := id + ":" + p.Target.String()
	switch {
	case p.HostOnly:
		text += "=host"
	case p.Routed:
		text += "=routed"
	}
	return text
}

// The options of bridge networks: as they are read of a network that is to be made
// (strict), and of one that a Docker Engine has made. Want is nil for a refusal.
func TestBridgeOptions(t *testing.T) {
	with := func(f func(*model.Bridge)) *model.Bridge {
		b := defaults("br-0123456789ab")
		if f != nil {
			f(&b)
		}
		return &b
	}
	as := func(f func(*model.Bridge)) [2]*model.Bridge { return [2]*model.Bridge{with(f), with(f)} }
	only := func(f func(*model.Bridge)) [2]*model.Bridge { return [2]*model.Bridge{nil, with(f)} }
	var refused [2]*model.Bridge
	for _, c := range []struct {
		key, value string
		want       [2]*model.Bridge
		why        string
	}{
		{model.OptICC, "false", as(func(b *model.Bridge) { b.ICC = false }), ""},
		{model.OptICC, "maybe", refused, "want true or false"},
		{model.OptMasquerade, "0", as(func(b *model.Bridge) { b.Masquerade = false }), ""},
		{model.OptInhibitIPv4, "true", as(func(b *model.Bridge) { b.InhibitIPv4 = true }), ""},
		{model.OptEnableIPv4, "false", as(nil), ""},
		{model.OptEnableIPv6, "true", as(nil), ""},
		{model.OptGatewayMode4, "routed", as(func(b *model.Bridge) { b.GatewayMode4 = routed }), ""},
		{model.OptGatewayMode4, "", as(nil), ""},
		{model.OptGatewayMode4, "nut", refused, "want nat, nat-unprotected, routed or isolated"},
		{model.OptGatewayMode6, "isolated", as(func(b *model.Bridge) { b.GatewayMode6 = model.GatewayIsolated }), ""},
		{model.OptMTU, "9000", as(func(b *model.Bridge) { b.MTU = 9000 }), ""},
		{model.OptMTU, "0", as(nil), ""},
		{model.OptMTU, "68", as(func(b *model.Bridge) { b.MTU = 68 }), ""},
		{model.OptMTU, "67", only(func(b *model.Bridge) { b.MTU = 67 }), "want 68 to 65535"},
		{model.OptMTU, "65536", only(func(b *model.Bridge) { b.MTU = 65536 }), "want 68 to 65535"},
		{model.OptMTU, "big", refused, "want 68 to 65535"},
		{model.OptHostBinding, "127.0.0.1", as(func(b *model.Bridge) { b.HostBinding = netip.MustParseAddr("127.0.0.1") }), ""},
		{model.OptHostBinding, "0.0.0.0", as(nil), ""},
		{model.OptHostBinding, "", only(nil), "want an address of the host"},
		{model.OptHostBinding, "localhost", refused, "want an address of the host"},
		{model.OptHostBinding, "fe80::1%eth0", refused, "want an address of the host"},
		{model.OptHostIPv4, "192.0.2.7", as(func(b *model.Bridge) { b.HostIPv4 = netip.MustParseAddr("192.0.2.7") }), ""},
		{model.OptHostIPv4, "2001:db8::1", only(func(b *model.Bridge) { b.HostIPv4 = netip.MustParseAddr("2001:db8::1") }), "want an IPv4 address"},
		{model.OptHostIPv6, "2001:db8::7", as(func(b *model.Bridge) { b.HostIPv6 = netip.MustParseAddr("2001:db8::7") }), ""},
		{model.OptHostIPv6, "::ffff:192.0.2.1", only(func(b *model.Bridge) { b.HostIPv6 = netip.MustParseAddr("192.0.2.1") }), "want an IPv6 address"},
		{model.OptTrusted, "wg0:eth1", as(func(b *model.Bridge) { b.TrustedHostInterfaces = []string{"wg0", "eth1"} }), ""},
		{model.OptTrusted, "eth0::eth1", only(func(b *model.Bridge) { b.TrustedHostInterfaces = []string{"eth0", "eth1"} }), "separated by ':'"},
		{model.OptIfacePrefix, "net", as(func(b *model.Bridge) { b.IfacePrefix = "net" }), ""},
		{model.OptIfacePrefix, "", only(func(b *model.Bridge) { b.IfacePrefix = "" }), "want a device name prefix"},
		{model.OptIfacePrefix, "lo", only(func(b *model.Bridge) { b.IfacePrefix = "lo" }), "other than"},
		{model.OptBridgeName, "mine", as(func(b *model.Bridge) { b.Name = "mine" }), ""},
		{model.OptBridgeName, "", only(nil), "1 to 15 bytes"},
		{model.OptBridgeName, "a-name-of-sixteen", only(func(b *model.Bridge) { b.Name = "a-name-of-sixteen" }), "1 to 15 bytes"},
		{model.OptBridgeName, "a/b", only(func(b *model.Bridge) { b.Name = "a/b" }), "without spaces"},
		{"com.docker.network.foo", "bar", only(nil), `option "com.docker.network.foo": unknown; known are ` + model.OptICC},
		{model.OptDefaultBridge, "true", only(func(b *model.Bridge) { b.Name, b.Default = "docker0", true }), "unknown"},
	} {
		for i, read := range []func(string, map[string]string) (model.Bridge, error){ParseBridge, ReadBridge} {
			got, err := read("0123456789abcdef", map[string]string{c.key: c.value})
			name := []string{"to be made", "Docker's"}[i]
			switch want := c.want[i]; {
			case want == nil:
				if err == nil || !strings.Contains(err.Error(), c.why) || !strings.Contains(err.Error(), c.key) {
					t.Errorf("%s: %s=%s: %v, want %q", name, c.key, c.value, err, c.why)
				}
			case err != nil:
				t.Errorf("%s: %s=%s: %v", name, c.key, c.value, err)
			default:
				if diff := cmp.Diff(*want, got, compare); diff != "" {
					t.Errorf("%s: %s=%s (-want +got):\n%s", name, c.key, c.value, diff)
				}
			}
		}
	}
	b, err := ReadBridge("0123456789abcdef", map[string]string{model.OptDefaultBridge: "true", model.OptMasquerade: "false"})
	if err != nil || !b.Masquerade {
		t.Errorf("the predefined network isn't masqueraded: %v", err)
	}
}

func TestFamilies(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		e4, e6 *bool
		opts   map[string]string
		v4, v6 bool
		bad    bool
	}{
		{nil, nil, nil, true, false, false},
		{nil, &yes, nil, true, true, false},
		{&no, &yes, nil, false, true, false},
		{nil, nil, map[string]string{model.OptEnableIPv4: "false", model.OptEnableIPv6: "true"}, false, true, false},
		{&yes, nil, map[string]string{model.OptEnableIPv4: "false"}, true, false, false},
		{&no, nil, nil, false, false, true},
		{nil, nil, map[string]string{model.OptEnableIPv6: "perhaps"}, true, false, true},
	} {
		v4, v6, err := Families(c.e4, c.e6, c.opts)
		if (err != nil) != c.bad || err == nil && (v4 != c.v4 || v6 != c.v6) {
			t.Errorf("%+v: got %t %t %v", c, v4, v6, err)
		}
	}
}

func TestCombinations(t *testing.T) {
	for _, c := range []struct {
		mode4, mode6     model.GatewayMode
		mtu              int
		internal, v4, v6 bool
		why              string
	}{
		{nat, nat, 1280, false, true, true, ""},
		{nat, nat, 1279, false, true, false, ""},
		{nat, nat, 1279, false, true, true, "IPv6 wants at least 1280"},
		{model.GatewayIsolated, nat, 1500, true, true, false, ""},
		{model.GatewayIsolated, nat, 1500, false, true, false, "only for --internal"},
		{nat, model.GatewayIsolated, 1500, false, true, true, "only for --internal"},
		{nat, model.GatewayIsolated, 1500, false, true, false, ""},
	} {
		err := CheckBridge(model.Bridge{GatewayMode4: c.mode4, GatewayMode6: c.mode6, MTU: c.mtu}, c.internal, c.v4, c.v6)
		if (err != nil) != (c.why != "") || err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestOverlap(t *testing.T) {
	n := func(id, v4, v6 string) *model.Network {
		out := &model.Network{ID: id, Name: "net-" + id}
		for text, s := range map[string]**model.Subnet{v4: &out.IPv4, v6: &out.IPv6} {
			if text != "" {
				*s = &model.Subnet{Prefix: netip.MustParsePrefix(text)}
			}
		}
		return out
	}
	have := []*model.Network{n("a", "10.1.0.0/16", ""), n("b", "10.2.0.0/24", "fd00:b::/64")}
	for _, c := range []struct {
		n   *model.Network
		why string
	}{
		{n("c", "10.3.0.0/16", "fd00:c::/64"), ""},
		{n("a", "10.1.0.0/16", ""), ""},
		{n("a", "10.0.0.0/8", ""), "network net-a: subnet 10.0.0.0/8 overlaps with 10.2.0.0/24 of network net-b"},
		{n("c", "10.1.2.0/24", ""), "overlaps with 10.1.0.0/16 of network net-a"},
		{n("c", "", "fd00:b::/96"), "overlaps with fd00:b::/64 of network net-b"},
	} {
		err := Overlap(c.n, slices.Values(have))
		if (err != nil) != (c.why != "") || err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s %v: %v, want %q", c.n.ID, subnets(c.n), err, c.why)
		}
	}
}
