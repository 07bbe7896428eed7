// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

const (
	netA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	ep1  = "1111111111101010101010101010101010101010101010101010101010101010"
	ep2  = "2222222222202020202020202020202020202020202020202020202020202020"
	ep3  = "3333333333303030303030303030303030303030303030303030303030303030"
	ep4  = "4444444444404040404040404040404040404040404040404040404040404040"
)

func must(t *testing.T, h http.Handler, call, body string) {
	t.Helper()
	if code, got := post(h, "/NetworkDriver."+call, body); code != http.StatusOK {
		t.Fatalf("%s %s: %d %s", call, body, code, got)
	}
}

func refused(t *testing.T, h http.Handler, call, body, why string) {
	t.Helper()
	code, got := post(h, "/NetworkDriver."+call, body)
	if code != http.StatusBadRequest || !strings.Contains(got, why) {
		t.Errorf("%s %s: %d %s, want %q", call, body, code, got, why)
	}
}

func networkBody(options string) string {
	return fmt.Sprintf(`{"NetworkID":%q,"Options":{"com.docker.network.generic":{%s}},"IPv4Data":[{"Pool":"198.51.100.0/24","Gateway":"198.51.100.1/24"}]}`, netA, options)
}

func ref(ep, more string) string {
	return fmt.Sprintf(`{"NetworkID":%q,"EndpointID":%q%s}`, netA, ep, more)
}

// joined makes a network with an endpoint in a container.
func joined(t *testing.T, h http.Handler, options string) {
	t.Helper()
	must(t, h, "CreateNetwork", networkBody(options))
	must(t, h, "CreateEndpoint", ref(ep1, `,"Interface":{"Address":"198.51.100.2/24"}`))
	must(t, h, "Join", ref(ep1, `,"SandboxKey":"/netns/one"`))
}

func program(t *testing.T, h http.Handler, bindings string) {
	t.Helper()
	must(t, h, "ProgramExternalConnectivity", ref(ep1, `,"Options":{"com.docker.network.portmap":[`+bindings+`]}`))
}

// An endpoint whose devices went with the host is forgotten at start, its network
// is made again.
func TestDevicesGone(t *testing.T) {
	k, h, dir := world(t)
	joined(t, h, "")
	after := newKernel()
	d := open(t, after, dir)
	if _, ok := after.networks[netA]; !ok || len(after.endpoints)+len(d.records.Endpoints) > 0 {
		t.Errorf("after a reboot: networks %v, endpoints %v, stored %v", after.networks, after.endpoints, d.records.Endpoints)
	}
	if len(k.endpoints) != 1 {
		t.Errorf("before: %v", k.endpoints)
	}
}

// An address that Docker gives again belonged to an endpoint that is gone.
func TestAddressGivenAgain(t *testing.T) {
	k, h, _ := world(t)
	joined(t, h, "")
	must(t, h, "CreateEndpoint", ref(ep2, `,"Interface":{"Address":"198.51.100.2/24"}`))
	must(t, h, "Join", ref(ep2, `,"SandboxKey":"/netns/two"`))
	if _, former := k.endpoints[ep1]; former || k.endpoints[ep2].IPv4.String() != "198.51.100.2" {
		t.Errorf("endpoints: %v", k.endpoints)
	}
}

// A MAC that is made from an address may be one that a user chose for another endpoint.
func TestChosenMAC(t *testing.T) {
	_, h, _ := world(t)
	must(t, h, "CreateNetwork", networkBody(""))
	const chosen = "02:42:c6:33:64:03" // 198.51.100.3
	must(t, h, "CreateEndpoint", ref(ep1, `,"Interface":{"Address":"198.51.100.2/24","MacAddress":"`+chosen+`"}`))
	code, got := post(h, "/NetworkDriver.CreateEndpoint", ref(ep2, `,"Interface":{"Address":"198.51.100.3/24"}`))
	if code != http.StatusOK || !strings.Contains(got, `"02:42:`) || strings.Contains(got, chosen) {
		t.Errorf("%d %s", code, got)
	}
}

// A network that Docker doesn't repeat is the same, and one that it does too.
func TestSecondRequests(t *testing.T) {
	_, h, _ := world(t)
	joined(t, h, "")
	must(t, h, "CreateNetwork", networkBody(""))
	refused(t, h, "CreateNetwork", networkBody(`"com.docker.network.driver.mtu":"1400"`), "is another")
	refused(t, h, "CreateEndpoint", ref(ep1, `,"Interface":{"Address":"198.51.100.3/24"}`), "is another")
}

