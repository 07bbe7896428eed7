// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/docker/client"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
)

// What is in testdata an engine 20.10.24 with --iptables=false answered.

var compare = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmpopts.EquateEmpty(), cmpopts.IgnoreTypes(time.Time{}),
}

func read[T any](t *testing.T, name string) (v T) {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func network(t *testing.T, name string, bridgeAddrs ...string) Network {
	t.Helper()
	var addrs []netip.Prefix
	for _, a := range bridgeAddrs {
		addrs = append(addrs, netip.MustParsePrefix(a))
	}
	n, err := BridgeNetwork(read[client.Network](t, "network-"+name+".json"), addrs)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNetworks(t *testing.T) {
	std := model.Bridge{
		ICC: true, Masquerade: true, GatewayMode4: model.GatewayNAT, GatewayMode6: model.GatewayNAT,
		MTU: 1500, IfacePrefix: "eth",
	}
	with := func(change func(*model.Bridge)) model.Bridge {
		b := std
		change(&b)
		return b
	}
	subnet := func(prefix, gateway string) *model.Subnet {
		return &model.Subnet{Prefix: netip.MustParsePrefix(prefix), Gateway: netip.MustParseAddr(gateway)}
	}
	mynet := subnet("10.50.0.0/16", "10.50.0.1")
	mynet.Range = netip.MustParsePrefix("10.50.5.0/24")
	for name, want := range map[string]Network{
		"bridge": {Network: model.Network{IPv4: subnet("172.17.0.0/16", "172.17.0.9"),
			Bridge: with(func(b *model.Bridge) { b.Name, b.Default = "docker0", true })}},
		"mynet": {Network: model.Network{IPv4: mynet, Bridge: with(func(b *model.Bridge) {
			b.Name, b.MTU, b.HostBinding = "br-b1828857e925", 1400, netip.MustParseAddr("127.0.0.1")
		})}},
		"intern": {Network: model.Network{IPv4: subnet("172.18.0.0/16", "172.18.0.1"), Internal: true,
			Bridge: with(func(b *model.Bridge) { b.Name = "br-8f52a02ba443" })}},
		"six": {Network: model.Network{IPv4: subnet("10.77.0.0/24", "10.77.0.1"), IPv6: subnet("fd00:77::/64", "fd00:77::1"),
			Bridge: with(func(b *model.Bridge) { b.Name = "br-2cd0fec334fd" })}},
		"noicc": {Network: model.Network{IPv4: subnet("172.19.0.0/16", "172.19.0.1"), Bridge: with(func(b *model.Bridge) {
			b.Name, b.ICC, b.Masquerade = "noicc0", false, false
		})}},
	} {
		got := network(t, name, "172.17.0.9/16")
		want.Name, want.Driver = name, model.DriverBridge
		got.ID, got.Options, got.Endpoints = "", nil, nil
		if diff := cmp.Diff(want, got, compare); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestEndpoints(t *testing.T) {
	got := network(t, "six").Endpoints
	want := []Endpoint{{
		ID:        "8c25b3612fbf6e8f1be9f93fc5ecf36e9ea1a8a11ddab4d3bcbe553ad87de10d",
		NetworkID: "2cd0fec334fda34a258fa2194388fd80e1b956b2ec7eca2a819ec2df448ed093",
		Container: "0585b3fbfa2916084382786763f0826bf7bd80d3a13cdff75f181f1539070388", Name: "v6",
		MAC: model.MAC{2, 0x42, 10, 77, 0, 2}, IPv4: netip.MustParseAddr("10.77.0.2"), IPv6: netip.MustParseAddr("fd00:77::2"),
	}}
	if diff := cmp.Diff(want, got, compare); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// An engine that was killed lists endpoints of nobody's beside the new ones with the
// same addresses.
func TestStaleEndpoint(t *testing.T) {
	n := client.Network{ID: "n", Driver: "bridge", IPAM: client.IPAM{Config: []client.Pool{{Subnet: "10.1.0.0/24"}}}, Containers: map[string]client.Endpoint{
		"ep-old":   {EndpointID: "old", MacAddress: "02:42:0a:01:00:02", IPv4Address: "10.1.0.2/24"},
		"web":      {EndpointID: "new", MacAddress: "02:42:0a:01:00:02", IPv4Address: "10.1.0.2/24"},
		"ep-joins": {EndpointID: "joins", MacAddress: "02:42:0a:01:00:03", IPv4Address: "10.1.0.3/24"},
	}}
	got, err := BridgeNetwork(n, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Endpoints) != 2 || got.Endpoints[0].ID != "joins" || got.Endpoints[1].ID != "new" {
		t.Errorf("endpoints %+v", got.Endpoints)
	}
}

func TestOptionsOfLaterEngines(t *testing.T) {
	n, err := BridgeNetwork(client.Network{ID: strings.Repeat("a", 64), Name: "n", Options: map[string]string{
		model.OptGatewayMode4: "routed", model.OptGatewayMode6: "isolated", model.OptTrusted: "eth1:wg0", model.OptHostIPv4: "192.0.2.7",
		"com.docker.network.bridge.unknown": "x", model.OptMTU: "0",
	}, IPAM: client.IPAM{Config: []client.Pool{{Subnet: "10.0.0.0/24", Gateway: "10.0.0.254/24"}}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := model.Bridge{
		Name: "br-aaaaaaaaaaaa", ICC: true, Masquerade: true, MTU: 1500, IfacePrefix: "eth",
		GatewayMode4: model.GatewayRouted, GatewayMode6: model.GatewayIsolated,
		TrustedHostInterfaces: []string{"eth1", "wg0"}, HostIPv4: netip.MustParseAddr("192.0.2.7"),
	}
	if diff := cmp.Diff(want, n.Bridge, compare); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if want := netip.MustParseAddr("10.0.0.254"); n.IPv4.Gateway != want {
		t.Errorf("gateway %s, want %s", n.IPv4.Gateway, want)
	}
}

func TestWhatCannotBeReadIsNamed(t *testing.T) {
	for want, n := range map[string]client.Network{
		"docker network n: option " + model.OptICC + "=perhaps":            {Options: map[string]string{model.OptICC: "perhaps"}},
		"docker network n: option " + model.OptGatewayMode4 + "=sideways:": {Options: map[string]string{model.OptGatewayMode4: "sideways"}},
		`docker network n: subnet "10.0.0.0"`:                              {IPAM: client.IPAM{Config: []client.Pool{{Subnet: "10.0.0.0"}}}},
		"docker network n: endpoint e: mac address":                        {Containers: map[string]client.Endpoint{"c": {EndpointID: "e", MacAddress: "x"}}},
	} {
		n.Name = "n"
		if _, err := BridgeNetwork(n, nil); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s...", err, want)
		}
	}
}

func networks(t *testing.T) map[string]Network {
	all := make(map[string]Network)
	for _, name := range []string{"bridge", "mynet", "intern", "six", "noicc"} {
		n := network(t, name)
		all[n.ID] = n
	}
	return all
}

func portText(ports map[string][]datapath.Port, names map[string]string) map[string][]string {
	out := make(map[string][]string)
	for id, list := range ports {
		for _, p := range list {
			s := p.String() + " to " + p.Target.String()
			if p.HostOnly {
				s += " host only"
			}
			out[names[id]] = append(out[names[id]], s)
		}
	}
	return out
}

// none is of an engine that starts no proxies.
func none(model.PublishedPort) bool { return false }

// Without proxies the list of containers tells; the second network of two, which
// is internal and sorts first, publishes nothing.
func TestPortsFromTheList(t *testing.T) {
	all, names := networks(t), make(map[string]string)
	for _, n := range all {
		for _, e := range n.Endpoints {
			names[e.ID] = e.Name + " on " + n.Name
		}
	}
	containers := read[[]client.Container](t, "containers.json")
	got := portText(Ports(all, containers, nil, none), names)
	want := map[string][]string{
		"web on bridge": {
			"0.0.0.0:8080->80/tcp to 172.17.0.2", "[::]:8080->80/tcp to 172.17.0.2 host only", "127.0.0.1:5353->53/udp to 172.17.0.2",
		},
		"two on mynet": {"127.0.0.1:32768->81/tcp to 10.50.5.0"},
		"v6 on six":    {"0.0.0.0:8443->443/tcp to 10.77.0.2", "[::]:8443->443/tcp to fd00:77::2"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// With a proxy the list no longer counts for that container: what the proxies
	// gave up is closed, though the list may show it for a moment.
	held := []Held{{
		PublishedPort: model.PublishedPort{Port: model.Port{Num: 80, Proto: model.TCP}, HostIP: netip.IPv4Unspecified(), HostPort: 8080},
		Target:        netip.MustParseAddr("172.17.0.2"),
	}}
	proxied := func(p model.PublishedPort) bool { return p == held[0].PublishedPort }
	want["web on bridge"] = want["web on bridge"][:1]
	if diff := cmp.Diff(want, portText(Ports(all, containers, held, proxied), names)); diff != "" {
		t.Errorf("with a proxy (-want +got):\n%s", diff)
	}
	delete(want, "web on bridge")
	if diff := cmp.Diff(want, portText(Ports(all, containers, nil, proxied), names)); diff != "" {
		t.Errorf("given up by the last proxy (-want +got):\n%s", diff)
	}
}

// Nothing is published on an internal network, whatever proxies the engine starts.
func TestInternalPublishesNothing(t *testing.T) {
	all := networks(t)
	inside := netip.MustParseAddr("172.18.0.2")
	for id, n := range all {
		if n.Name == "intern" {
			n.Endpoints = []Endpoint{{ID: "e", NetworkID: id, IPv4: inside}}
			all[id] = n
		}
	}
	held := []Held{{
		PublishedPort: model.PublishedPort{Port: model.Port{Num: 80, Proto: model.TCP}, HostIP: netip.IPv4Unspecified(), HostPort: 8080},
		Target:        inside,
	}}
	if got := Ports(all, nil, held, none); len(got) != 0 {
		t.Errorf("published %v", got)
	}
	if !Internal(all, inside) || Internal(all, netip.MustParseAddr("172.17.0.2")) {
		t.Error("the wrong addresses count as internal")
	}
}

func TestOpenings(t *testing.T) {
	tcp := func(n uint16, v4, v6 bool) policy.Opening {
		return policy.Opening{Port: model.Port{Num: n, Proto: model.TCP}, V4: v4, V6: v6}
	}
	got, err := Openings(read[client.Wanted](t, "container-all.json"))
	want := []policy.Opening{
		tcp(70, true, false), tcp(71, false, true),
		{Port: model.Port{Num: 53, Proto: model.UDP}, V4: true, V6: true}, tcp(80, true, true),
	}
	if diff := cmp.Diff(want, got, compare); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	var w client.Wanted
	w.Config.ExposedPorts = map[string]struct{}{"80/tcp": {}, "81/tcp": {}}
	w.HostConfig.PortBindings = map[string][]client.Binding{"80/tcp": {{HostPort: "8000-8010"}, {HostIP: "0.0.0.0"}}, "81/tcp": nil}
	got, err = Openings(w)
	if diff := cmp.Diff([]policy.Opening{tcp(80, true, true), tcp(80, true, false)}, got, compare); err != nil || diff != "" {
		t.Errorf("without -P: %v (-want +got):\n%s", err, diff)
	}
	for _, bad := range []string{"x/tcp", "80/xns", "99999/tcp"} {
		w.HostConfig.PortBindings = map[string][]client.Binding{bad: {{}}}
		if _, err := Openings(w); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("port %s: %v", bad, err)
		}
	}
}
