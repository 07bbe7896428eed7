// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/api/apitest"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// fixture is a host with some of everything.
func fixture(t testing.TB) *apitest.Fake {
	f := apitest.NewFake(t)
	f.AddNetwork(model.Network{
		Name: "front", Driver: model.DriverBridge,
		IPv4: &model.Subnet{
			Prefix: netip.MustParsePrefix("172.20.0.0/16"), Gateway: netip.MustParseAddr("172.20.0.1"),
			Range: netip.MustParsePrefix("172.20.0.0/28"), Aux: map[string]netip.Addr{"router": netip.MustParseAddr("172.20.0.5")},
		},
		IPv6:    &model.Subnet{Prefix: netip.MustParsePrefix("fd00::/64"), Gateway: netip.MustParseAddr("fd00::1")},
		Options: map[string]string{"com.docker.network.bridge.name": "br-front"},
		Labels:  map[string]string{"tier": "front", "a": "b"},
	})
	f.AddNetwork(model.Network{Name: "net10", Driver: model.DriverBridge, Internal: true})
	f.AddNetwork(model.Network{Name: "net2", Driver: model.DriverBridge})
	f.AddSandbox(web())
	f.AddSandbox(request.SandboxView{Sandbox: model.Sandbox{
		Name: "job", Mode: model.ModeNetworks, Command: []string{"sh", "-c", "exit 3"},
		Former: []model.FormerEndpoint{
			{NetworkID: apitest.ID("network", "front"), Network: "front", IPv4: netip.MustParseAddr("172.20.0.9"), Aliases: []string{"batch"}},
			{NetworkID: apitest.ID("network", "gone"), Network: "gone"},
		},
		State: model.State{
			Status: model.StatusExited, ExitCode: ptr(3),
			StartedAt: apitest.Epoch, FinishedAt: apitest.Epoch.Add(time.Hour),
		},
	}})
	f.AddSandbox(request.SandboxView{Sandbox: model.Sandbox{
		Name: "probe", Mode: model.ModeHost, Command: []string{"tcpdump"},
		State: model.State{Status: model.StatusRunning, Pid: 4712, StartedAt: apitest.Epoch.Add(time.Hour)},
	}})
	f.AddService(store())
	web, web6, old := netip.MustParseAddr("172.20.0.2"), netip.MustParseAddr("fd00::2"), netip.MustParseAddr("172.20.0.4")
	f.SetCounts("store", request.ServiceCounts{Opened: 90, Open: 9, Refused: 2, Strangers: 1, PassedOver: 4, Backends: map[netip.Addr]request.BackendCounts{
		web: {Opened: 50, Open: 5}, web6: {Opened: 30, Open: 3, PassedOver: true}, old: {Opened: 10, Open: 1},
	}})
	f.AddService(request.ServiceView{
		Service: model.Service{
			Name: "ldap", EndpointMode: model.EndpointModeDNSRR, Scheduler: model.SchedulerRandom, Drain: 30 * time.Second,
			Affinity: model.Affinity{Kind: model.AffinityNone}, Health: model.Health{Kind: model.HealthNone},
			Backends: []model.ServiceBackend{{Addr: netip.MustParseAddr("192.0.2.7"), Port: 3389, Weight: 1}},
		},
		Networks: []request.ServiceNetworkView{{Name: "net2", ServiceNetwork: model.ServiceNetwork{NetworkID: apitest.ID("network", "net2")}}},
		Backends: []request.ServiceBackendView{{IPv4: netip.MustParseAddr("192.0.2.7"), Port: 3389, Weight: 1, State: model.BackendActive}},
	})
	f.FlowList = flows()
	f.StatusIs = status()
	f.Checks = []request.Check{
		{Name: "kernel", Result: request.OK, Fact: "6.12.0"},
		{Name: "ip_forward", Result: request.Warn, Fact: "net.ipv4.ip_forward is 0", Fix: "sysctl -w net.ipv4.ip_forward=1"},
	}
	f.Removed = []string{"sandbox web", "network front"}
	return f
}

// environ is os.LookupEnv where there are these variables.
func environ(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { value, set := vars[name]; return value, set }
}

func ptr[T any](v T) *T { return &v }

