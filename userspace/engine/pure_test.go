// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

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

func routes(n *model.Network, _ *model.Endpoint) { n.Bridge.GatewayMode4 = model.GatewayRouted }

func TestDerivePorts(t *testing.T) {
	port := model.Port{Num: 80, Proto: model.TCP}
	on4 := model.PublishedPort{Port: port, HostIP: netip.IPv4Unspecified(), HostPort: 8080}
	on6 := model.PublishedPort{Port: port, HostIP: netip.IPv6Unspecified(), HostPort: 8080}
	sb := &model.Sandbox{Specs: []model.PortSpec{{Port: port}}, Published: []model.PublishedPort{on4, on6}}
	only4 := member("a", "10.1.0.2/24", "", nil)
	only6 := member("b", "", "fd00:b::2/64", nil)
	routed := member("r", "10.3.0.2/24", "", routes)
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
