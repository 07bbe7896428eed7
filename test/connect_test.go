// SPDX-License-Identifier: Apache-2.0

package test

import (
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// A running sandbox is connected to a second network and disconnected again;
// what it had stays as it was.
func TestConnectAndDisconnect(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Network(t, "b", numB)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		c3 := e.Sandbox(t, "c3", "--network", "b")
		serve(t, c1.Netns, 80, "c1")
		flows := harness.NewFlows(t)
		flows.TCP(t, e.LAN1, at(harness.HostIP4, 8080))
		for range 2 {
			e.Must(t, "network", "connect", "--ip", "172.31.0.77", "--alias", "both", "b", "c1")
			c1.Refresh(t)
			flows.Advance(t, 20)
			e.EachFamily(t, func(t *testing.T, f harness.Family) {
				harness.Reaches(t, c3.Netns, c1.IP(t, "b", f), 80, "c1")
				harness.Reaches(t, e.LAN1, f.Host, 8080, "c1")
			})
			if got := c1.NetworkSettings.Networks["b"].IPAddress; got != "172.31.0.77" {
				t.Errorf("address on b: %s", got)
			}
			if got := e.Must(t, "exec", "c3", "--", "getent", "hosts", "both"); !strings.Contains(got, "both") {
				t.Errorf("alias: %q", got)
			}
			e.Must(t, "network", "disconnect", "b", "c1")
			if out := c1.Must(t, "ip", "-o", "link"); strings.Contains(out, "eth1") {
				t.Errorf("after disconnect: %s", out)
			}
		}
		flows.Stop(t)
	})
}

// The default route is where Docker puts it: by priority, else by the name.
func TestGatewayChoice(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Network(t, "b", numB)
		e.Network(t, "i", numI, "--internal")
		serve(t, e.WAN, 80, "wan")
		c := e.Sandbox(t, "c", "--network", "b", "-p", "8080:80", "-p", "8080:80/udp")
		serve(t, c.Netns, 80, "c")
		expectGateway := func(num int) {
			t.Helper()
			for _, f := range []harness.Family{harness.V4(), harness.V6()} {
				route := c.Must(t, "ip", f.Flag(), "route", "show", "default")
				if want := "via " + harness.Addr(f, num, 1) + " "; !strings.Contains(route, want) {
					t.Errorf("default route is %q, want %q", route, want)
				}
				harness.Reaches(t, c.Netns, f.WAN, 80, "wan")
				harness.Reaches(t, e.LAN1, f.Host, 8080, "c")
			}
		}
		expectGateway(numB)
		e.Must(t, "network", "connect", "i", "c")
		expectGateway(numB)
		e.Must(t, "network", "connect", "a", "c")
		expectGateway(numA)
		e.Must(t, "network", "disconnect", "a", "c")
		expectGateway(numB)
		e.Must(t, "network", "connect", "--gw-priority", "-1", "a", "c")
		expectGateway(numB)
	})
}

// The modes host, none and container:NAME.
func TestNetworkModes(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		host := e.Sandbox(t, "onhost", "--network", "host")
		if host.Inode() != e.Host.Inode() {
			t.Error("network host isn't the host's namespace")
		}
		none := e.Sandbox(t, "none", "--network", "none")
		if out := none.Must(t, "ip", "-o", "link"); strings.Count(out, "\n") != 1 || !strings.Contains(out, "UP") {
			t.Errorf("network none has %s", out)
		}
		shared := e.Sandbox(t, "shared", "--network", "container:c1")
		if shared.Inode() != c1.Inode() {
			t.Error("container:c1 isn't the namespace of c1")
		}
		serve(t, shared.Netns, 80, "shared")
		harness.Reaches(t, e.LAN1, harness.HostIP4, 8080, "shared")
		// A host-mode sandbox reaches a published port on loopback as the host does.
		harness.Reaches(t, host.Netns, "127.0.0.1", 8080, "shared")
	})
}

// A namespace that exists is adopted, gets what a sandbox gets, and outlives it.
func TestAdoptedNamespace(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		name := e.ID + "-vm"
		e.Host.Must(t, "ip", "netns", "add", name)
		defer e.Host.Must(t, "ip", "netns", "del", name)
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a")
		e.Must(t, "sandbox", "add", "vm", "--netns", "/run/netns/"+name, "--network", "a", "--ip", "172.30.0.50",
			"-p", "8080:80", "-p", "8080:80/udp")
		vm := e.Open(t, "vm")
		serve(t, vm.Netns, 80, "vm")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			harness.Reaches(t, c1.Netns, vm.IP(t, "a", f), 80, "vm")
			harness.Reaches(t, e.LAN1, f.Host, 8080, "vm")
		})
		e.Must(t, "rm", "-f", "vm")
		if out := vm.Must(t, "ip", "-o", "link"); strings.Contains(out, "eth0") {
			t.Errorf("after removal the namespace has %s", out)
		}
	})
}

// IPv6 without IPv4.
func TestIPv6OnlyNetwork(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Must(t, "network", "create", "--ipv4=false", "--ipv6", "--subnet", harness.Subnet6(numA), "a")
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		c2 := e.Sandbox(t, "c2", "--network", "a")
		serve(t, c1.Netns, 80, "c1")
		serve(t, e.WAN, 80, "wan")
		f := harness.V6()
		harness.Reaches(t, c2.Netns, c1.IP(t, "a", f), 80, "c1")
		harness.Reaches(t, e.LAN1, f.Host, 8080, "c1")
		harness.Reaches(t, c2.Netns, f.WAN, 80, "wan")
		if out := c1.Must(t, "ip", "-4", "-o", "addr", "show", "dev", "eth0"); out != "" {
			t.Errorf("eth0 has %s", out)
		}
	})
}
