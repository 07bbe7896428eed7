// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/docker/client"
	"github.com/fairway-project/fairway/userspace/model"
)

// shop are two networks as Compose makes them, front with a gateway.
func shop() map[string]Network {
	all := make(map[string]Network)
	for id, prefix := range map[string]string{"front": "10.1.0.0/24", "back": "10.2.0.0/24"} {
		p := netip.MustParsePrefix(prefix)
		all[id] = Network{Network: model.Network{
			ID: id, Name: "shop_" + id, Driver: model.DriverBridge, Internal: id == "back",
			IPv4: &model.Subnet{Prefix: p, Gateway: p.Addr().Next()},
		}}
	}
	return all
}

// on adds a container with an endpoint on each of the networks. Labels are key=value.
func on(networks map[string]Network, id string, created int64, where string, labels ...string) client.Container {
	c := client.Container{ID: id, Names: []string{"/" + id, "/other/alias"}, Created: created, Labels: client.Labels{client.ProjectLabel: "shop"}}
	for _, l := range labels {
		key, value, _ := strings.Cut(l, "=")
		c.Labels[key] = value
	}
	c.NetworkSettings.Networks = make(map[string]client.Attachment)
	for _, n := range strings.Fields(where) {
		net := networks[n]
		e := Endpoint{ID: id + n, NetworkID: n, Container: id, Name: id, IPv4: net.IPv4.Prefix.Addr().Next().Next()}
		net.Endpoints = append(net.Endpoints, e)
		networks[n] = net
		c.NetworkSettings.Networks[net.Name] = client.Attachment{NetworkID: n, EndpointID: e.ID}
	}
	return c
}

func TestServicesOfLabels(t *testing.T) {
	n := shop()
	containers := []client.Container{
		on(n, "b", 20, "front back", "fairway.service=web", "fairway.service.port=80, 443:8443/tcp", "fairway.service.publish=8080:80",
			"fairway.service.health=http:/healthz,interval=1s", "fairway.service.weight=3"),
		on(n, "a", 10, "front back", "fairway.service=web", "fairway.service.port=80, 443:8443/tcp", "fairway.service.publish=8080:80",
			"fairway.service.health=http:/healthz,interval=1s"),
		on(n, "other", 5, "back", "fairway.service=web", "fairway.service.port=81"),
		on(n, "plain", 1, "front"),
		on(n, "db", 30, "front back", "fairway.service=db", "fairway.service.port=5432", "fairway.service.network=back",
			"fairway.service.affinity=client-ip,timeout=1h", "fairway.service.scheduler=random", "fairway.service.drain=5s",
			"fairway.service.source-range=10.0.0.0/8,192.0.2.0/24", "fairway.service.passive=false"),
	}
	all, troubles := Services(n, containers)
	if len(troubles) != 0 || len(all) != 3 {
		t.Fatalf("%d services, troubles %v", len(all), troubles)
	}
	for i, name := range []string{"web", "web", "db"} {
		if all[i].Name != name || len(all[i].ID) != 64 || all[i].Contradiction() != nil {
			t.Errorf("service %d: %s %q, %v", i, all[i].Name, all[i].ID, all[i].Contradiction())
		}
	}
	if all[0].ID == all[1].ID {
		t.Error("two projects have one service")
	}
	tcp := func(n uint16) model.Port { return model.Port{Num: n, Proto: model.TCP} }
	want := model.Service{
		ID: all[1].ID, Name: "web", EndpointMode: model.EndpointModeDNSRR, Scheduler: model.SchedulerMaglev,
		Networks: []model.ServiceNetwork{{NetworkID: "front"}},
		Ports:    []model.ServicePort{{Port: tcp(80), Target: 80}, {Port: tcp(443), Target: 8443}},
		Specs:    []model.PortSpec{{Port: tcp(80), HostPort: 8080, HostPortEnd: 8080}},
		Backends: []model.ServiceBackend{{Name: "a", Weight: 1}, {Name: "b", Weight: 3}},
		Affinity: model.Affinity{Kind: model.AffinityNone}, Drain: 30 * time.Second,
		Health: model.Health{Kind: model.HealthHTTP, Path: "/healthz", Interval: time.Second, Timeout: all[1].Health.Timeout, Rise: all[1].Health.Rise, Fall: all[1].Health.Fall},
	}
	if diff := cmp.Diff(want, all[1].Service, compare); diff != "" {
		t.Errorf("web (-want +got):\n%s", diff)
	}
	want = model.Service{
		ID: all[2].ID, Name: "db", EndpointMode: model.EndpointModeDNSRR, Scheduler: model.SchedulerRandom, Passive: new(bool),
		Networks: []model.ServiceNetwork{{NetworkID: "back", Internal: true}},
		Ports:    []model.ServicePort{{Port: tcp(5432), Target: 5432}},
		Backends: []model.ServiceBackend{{Name: "db", Weight: 1}},
		Affinity: model.Affinity{Kind: model.AffinityClientIP, Timeout: time.Hour}, Drain: 5 * time.Second,
		Health:  model.Health{Kind: model.HealthNone},
		Sources: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.0/24")},
	}
	if diff := cmp.Diff(want, all[2].Service, compare); diff != "" {
		t.Errorf("db (-want +got):\n%s", diff)
	}
}

