// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fairway-project/fairway/userspace/dns"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
	"github.com/fairway-project/fairway/userspace/service"
)

func TestServiceRecords(t *testing.T) {
	addr := netip.MustParseAddr
	s := &model.Service{Name: "web", Networks: []model.ServiceNetwork{
		{NetworkID: "front", IPv4: addr("172.20.255.1"), IPv6: addr("fd00::ff")}, {NetworkID: "back", IPv4: addr("172.21.255.1")},
		{NetworkID: "default", IPv4: addr("172.17.255.1")},
	}}
	both := []policy.Reach{
		{NetworkID: "front", IPv4: addr("172.20.0.2"), IPv6: addr("fd00::2")}, {NetworkID: "back", IPv4: addr("172.21.0.2")},
		{NetworkID: "other", IPv4: addr("172.22.0.2")},
	}
	onlyBack := []policy.Reach{{NetworkID: "back", IPv4: addr("172.21.0.3")}}
	got := serviceRecords(s, []service.Backend{
		{SandboxID: "a", IPv4: addr("172.20.0.2"), Endpoints: both, State: model.BackendActive},
		{SandboxID: "b", IPv4: addr("172.21.0.3"), Endpoints: onlyBack, State: model.BackendActive},
		{SandboxID: "c", Endpoints: []policy.Reach{{NetworkID: "front", IPv4: addr("172.20.0.4")}}, State: model.BackendDraining},
		{SandboxID: "d", Endpoints: []policy.Reach{{NetworkID: "front", IPv4: addr("172.20.0.5")}}, State: model.BackendDown},
		{IPv4: addr("192.0.2.7"), State: model.BackendActive},
		{IPv4: addr("192.0.2.8"), State: model.BackendDown},
		{Name: "absent", State: model.BackendDown},
	}, func(networkID string) bool { return networkID != "default" })
	want := []dns.Service{
		{NetworkID: "front", Name: "web", IPv4: addr("172.20.255.1"), IPv6: addr("fd00::ff"),
			Backends: []netip.Addr{addr("172.20.0.2"), addr("fd00::2"), addr("192.0.2.7")}},
		{NetworkID: "back", Name: "web", IPv4: addr("172.21.255.1"),
			Backends: []netip.Addr{addr("172.21.0.2"), addr("172.21.0.3"), addr("192.0.2.7")}},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