func web() request.SandboxView {
	v := request.SandboxView{
		Sandbox: model.Sandbox{
			Name: "web", Hostname: "web", Mode: model.ModeNetworks, Netns: "/run/fairway/netns/0123456789ab",
			Command: []string{"nginx", "-g", "daemon off;"}, Labels: map[string]string{"app": "shop"},
			Exposed: []model.Port{{Num: 80, Proto: model.TCP}, {Num: 9999, Proto: model.TCP}},
			Specs:   []model.PortSpec{{Port: model.Port{Num: 80, Proto: model.TCP}, HostPort: 8080, HostPortEnd: 8080}},
			State:   model.State{Status: model.StatusRunning, Pid: 4711, StartedAt: apitest.Epoch.Add(time.Second)},
		},
		Endpoints: []request.SandboxEndpoint{{
			Endpoint: model.Endpoint{
				ID: apitest.ID("endpoint", "web"), NetworkID: apitest.ID("network", "front"),
				IPv4: netip.MustParsePrefix("172.20.0.2/16"), IPv6: netip.MustParsePrefix("fd00::2/64"), Requested4: true,
				MAC: model.MAC{0x02, 0x42, 0xac, 0x14, 0, 2}, Aliases: []string{"www"}, IfName: "eth0",
			},
			NetworkName: "front", Gateway4: netip.MustParseAddr("172.20.0.1"), Gateway6: netip.MustParseAddr("fd00::1"),
			DNSNames: []string{"web", "www"},
		}},
		Dir: "/var/lib/fairway/sandboxes/0123",
	}
	for _, p := range []struct {
		host, container uint16
		proto           model.Proto
	}{{8080, 80, model.TCP}, {443, 443, model.TCP}, {9000, 9000, model.UDP}, {9001, 9001, model.UDP}, {9002, 9002, model.UDP}} {
		for _, addr := range []string{"0.0.0.0", "::"} {
			v.Published = append(v.Published, model.PublishedPort{
				Port: model.Port{Num: p.container, Proto: p.proto}, HostIP: netip.MustParseAddr(addr), HostPort: p.host,
			})
		}
	}
	return v
}

// store is a service with everything, and with backends in every state.
func store() request.ServiceView {
	addr := netip.MustParseAddr
	tcp := model.Port{Num: 80, Proto: model.TCP}
	udp := model.Port{Num: 53, Proto: model.UDP}
	backend := func(name, v4, v6 string, weight int, state model.BackendState, reason string) request.ServiceBackendView {
		return request.ServiceBackendView{
			SandboxID: apitest.ID("sandbox", name), Name: name, IPv4: addr(v4), IPv6: addr(v6), Weight: weight, State: state, Reason: reason,
		}
	}
	return request.ServiceView{
		Service: model.Service{
			Name: "store", Labels: map[string]string{"tier": "front"}, EndpointMode: model.EndpointModeVIP,
			Ports: []model.ServicePort{{Port: tcp, Target: 8080}, {Port: udp, Target: 53}},
			Specs: []model.PortSpec{
				{Port: tcp, HostPort: 8000, HostPortEnd: 8000}, {Port: udp, HostIP: addr("127.0.0.1"), HostPort: 5353, HostPortEnd: 5353},
			},
			Published: []model.PublishedPort{
				{Port: tcp, HostIP: addr("0.0.0.0"), HostPort: 8000}, {Port: tcp, HostIP: addr("::"), HostPort: 8000},
				{Port: udp, HostIP: addr("127.0.0.1"), HostPort: 5353},
			},
			Selector: map[string]string{"app": "store"}, Drained: []string{apitest.ID("sandbox", "old")},
			Scheduler: model.SchedulerMaglev, Affinity: model.Affinity{Kind: model.AffinityClientIP, Timeout: 3 * time.Hour},
			Health:  model.Health{Kind: model.HealthHTTP, Path: "/healthz", Port: 8081, Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3},
			Passive: new(bool), Drain: 30 * time.Second, Sources: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		},
		Networks: []request.ServiceNetworkView{{Name: "front", ServiceNetwork: model.ServiceNetwork{
			NetworkID: apitest.ID("network", "front"), IPv4: addr("172.20.255.1"), IPv6: addr("fd00::ff"),
		}}},
		Backends: []request.ServiceBackendView{
			backend("web", "172.20.0.2", "fd00::2", 3, model.BackendActive, ""),
			backend("db", "172.20.0.3", "fd00::3", 1, model.BackendDown, "GET /healthz: 503 Service Unavailable"),
			backend("old", "172.20.0.4", "fd00::4", 1, model.BackendDraining, "drained"),
		},
		Warnings: []string{"backend db: GET /healthz: 503 Service Unavailable"},
	}
}

