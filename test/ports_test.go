// SPDX-License-Identifier: Apache-2.0

package test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
	"github.com/google/go-cmp/cmp"
)

// Every form of -p does what it says, by `fairway port` and by a connection.
func TestPublishForms(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c := e.Sandbox(t, "c", "--network", "a",
			"-p", "8080:80", "-p", "127.0.0.1:8081:81", "-p", "[::1]:8082:82", "-p", "192.0.2.1:8083:83/udp",
			"-p", "8100-8102:90-92", "-p", "8200-8210:93", "-p", "8201:94/sctp")
		want := []string{
			"80/tcp -> 0.0.0.0:8080", "80/tcp -> [::]:8080", "81/tcp -> 127.0.0.1:8081", "82/tcp -> [::1]:8082",
			"83/udp -> 192.0.2.1:8083", "90/tcp -> 0.0.0.0:8100", "90/tcp -> [::]:8100", "91/tcp -> 0.0.0.0:8101",
			"91/tcp -> [::]:8101", "92/tcp -> 0.0.0.0:8102", "92/tcp -> [::]:8102",
			"93/tcp -> 0.0.0.0:8200", "93/tcp -> [::]:8200", "94/sctp -> 0.0.0.0:8201", "94/sctp -> [::]:8201",
		}
		if diff := cmp.Diff(want, strings.Split(e.Must(t, "port", "c"), "\n")); diff != "" {
			t.Errorf("fairway port (-want +got):\n%s", diff)
		}
		if got := e.Must(t, "port", "c", "83/udp"); got != "192.0.2.1:8083" {
			t.Errorf("fairway port c 83/udp: %q", got)
		}
		// The range's first port is taken now; the next sandbox gets the second.
		e.Sandbox(t, "d", "--network", "a", "-p", "8200-8210:93")
		if got := e.Must(t, "port", "d", "93"); !strings.HasPrefix(got, "0.0.0.0:8201") {
			t.Errorf("second choice of a range: %q", got)
		}
		for _, p := range []int{80, 90, 91, 92, 93} {
			harness.ServeTCP(t, c.Netns, p, strconv.Itoa(p))
		}
		for host, tag := range map[int]string{8080: "80", 8100: "90", 8101: "91", 8102: "92", 8200: "93"} {
			if r, err := harness.GetTCP(e.LAN1, at(harness.HostIP4, host)); err != nil || r.Tag != tag {
				t.Errorf("port %d leads to %q (%v), want %s", host, r.Tag, err, tag)
			}
		}
	})
}

// Ports that Fairway chooses are ephemeral ones of the host, the same in both
// families, and -P takes every exposed port.
func TestEphemeralPorts(t *testing.T) {
	prepare := func(t testing.TB, w *harness.Topology) {
		w.Host.Sysctl(t, "ipv4/ip_local_port_range", "45000 45009")
	}
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c := e.Sandbox(t, "c", "--network", "a", "-p", "80", "-p", "127.0.0.1::81", "-P", "--expose", "90-91", "--expose", "92/udp")
		serve(t, c.Netns, 80, "c")
		serve(t, c.Netns, 92, "c")
		seen := map[string]bool{}
		for key, bindings := range c.NetworkSettings.Ports {
			for _, b := range bindings {
				n, err := strconv.Atoi(b.HostPort)
				if err != nil || n < 45000 || n > 45009 {
					t.Errorf("%s is published on %s", key, b.HostPort)
				}
				if b.HostPort != bindings[0].HostPort {
					t.Errorf("%s has two ports: %v", key, bindings)
				}
			}
			seen[key] = len(bindings) > 0
		}
		if diff := cmp.Diff(map[string]bool{"80/tcp": true, "81/tcp": true, "90/tcp": true, "91/tcp": true, "92/udp": true}, seen); diff != "" {
			t.Errorf("published (-want +got):\n%s", diff)
		}
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			port, err := strconv.Atoi(c.NetworkSettings.Ports["80/tcp"][0].HostPort)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := harness.GetTCP(e.LAN1, at(f.Host, port)); err != nil {
				t.Error(err)
			}
		})
	}, harness.Prepare(prepare))
}

// Docker's default binding for ports without an address.
func TestHostBindingOption(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA, "-o", "com.docker.network.bridge.host_binding_ipv4=127.0.0.1")
		c := e.Sandbox(t, "c", "--network", "a", "-p", "8080:80")
		harness.ServeTCP(t, c.Netns, 80, "c")
		if _, err := harness.GetTCP(e.Host, "127.0.0.1:8080"); err != nil {
			t.Error(err)
		}
		harness.Misses(t, e.LAN1, harness.HostIP4, 8080)
	})
}