// What contradicts itself is said, and the older containers' labels count.
func TestContradictions(t *testing.T) {
	for _, c := range []struct {
		what, first, second string
		// want is in the contradiction, trouble in the second container's trouble.
		want, trouble string
		backends      int
	}{
		{"the same", "fairway.service.port=80", "fairway.service.port=80", "", "", 2},
		{"weights", "fairway.service.port=80 fairway.service.weight=2", "fairway.service.port=80", "", "", 2},
		{"another port", "fairway.service.port=80", "fairway.service.port=81", `two contradicts one, whose labels count: fairway.service.port is "81" here and "80" there`, "", 2},
		{"one more option", "fairway.service.port=80", "fairway.service.port=80 fairway.service.drain=1s", `fairway.service.drain is "1s" here and missing there`, "", 2},
		{"no option", "fairway.service.port=80", "fairway.service.port=80 fairway.service.prot=80", "", `no option "prot"`, 1},
		{"weight", "fairway.service.port=80", "fairway.service.port=80 fairway.service.weight=0", "", "from 1 to 256", 1},
		{"address", "fairway.service.port=80", "fairway.service.port=80 fairway.service.ip=10.1.0.9", "", "no address of their own", 1},
		{"network", "fairway.service.port=80", "fairway.service.port=80 fairway.service.network=back", "", "isn't on network back", 1},
	} {
		n := shop()
		containers := []client.Container{
			on(n, "one", 1, "front", append(strings.Fields(c.first), "fairway.service=web")...),
			on(n, "two", 2, "front", append(strings.Fields(c.second), "fairway.service=web")...),
		}
		all, troubles := Services(n, containers)
		if len(all) != 1 || len(all[0].Backends) != c.backends || all[0].Ports[0].Port.Num != 80 {
			t.Errorf("%s: %+v", c.what, all)
			continue
		}
		has(t, c.what, all[0].Contradiction(), c.want)
		has(t, c.what, troubles["two"], c.trouble)
	}
	// Options that a service can't have are the trouble of each container.
	n := shop()
	all, troubles := Services(n, []client.Container{
		on(n, "one", 1, "front", "fairway.service=web", "fairway.service.port=80", "fairway.service.health=ping"),
		on(n, "two", 2, "front", "fairway.service=web", "fairway.service.port=80", "fairway.service.health=ping"),
	})
	if len(all) != 0 || troubles["one"] == nil || troubles["two"] == nil {
		t.Errorf("health ping: %+v, %v", all, troubles)
	}
	has(t, "health ping", troubles["one"], "ping")
}

func has(t *testing.T, what string, err error, want string) {
	t.Helper()
	if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}

func TestLabelsThatMatter(t *testing.T) {
	var c client.Container
	raw := `{"Id": "x", "Names": ["/b/web", "/web"], "Created": 7, "Labels": {"fairway.service": "w", "com.docker.compose.project": "p", "maintainer": "m"}}`
	if err := json.Unmarshal([]byte(raw), &c); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(client.Labels{"fairway.service": "w", client.ProjectLabel: "p"}, c.Labels); diff != "" || c.Name() != "web" || c.Created != 7 {
		t.Errorf("%s, named %s, of %d", diff, c.Name(), c.Created)
	}
}

// BenchmarkServices reads the labels of 2,000 containers of one service on one network.
func BenchmarkServices(b *testing.B) {
	n := Network{Network: model.Network{ID: "front", Name: "front"}}
	var containers []client.Container
	for i := range 2000 {
		id := fmt.Sprintf("%064d", i)
		n.Endpoints = append(n.Endpoints, Endpoint{ID: id, NetworkID: n.ID, IPv4: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})})
		c := client.Container{ID: id, Labels: map[string]string{ServiceLabel: "web", ServiceLabel + ".port": "80"}}
		c.Names = []string{"/" + id}
		c.NetworkSettings.Networks = map[string]client.Attachment{"front": {NetworkID: n.ID, EndpointID: id}}
		containers = append(containers, c)
	}
	networks := map[string]Network{n.ID: n}
	for b.Loop() {
		all, troubles := Services(networks, containers)
		if len(all) != 1 || len(all[0].Backends) != len(containers) || len(troubles) > 0 {
			b.Fatalf("%d services, %v", len(all), troubles)
		}
	}
}
