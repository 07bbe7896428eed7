// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

func TestParseBridgeRefusesBadValues(t *testing.T) {
	for _, c := range []struct{ key, value, want string }{
		{"foo", "bar", `option "foo": unknown; known are ` + model.OptICC},
		{model.OptICC, "maybe", "want true or false"},
		{model.OptGatewayMode4, "nut", "want nat, nat-unprotected, routed or isolated"},
		{model.OptHostBinding, "localhost", "want an address of the host"},
		{model.OptHostIPv4, "2001:db8::1", "want an IPv4 address"},
		{model.OptHostIPv6, "192.0.2.1", "want an IPv6 address"},
		{model.OptMTU, "67", "want 68 to 65535"},
		{model.OptMTU, "65536", "want 68 to 65535"},
		{model.OptMTU, "big", "want 68 to 65535"},
		{model.OptBridgeName, "a-name-of-sixteen", "1 to 15 bytes"},
		{model.OptBridgeName, "a/b", "without spaces"},
		{model.OptIfacePrefix, "", "other than"},
		{model.OptTrusted, "eth0::eth1", "separated by ':'"},
	} {
		_, err := parseBridge(newID(), map[string]string{c.key: c.value})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.key) {
			t.Errorf("%s=%s: got %v, want %q", c.key, c.value, err, c.want)
		}
	}
}

func TestParseBridgeTakesDockersOptions(t *testing.T) {
	got, err := parseBridge("0123456789abcdef", map[string]string{
		model.OptICC: "false", model.OptMasquerade: "0", model.OptHostBinding: "127.0.0.1", model.OptGatewayMode4: "routed",
		model.OptGatewayMode6: "isolated", model.OptMTU: "9000", model.OptHostIPv4: "192.0.2.7", model.OptHostIPv6: "2001:db8::7",
		model.OptTrusted: "wg0:eth1", model.OptInhibitIPv4: "true", model.OptIfacePrefix: "net",
	})
	want := model.Bridge{
		Name: "br-0123456789ab", HostBinding: netip.MustParseAddr("127.0.0.1"),
		GatewayMode4: model.GatewayRouted, GatewayMode6: model.GatewayIsolated, MTU: 9000,
		HostIPv4: netip.MustParseAddr("192.0.2.7"), HostIPv6: netip.MustParseAddr("2001:db8::7"),
		TrustedHostInterfaces: []string{"wg0", "eth1"}, InhibitIPv4: true, IfacePrefix: "net",
	}
	if diff := gocmp.Diff(want, got, addrs()...); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
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
		v4, v6, err := families(c.e4, c.e6, c.opts)
		if (err != nil) != c.bad || err == nil && (v4 != c.v4 || v6 != c.v6) {
			t.Errorf("%+v: got %t %t %v", c, v4, v6, err)
		}
	}
}

// member is an endpoint on a network of its own, for decisions about sandboxes.
func member(name, v4, v6 string, change func(*model.Network, *model.Endpoint)) attachment {
	n := &model.Network{ID: name, Name: name, Driver: model.DriverBridge}
	n.Bridge.GatewayMode4, n.Bridge.GatewayMode6 = model.GatewayNAT, model.GatewayNAT
	ep := &model.Endpoint{ID: "ep-" + name, NetworkID: name}
	if v4 != "" {
		ep.IPv4 = netip.MustParsePrefix(v4)
		n.IPv4 = &model.Subnet{Prefix: ep.IPv4.Masked(), Gateway: ep.IPv4.Masked().Addr().Next()}
	}
	if v6 != "" {
		ep.IPv6 = netip.MustParsePrefix(v6)
		n.IPv6 = &model.Subnet{Prefix: ep.IPv6.Masked(), Gateway: ep.IPv6.Masked().Addr().Next()}
	}
	if change != nil {
		change(n, ep)
	}
	return attachment{ep, n}
}

func internal(n *model.Network, _ *model.Endpoint) { n.Internal = true }

