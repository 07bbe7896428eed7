// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// A service is told in the words of a create, which makes the same service again.
func TestSpecOf(t *testing.T) {
	tcp, udp := model.Port{Num: 80, Proto: model.TCP}, model.Port{Num: 53, Proto: model.UDP}
	for _, c := range []struct {
		service model.Service
		want    request.ServiceSpec
	}{
		{model.Service{
			Ports: []model.ServicePort{{Port: tcp, Target: 8080}, {Port: udp, Target: 53}},
			Specs: []model.PortSpec{
				{Port: tcp}, {Port: tcp, HostPort: 8080, HostPortEnd: 8080}, {Port: udp, HostPort: 5000, HostPortEnd: 5010},
				{Port: udp, HostIP: netip.MustParseAddr("::1")},
				{Port: udp, HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 53, HostPortEnd: 53},
			},
			Selector: map[string]string{"app": "web"}, Scheduler: model.SchedulerMaglev,
			Affinity: model.Affinity{Kind: model.AffinityClientIP, Timeout: time.Hour},
			Health:   model.Health{Kind: model.HealthHTTP, Path: "/up", Port: 81, Interval: time.Second, Timeout: time.Minute, Rise: 1, Fall: 2},
			Drain:    90 * time.Second, Sources: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Labels: map[string]string{"a": ""},
		}, request.ServiceSpec{
			Ports:    []string{"80:8080/tcp", "53/udp"},
			Publish:  []string{"80/tcp", "8080:80/tcp", "5000-5010:53/udp", "[::1]::53/udp", "127.0.0.1:53:53/udp"},
			Selector: map[string]string{"app": "web"}, Scheduler: model.SchedulerMaglev, Affinity: "client-ip,timeout=1h0m0s",
			Health: "http:/up,port=81,interval=1s,timeout=1m0s,rise=1,fall=2", Drain: "1m30s",
			Sources: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Labels: map[string]string{"a": ""},
		}},
		{model.Service{
			Backends: []model.ServiceBackend{
				{Name: "web", Weight: 1}, {Name: "web2", Port: 81, Weight: 3}, {Addr: netip.MustParseAddr("192.0.2.7"), Weight: 256},
				{Addr: netip.MustParseAddr("fd00::7"), Weight: 1}, {Addr: netip.MustParseAddr("fd00::8"), Port: 80, Weight: 1},
			},
			Scheduler: model.SchedulerRandom, Affinity: model.Affinity{Kind: model.AffinityNone}, Health: model.Health{Kind: model.HealthNone},
			Passive: new(bool),
		}, request.ServiceSpec{
			Backends:  []string{"web", "web2:81,weight=3", "192.0.2.7,weight=256", "fd00::7", "[fd00::8]:80"},
			Scheduler: model.SchedulerRandom, Affinity: "none", Health: "none", Passive: new(bool), Drain: "0s",
		}},
	} {
		got := specOf(c.service)
		if diff := cmp.Diff(c.want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		again, err := (&request.ServiceCreate{Name: "web", Networks: []string{"front"}, EndpointMode: model.EndpointModeDNSRR, ServiceSpec: got}).Service()
		if err != nil {
			t.Fatalf("%+v: %v", got, err)
		}
		want := c.service
		want.Name, want.EndpointMode = "web", model.EndpointModeDNSRR
		if diff := cmp.Diff(&want, again, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("created again (-want +got):\n%s", diff)
		}
	}
}
