// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

func TestServicesOfFlows(t *testing.T) {
	tcp := func(n uint16) model.Port { return model.Port{Num: n, Proto: model.TCP} }
	web := request.ServiceView{Service: model.Service{
		ID: "1", Name: "web", Networks: []model.ServiceNetwork{{IPv4: netip.MustParseAddr("10.0.0.9")}}, Ports: []model.ServicePort{{Port: tcp(80), Target: 8080}},
		Published: []model.PublishedPort{
			{Port: tcp(80), HostIP: netip.IPv4Unspecified(), HostPort: 7000}, {Port: tcp(80), HostIP: netip.MustParseAddr("192.0.2.1"), HostPort: 7001},
		},
	}}
	other := request.ServiceView{Service: model.Service{
		ID: "2", Name: "other", Ports: []model.ServicePort{{Port: tcp(80), Target: 80}},
		Published: []model.PublishedPort{{Port: tcp(80), HostIP: netip.IPv6Unspecified(), HostPort: 7000}},
	}}
	all := frontsOf(slices.Values([]request.ServiceView{web, other}))
	for _, c := range []struct {
		proto       uint8
		to, becomes string
		want        string
	}{
		{6, "10.0.0.9:80", "10.0.0.2:8080", "web"},
		{17, "10.0.0.9:80", "10.0.0.2:8080", ""},
		{6, "10.0.0.9:81", "10.0.0.2:8080", ""},
		{6, "192.0.2.1:7000", "10.0.0.2:8080", "web"},
		{6, "192.0.2.1:7001", "10.0.0.2:8080", "web"},
		{6, "192.0.2.2:7001", "10.0.0.2:8080", ""},
		{6, "[2001:db8::1]:7000", "[2001:db8::2]:80", "other"},
		// Somebody else's port of the same number.
		{6, "198.51.100.1:7000", "198.51.100.1:7000", ""},
	} {
		f := datapath.Flow{Proto: c.proto, Dst: netip.MustParseAddrPort(c.to), NATDst: netip.MustParseAddrPort(c.becomes)}
		if got := all.of(f); got.name != c.want || (got.id != "") != (c.want != "") {
			t.Errorf("%d to %s: %q, want %q", c.proto, c.to, got, c.want)
		}
	}
	if got := frontsOf(slices.Values[[]request.ServiceView](nil)).of(datapath.Flow{}); got != (fronted{}) {
		t.Errorf("of no services: %q", got)
	}
}