func TestElect(t *testing.T) {
	a4, b4 := member("a", "10.1.0.2/24", "", nil), member("b", "10.2.0.2/24", "", nil)
	c6 := member("c", "", "fd00:c::2/64", nil)
	d46 := member("d", "10.4.0.2/24", "fd00:d::2/64", nil)
	urgent := member("z", "10.5.0.2/24", "", func(_ *model.Network, ep *model.Endpoint) { ep.GwPriority = 1 })
	inner := member("0", "10.6.0.2/24", "fd00:6::2/64", internal)
	isolated := member("1", "10.7.0.2/24", "", func(n *model.Network, _ *model.Endpoint) { n.IPv4.Gateway = netip.Addr{} })
	for _, c := range []struct {
		all    []attachment
		v4, v6 string
	}{
		{nil, "", ""},
		{[]attachment{b4, a4}, "ep-a", ""},
		{[]attachment{a4, c6}, "ep-a", "ep-c"},
		{[]attachment{a4, c6, d46}, "ep-d", "ep-d"},
		{[]attachment{a4, d46, urgent}, "ep-z", "ep-d"},
		{[]attachment{inner, b4}, "ep-b", ""},
		{[]attachment{inner}, "", ""},
		{[]attachment{isolated, b4}, "ep-b", ""},
	} {
		g := elect(c.all)
		if g.v4.endpointID() != c.v4 || g.v6.endpointID() != c.v6 {
			t.Errorf("got %q and %q, want %q and %q", g.v4.endpointID(), g.v6.endpointID(), c.v4, c.v6)
		}
	}
}

func mode(m4, m6 model.GatewayMode, binding string) func(*model.Network, *model.Endpoint) {
	return func(n *model.Network, _ *model.Endpoint) {
		n.Bridge.GatewayMode4, n.Bridge.GatewayMode6 = m4, m6
		if binding != "" {
			n.Bridge.HostBinding = netip.MustParseAddr(binding)
		}
	}
}