func TestRefused(t *testing.T) {
	_, h, _ := world(t)
	for options, why := range map[string]string{
		`"colour":"red"`: `option \"colour\": unknown`,
		`"com.docker.network.driver.mtu":"70000"`:                   "want 68 to 65535",
		`"com.docker.network.bridge.name":"a/b"`:                    "want a device name",
		`"com.docker.network.container_iface_prefix":"lo"`:          "want a device name prefix",
		`"com.docker.network.bridge.gateway_mode_ipv4":"isolated"`:  "only for --internal",
		`"com.docker.network.bridge.gateway_mode_ipv4":"elsewhere"`: "want nat",
	} {
		refused(t, h, "CreateNetwork", networkBody(options), why)
	}
	refused(t, h, "CreateNetwork", fmt.Sprintf(`{"NetworkID":%q,"IPv4Data":[{"Pool":"0.0.0.0/0"}]}`, netA), "not one to share out")
	refused(t, h, "CreateNetwork", `{"NetworkID":"../x"}`, "want 64 hex digits")
	refused(t, h, "CreateNetwork", `{"NetworkID":`, "unexpected end")
	joined(t, h, "")
	refused(t, h, "CreateEndpoint", ref(ep2, ""), "no interface")
	refused(t, h, "CreateEndpoint", ref(ep2, `,"Interface":{"Address":"203.0.113.2/24"}`), "not one of the network's")
	refused(t, h, "Join", ref(ep2, `,"SandboxKey":"/x"`), "not known")
	refused(t, h, "ProgramExternalConnectivity", ref(ep1, `,"Options":{"com.docker.network.portmap":[{"Proto":1,"Port":80}]}`), "want a port of tcp")
}

// What the datapath is told of a published port, by the network's options.
func TestPorts(t *testing.T) {
	target := model.Subnet{}.Gateway
	for _, c := range []struct {
		options, binding string
		want             []string
	}{
		{"", `{"Proto":6,"Port":80,"HostIP":"127.0.0.1"}`, []string{"127.0.0.1 80/tcp"}},
		{"", `{"Proto":6,"Port":80,"HostIP":"::1"}`, []string{"::1 80/tcp host only"}},
		{`"com.docker.network.bridge.host_binding_ipv4":"127.0.0.1"`, `{"Proto":17,"Port":80}`, []string{"127.0.0.1 80/udp"}},
		{`"com.docker.network.bridge.gateway_mode_ipv4":"routed"`, `{"Proto":6,"Port":80}`, []string{"invalid IP 80/tcp routed"}},
	} {
		k, h, _ := world(t)
		joined(t, h, c.options)
		program(t, h, c.binding)
		var got []string
		for _, p := range k.ports[ep1] {
			got = append(got, describe(p))
			target = p.Target
		}
		if diff := cmp.Diff(c.want, got); diff != "" || target.String() != "198.51.100.2" {
			t.Errorf("%s, %s: to %s (-want +got):\n%s", c.options, c.binding, target, diff)
		}
		must(t, h, "RevokeExternalConnectivity", ref(ep1, ""))
		if len(k.ports) > 0 {
			t.Errorf("ports after the end: %v", k.ports)
		}
	}
}

func describe(p datapath.Port) string {
	s := fmt.Sprint(p.HostIP, " ", p.Port)
	if p.HostOnly {
		s += " host only"
	}
	if p.Routed {
		s += " routed"
	}
	return s
}

// A file that isn't what was written is refused rather than replaced.
func TestDamagedFile(t *testing.T) {
	for _, text := range []string{"", "{", `{"version":2}`, `{"version":1,"networks":null}`, `{"version":1,"networks":{"x":null}}`, `{"version":1,"endpoints":{"x":{"id":"x"}}}`} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, FormerFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := New(Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), FormerFile) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// An endpoint whose device can't be removed stays guarded, and published, until it can.
func TestDeviceCannotBeRemoved(t *testing.T) {
	k, h, _ := world(t)
	joined(t, h, "")
	program(t, h, `{"Proto":6,"Port":80}`)
	k.stuck = errors.New("device is busy")
	for _, call := range []string{"Leave", "DeleteEndpoint"} {
		if code, got := post(h, "/NetworkDriver."+call, ref(ep1, "")); code == http.StatusOK || !strings.Contains(got, "device is busy") {
			t.Errorf("%s: %d %s", call, code, got)
		}
		if len(k.endpoints) != 1 || len(k.ports) != 1 {
			t.Errorf("after %s: endpoints %v, ports %v", call, k.endpoints, k.ports)
		}
	}
	k.stuck = nil
	must(t, h, "DeleteEndpoint", ref(ep1, ""))
	must(t, h, "DeleteNetwork", `{"NetworkID":"`+netA+`"}`)
	k.empty(t)
}