func flows() []request.FlowView {
	ap := netip.MustParseAddrPort
	end := func(sandbox, network string) request.FlowEnd {
		return request.FlowEnd{Sandbox: sandbox, Network: network, EndpointID: apitest.ID("endpoint", sandbox)}
	}
	return []request.FlowView{
		{Sandbox: "web", Network: "front", Target: end("web", "front"), Flow: datapath.Flow{
			Proto: 6, Src: ap("192.0.2.10:51514"), Dst: ap("192.0.2.1:8080"),
			NATSrc: ap("192.0.2.10:51514"), NATDst: ap("172.20.0.2:80"),
			State: "ESTABLISHED", Kind: "published", EndpointID: apitest.ID("endpoint", "web"),
			Idle: 1200 * time.Millisecond, Expires: 120 * time.Hour,
		}},
		{Sandbox: "web", Network: "front", Opener: end("job", "net2"), Target: end("web", "front"), Service: "shop", Flow: datapath.Flow{
			Proto: 6, Src: ap("172.22.0.2:40100"), Dst: ap("192.0.2.1:8080"),
			NATSrc: ap("172.20.0.1:40100"), NATDst: ap("172.20.0.2:80"),
			State: "ESTABLISHED", Kind: "hairpin", EndpointID: apitest.ID("endpoint", "web"),
			Idle: time.Second, Expires: 120 * time.Hour,
		}},
		{Sandbox: "web", Network: "front", Opener: end("web", "front"), Flow: datapath.Flow{
			Proto: 17, Src: ap("172.20.0.2:40000"), Dst: ap("198.51.100.53:53"),
			NATSrc: ap("192.0.2.1:40000"), NATDst: ap("198.51.100.53:53"),
			State: "ASSURED", Kind: "masquerade", Idle: time.Minute, Expires: time.Minute,
		}},
		{Flow: datapath.Flow{
			Proto: 47, Src: ap("10.0.0.1:0"), Dst: ap("172.20.0.2:0"), NATSrc: ap("10.0.0.1:0"), NATDst: ap("172.20.0.2:0"),
			State: "UNREPLIED", Kind: "routed",
		}},
	}
}

func status() request.Status {
	return request.Status{
		Pid: 99, Started: apitest.Epoch, Kernel: "6.12.0", Root: "/var/lib/fairway", RunDir: "/run/fairway", BPFFS: "/sys/fs/bpf/fairway",
		Uplinks: []string{"eth0"}, Networks: 6, Sandboxes: 3, Running: 2, Endpoints: 1, Ports: 10,
		Services: 2, ServiceConnections: request.ServiceConnections{Opened: 90, Refused: 2, Strangers: 1},
		Degraded: []string{"uplink eth1 has vanished"},
		Datapath: datapath.Status{
			Mode:     datapath.EBPF,
			Features: []datapath.Feature{{Name: "tcx", Available: true, Since: "6.6", Used: "attach"}, {Name: "netkit", Since: "6.8", Used: "veth instead"}},
			Attachments: []datapath.Attachment{
				{Device: "veth10", Program: "endpoint", How: "tcx"}, {Device: "veth2", Program: "endpoint", How: "tcx"},
				{Device: "veth3", Program: "endpoint", How: "tcx"}, {Device: "veth4", Program: "endpoint", How: "tcx"},
				{Device: "veth5", Program: "endpoint", How: "tcx"}, {Device: "eth0", Program: "uplink", How: "clsact"},
			},
			Notes: []string{"iptables' FORWARD policy is not consulted"},
		},
		Stats: datapath.Stats{
			Flows: 3, FlowLimit: 262144,
			Forwarded: map[datapath.Path]datapath.Counter{
				datapath.PathEBPF: {Packets: 120, Bytes: 64000}, datapath.PathStack: {Packets: 2, Bytes: 84},
			},
			Drops: []datapath.Drop{
				{Reason: "spoofed_source", Direction: datapath.Transmit, Counter: datapath.Counter{Packets: 1, Bytes: 42}},
				{Reason: "no_flow", Direction: datapath.Receive, Counter: datapath.Counter{Packets: 7, Bytes: 420}},
				{Reason: "never_happened", Direction: datapath.Receive},
			},
			Maps: []datapath.Fill{{Map: "flows", Entries: 6, Max: 524288}},
		},
		RecentDrops: request.RecentDrops{Seconds: 60.4, Drops: []datapath.Drop{
			{Reason: "no_flow", Direction: datapath.Receive, Counter: datapath.Counter{Packets: 5, Bytes: 300}},
		}},
	}
}