func TestHostAddrs(t *testing.T) {
	const nat, routed = model.GatewayNAT, model.GatewayRouted
	v4, both, v6 := "10.1.0.2/24", "fd00:1::2/64", "fd00:1::2/64"
	for _, c := range []struct {
		name    string
		net     attachment
		hostIP  string
		listen6 bool
		want    []string
	}{
		{"both families", member("n", v4, both, nil), "", true, []string{"0.0.0.0", "::"}},
		{"IPv4 only, from the host by IPv6 too", member("n", v4, "", nil), "", true, []string{"0.0.0.0", "::"}},
		{"host without IPv6", member("n", v4, "", nil), "", false, []string{"0.0.0.0"}},
		{"IPv6 only", member("n", "", v6, nil), "", true, []string{"::"}},
		{"IPv6 only and an IPv4 address", member("n", "", v6, nil), "127.0.0.1", true, nil},
		{"one address", member("n", v4, both, nil), "127.0.0.1", true, []string{"127.0.0.1"}},
		{"one IPv6 address, IPv4 only", member("n", v4, "", nil), "::1", true, []string{"::1"}},
		{"default binding", member("n", v4, both, mode(nat, nat, "127.0.0.1")), "", true, []string{"127.0.0.1"}},
		{"routed", member("n", v4, both, mode(routed, routed, "")), "", true, nil},
		{"IPv6 routed", member("n", v4, both, mode(nat, routed, "")), "", true, []string{"0.0.0.0"}},
		{"internal", member("n", v4, both, internal), "", true, nil},
	} {
		spec := model.PortSpec{Port: model.Port{Num: 80, Proto: model.TCP}}
		if c.hostIP != "" {
			spec.HostIP = netip.MustParseAddr(c.hostIP)
		}
		var got []string
		for _, a := range hostAddrs(spec, elect([]attachment{c.net}), c.listen6) {
			got = append(got, a.String())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestDerivePorts(t *testing.T) {
	port := model.Port{Num: 80, Proto: model.TCP}
	on4 := model.PublishedPort{Port: port, HostIP: netip.IPv4Unspecified(), HostPort: 8080}
	on6 := model.PublishedPort{Port: port, HostIP: netip.IPv6Unspecified(), HostPort: 8080}
	sb := &model.Sandbox{Specs: []model.PortSpec{{Port: port}}, Published: []model.PublishedPort{on4, on6}}
	only4 := member("a", "10.1.0.2/24", "", nil)
	only6 := member("b", "", "fd00:b::2/64", nil)
	routed := member("r", "10.3.0.2/24", "", mode(model.GatewayRouted, model.GatewayNAT, ""))
	for _, c := range []struct {
		name string
		all  []attachment
		want map[string][]datapath.Port
	}{
		{"IPv6 through the host only", []attachment{only4}, map[string][]datapath.Port{
			"ep-a": {{PublishedPort: on4, Target: only4.ep.IPv4.Addr()}, {PublishedPort: on6, Target: only4.ep.IPv4.Addr(), HostOnly: true}},
		}},
		{"two gateways", []attachment{only4, only6}, map[string][]datapath.Port{
			"ep-a": {{PublishedPort: on4, Target: only4.ep.IPv4.Addr()}},
			"ep-b": {{PublishedPort: on6, Target: only6.ep.IPv6.Addr()}},
		}},
		{"routed beside the gateway", []attachment{only4, only6, routed}, map[string][]datapath.Port{
			"ep-a": {{PublishedPort: on4, Target: only4.ep.IPv4.Addr()}},
			"ep-b": {{PublishedPort: on6, Target: only6.ep.IPv6.Addr()}},
			"ep-r": {{PublishedPort: model.PublishedPort{Port: port}, Target: routed.ep.IPv4.Addr(), Routed: true}},
		}},
	} {
		got := derivePorts(sb, c.all)
		for _, a := range c.all {
			if diff := gocmp.Diff(c.want[a.ep.ID], got[a.ep.ID], addrs()...); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", c.name, a.ep.ID, diff)
			}
		}
	}
}

func TestKeepGivesEachPublicationItsNumber(t *testing.T) {
	port := model.Port{Num: 80, Proto: model.TCP}
	v4, v6 := netip.IPv4Unspecified(), netip.IPv6Unspecified()
	held := func(ip netip.Addr, n uint16) model.PublishedPort {
		return model.PublishedPort{Port: port, HostIP: ip, HostPort: n}
	}
	pub := func(first, last uint16, ips ...netip.Addr) publication {
		return publication{model.PortSpec{Port: port, HostPort: first, HostPortEnd: last}, ips}
	}
	all := []model.PublishedPort{held(v4, 8080), held(v4, 32768), held(v6, 32768)}
	kept, released, missing := keep(all, []publication{pub(0, 0, v4), pub(8080, 8080, v4)})
	if !slices.Equal(kept, all[:2]) || !slices.Equal(released, all[2:]) || len(missing) != 0 {
		t.Errorf("kept %v, released %v, missing %v", kept, released, missing)
	}
	kept, released, missing = keep(kept, []publication{pub(8080, 8080, v4), pub(0, 0, v4, v6)})
	want := []model.PortSpec{{Port: port, HostIP: v6, HostPort: 32768, HostPortEnd: 32768}}
	if !slices.Equal(kept, all[:2]) || len(released) != 0 || !slices.Equal(explicitSpecs(missing), want) {
		t.Errorf("kept %v, released %v, missing %v", kept, released, missing)
	}
}

func TestParseSignal(t *testing.T) {
	for s, want := range map[string]int{"": 15, "TERM": 15, "SIGKILL": 9, "10": 10, "hup": 0, "65": 0, "9x": 0} {
		got, err := parseSignal(s)
		if int(got) != want || (err == nil) != (want > 0) {
			t.Errorf("%q: got %d, %v, want %d", s, got, err, want)
		}
	}
}
