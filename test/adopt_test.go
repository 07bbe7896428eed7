// SPDX-License-Identifier: Apache-2.0

package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
	"github.com/google/go-cmp/cmp"
)

// A namespace of somebody else is, after its removal from Fairway, what it was
// before: devices, addresses, routes, rules, settings, and the files that
// `ip netns exec` shows its processes.
func TestAdoptedNamespaceIsGivenBack(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		name := e.ID + "-own"
		e.Host.Must(t, "ip", "netns", "add", name)
		defer e.Host.Must(t, "ip", "netns", "del", name)
		n := harness.OpenNetns(t, name, "/run/netns/"+name)
		n.IP(t, "link set lo up", "link add own0 type bridge", "link set own0 up", "addr add 10.99.0.1/24 dev own0",
			"route add 10.98.0.0/16 via 10.99.0.7")
		n.Must(t, "iptables", "-w", "-A", "INPUT", "-p", "tcp", "--dport", "1", "-j", "DROP")
		look := func() map[string]string {
			seen := map[string]string{}
			for _, c := range []string{"ip -o link", "ip -o -4 addr", "ip route", "ip -6 route", "ip rule", "nft list ruleset",
				"sysctl net.ipv4.ip_forward net.ipv4.conf.all.route_localnet net.ipv6.conf.all.forwarding"} {
				f := strings.Fields(c)
				seen[c] = harness.Normalise(n.Must(t, f[0], f[1:]...))
			}
			return seen
		}
		before := look()
		e.Network(t, "a", numA)
		e.Network(t, "b", numB)
		c1 := e.Sandbox(t, "c1", "--network", "a")
		e.Must(t, "sandbox", "add", "vm", "--netns", n.Path, "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		vm := e.Open(t, "vm")
		serve(t, vm.Netns, 80, "vm")
		harness.Reaches(t, e.LAN1, harness.HostIP4, 8080, "vm")
		expectAnswer(t, vm, "c1", 1, c1.IP(t, "a", harness.V4()))
		e.Must(t, "network", "connect", "b", "vm")
		e.Must(t, "rm", "-f", "vm")
		if diff := cmp.Diff(before, look()); diff != "" {
			t.Errorf("the namespace isn't as it was (-before +after):\n%s", diff)
		}
		if left, _ := filepath.Glob("/etc/netns/" + name + "*"); len(left) > 0 {
			t.Errorf("files are left: %v", left)
		}
		harness.Misses(t, e.LAN1, harness.HostIP4, 8080)
	})
}

// The endpoint with the highest --gw-priority has the default route and the
// published ports, also when it comes or goes later.
func TestGatewayPriority(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Network(t, "b", numB)
		serve(t, e.WAN, 80, "wan")
		c := e.Sandbox(t, "c", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		serve(t, c.Netns, 80, "c")
		flows := harness.NewFlows(t)
		peer := e.Sandbox(t, "peer", "--network", "a")
		flows.TCP(t, peer.Netns, at(c.IP(t, "a", harness.V4()), 80))
		through := func(num int, dev string) {
			t.Helper()
			e.EachFamily(t, func(t *testing.T, f harness.Family) {
				s := harness.Sniff(t, c.Netns, dev, nil)
				harness.Reaches(t, e.LAN1, f.Host, 8080, "c")
				seenFrom(t, harness.Reaches(t, c.Netns, f.WAN, 80, "wan"), f.Host)
				s.Wait(t, "published traffic", harness.All(harness.DstIP(harness.Addr(f, num, 2)), harness.UDPPorts(0, 80)))
			})
		}
		if got := c.IP(t, "a", harness.V4()); got != "172.30.0.2" {
			t.Fatalf("address is %s", got)
		}
		through(numA, "eth0")
		e.Must(t, "network", "connect", "--gw-priority", "5", "b", "c")
		through(numB, "eth1")
		e.Must(t, "network", "disconnect", "b", "c")
		through(numA, "eth0")
		flows.Stop(t)
	})
}

// host-gateway is an address by which every container reaches the host.
func TestHostGateway(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		harness.ServeTCP(t, e.Host, 5000, "the-host")
		for _, network := range []string{"a", "bridge"} {
			name := "c-" + network
			e.Sandbox(t, name, "--network", network, "--add-host", "host.docker.internal:host-gateway")
			got := e.Must(t, "exec", name, "--", os.Getenv(harness.EnvPeer), "fetch", "host.docker.internal:5000")
			if !strings.HasPrefix(got, "the-host ") {
				t.Errorf("on network %s: %q", network, got)
			}
		}
	})
}

// Gateway mode isolated: the network is internal and the host has no address on
// it.
func TestIsolatedGatewayMode(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA, "--internal",
			"-o", "com.docker.network.bridge.gateway_mode_ipv4=isolated",
			"-o", "com.docker.network.bridge.gateway_mode_ipv6=isolated")
		c1 := e.Sandbox(t, "c1", "--network", "a")
		c2 := e.Sandbox(t, "c2", "--network", "a")
		serve(t, c1.Netns, 80, "c1")
		harness.ServeTCP(t, e.Host, 5000, "host")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			harness.Reaches(t, c2.Netns, c1.IP(t, "a", f), 80, "c1")
			harness.Misses(t, c2.Netns, harness.Addr(f, numA, 1), 5000)
			harness.Misses(t, c2.Netns, f.Host, 5000)
			harness.Misses(t, c2.Netns, f.WAN, 80)
			harness.Misses(t, e.Host, c1.IP(t, "a", f), 80)
			if out := e.Host.Must(t, "ip", "-o", "addr"); strings.Contains(out, harness.Addr(f, numA, 1)+"/") {
				t.Errorf("the host has the gateway's address:\n%s", out)
			}
		})
	})
}

// Pools keep clear of what the host has routes to.
func TestPoolsAvoidRoutes(t *testing.T) {
	prepare := func(t testing.TB, w *harness.Topology) {
		w.Host.IP(t, "route add 172.18.0.0/16 via "+harness.RouterIP4, "route add 172.19.5.0/24 via "+harness.RouterIP4)
	}
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		var subnets []string
		for _, name := range []string{"n1", "n2"} {
			e.Must(t, "network", "create", name)
			subnets = append(subnets, e.Must(t, "network", "inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}", name))
		}
		if diff := cmp.Diff([]string{"172.20.0.0/16", "172.21.0.0/16"}, subnets); diff != "" {
			t.Errorf("subnets (-want +got):\n%s", diff)
		}
	}, harness.Prepare(prepare))
}
