// SPDX-License-Identifier: Apache-2.0

package test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// What `fairway inspect` says is what is there.
func TestInspectSandbox(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c := e.Sandbox(t, "c", "--network", "a", "--ip", "172.30.0.9", "--ip6", "fd00:30::9",
			"--mac-address", "02:42:00:00:00:09", "-p", "127.0.0.1:8080:80", "--expose", "81", "--alias", "web")
		ep := c.NetworkSettings.Networks["a"]
		for _, p := range []struct{ what, got, want string }{
			{"Name", c.Name, "c"}, {"Status", c.State.Status, "running"}, {"IPAddress", ep.IPAddress, "172.30.0.9"},
			{"IPPrefixLen", fmt.Sprint(ep.IPPrefixLen), "24"}, {"Gateway", ep.Gateway, "172.30.0.1"},
			{"GlobalIPv6Address", ep.GlobalIPv6Address, "fd00:30::9"}, {"IPv6Gateway", ep.IPv6Gateway, "fd00:30::1"},
			{"MacAddress", ep.MacAddress, "02:42:00:00:00:09"}, {"Aliases", strings.Join(ep.Aliases, " "), "web"},
			{"NetworkMode", c.HostConfig.NetworkMode, "a"},
			{"Ports", fmt.Sprint(c.NetworkSettings.Ports), "map[80/tcp:[{127.0.0.1 8080}] 81/tcp:[]]"},
		} {
			if p.got != p.want {
				t.Errorf("%s is %q, want %q", p.what, p.got, p.want)
			}
		}
		if link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", c.State.Pid)); err != nil || link != fmt.Sprintf("net:[%d]", c.Inode()) {
			t.Errorf("State.Pid %d is in %s (%v), SandboxKey is net:[%d]", c.State.Pid, link, err, c.Inode())
		}
		addr := c.Must(t, "ip", "-o", "addr", "show", "dev", "eth0")
		for _, want := range []string{"172.30.0.9/24", "fd00:30::9/64", "fe80::"} {
			if !strings.Contains(addr, want) {
				t.Errorf("eth0 lacks %s: %s", want, addr)
			}
		}
		if mac := harness.HardwareAddr(t, c.Netns, "eth0"); mac.String() != ep.MacAddress {
			t.Errorf("eth0 has %s", mac)
		}
	})
}

// The network's document lists who is on it.
func TestInspectNetwork(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA, "--label", "color=blue", "--internal", "--gateway", "172.30.0.254", "--ip-range", "172.30.0.128/25", "--aux-address", "printer=172.30.0.129")
		c := e.Sandbox(t, "c", "--network", "a")
		var docs []struct {
			Name, ID, Driver, Scope string
			Internal, EnableIPv6    bool
			Labels                  map[string]string
			IPAM                    struct {
				Config []struct {
					Subnet, Gateway, IPRange string
					AuxiliaryAddresses       map[string]string
				}
			}
			Containers map[string]struct{ Name, IPv4Address, MacAddress string }
		}
		e.JSON(t, &docs, "network", "inspect", "a")
		d := docs[0]
		if d.Name != "a" || d.Driver != "bridge" || d.Scope != "local" || !d.Internal || !d.EnableIPv6 || d.Labels["color"] != "blue" {
			t.Errorf("document is %+v", d)
		}
		if p := d.IPAM.Config[0]; p.Subnet != "172.30.0.0/24" || p.Gateway != "172.30.0.254" || p.IPRange != "172.30.0.128/25" || p.AuxiliaryAddresses["printer"] != "172.30.0.129" {
			t.Errorf("pool is %+v", p)
		}
		// .128 and .129 are the first of the range; .129 is the printer's.
		if got := d.Containers[c.ID]; got.Name != "c" || got.IPv4Address != "172.30.0.128/24" {
			t.Errorf("containers are %+v", d.Containers)
		}
	})
}

// Every reading command has -o json.
func TestJSONOutput(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c := e.Sandbox(t, "c", "--network", "a", "-p", "8080:80/udp")
		harness.ServeUDP(t, c.Netns, 80, "c")
		if _, err := harness.GetUDP(e.LAN1, at(harness.HostIP4, 8080)); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"network", "ls"}, {"ps"}, {"port", "c"}, {"flow", "ls"}, {"status"}, {"version"}, {"inspect", "c"}, {"network", "inspect", "a"}} {
			out := e.Must(t, append(args, "-o", "json")...)
			if !json.Valid([]byte(out)) {
				t.Errorf("fairway %s -o json: %s", strings.Join(args, " "), out)
			}
		}
		var flows []struct {
			Proto         int
			Src, Dst      string
			NATDst        string `json:"nat_dst"`
			Kind, Sandbox string
		}
		e.JSON(t, &flows, "flow", "ls", "-o", "json")
		for _, f := range flows {
			if f.Proto == 17 && f.Dst == at(harness.HostIP4, 8080) {
				if f.NATDst != at(c.IP(t, "a", harness.V4()), 80) || f.Kind != "published" || f.Sandbox != "c" {
					t.Errorf("flow is %+v", f)
				}
				return
			}
		}
		t.Errorf("the flow isn't listed: %+v", flows)
	})
}
