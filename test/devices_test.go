// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// REL-08: the uplink gets another name.
func TestUplinkIsRenamed(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		serve(t, c1.Netns, 80, "c1")
		serve(t, e.WAN, 80, "wan")
		flows := harness.NewFlows(t)
		flows.TCP(t, c1.Netns, at(harness.WANIP4, 80))
		rename := func(from, to string) {
			e.Host.IP(t, "link set "+from+" name "+to)
			e.EachFamily(t, func(t *testing.T, f harness.Family) {
				reachesSoon(t, c1.Netns, at(f.WAN, 80), "wan", f.Host)
				reachesSoon(t, e.LAN1, at(f.Host, 8080), "c1", f.LAN1)
			})
			harness.Eventually(t, to+" to be listed", func() error {
				if out := e.Must(t, "status"); !strings.Contains(out, to) {
					return fmt.Errorf("status is %s", out)
				}
				return nil
			})
		}
		rename("eth0", "wan7")
		rename("wan7", "eth0")
		flows.Stop(t)
	})
}

// REL-08: somebody deletes a sandbox's device; others go on, nobody answers in its place until
// it is made again, and the sandbox can be given a new one.
func TestDeviceOfSandboxVanishes(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		c2 := e.Sandbox(t, "c2", "--network", "a", "-p", "8081:80", "-p", "8081:80/udp")
		serve(t, c1.Netns, 80, "c1")
		serve(t, c2.Netns, 80, "c2")
		flows := harness.NewFlows(t)
		flows.TCP(t, e.LAN1, at(harness.HostIP4, 8081))
		e.Host.IP(t, "link del veth"+c1.NetworkSettings.Networks["a"].EndpointID[:11])
		for name, probe := range harness.Probes() {
			if r, err := probe(e.LAN1, at(harness.HostIP4, 8080), harness.Within(harness.Silence)); err == nil && r.Tag != "c1" {
				t.Errorf("%s answers in place of c1 over %s", r.Tag, name)
			}
		}
		e.Must(t, "network", "disconnect", "--force", "a", "c1")
		e.Must(t, "network", "connect", "a", "c1")
		c1.Refresh(t)
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			reachesSoon(t, c2.Netns, at(c1.IP(t, "a", f), 80), "c1", c2.IP(t, "a", f))
			reachesSoon(t, e.LAN1, at(f.Host, 8080), "c1", f.LAN1)
		})
		flows.Stop(t)
	})
}

// REL-08: connections that were masqueraded with an address that the host lost
// are forgotten; what follows has the new one.
func TestFlowsOfLostAddress(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, _ := pair(t, e)
		serve(t, e.WAN, 80, "wan")
		u, err := harness.DialUDP(c1.Netns, at(harness.WANIP4, 80), harness.From(":40010"))
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		if r, err := u.Exchange(8, harness.Patience); err != nil || r.Seen.Addr().String() != harness.HostIP4 {
			t.Fatalf("before: seen as %v, %v", r.Seen, err)
		}
		change := func(from, to string) {
			e.Host.IP(t, "addr del "+from+"/24 dev eth0", "addr add "+to+"/24 dev eth0",
				"route replace default via "+harness.RouterIP4)
		}
		change(harness.HostIP4, "192.0.2.99")
		harness.Eventually(t, "old socket to be seen with the new address", func() error {
			r, err := u.Exchange(8, harness.Silence)
			if err == nil && r.Seen.Addr().String() != "192.0.2.99" {
				err = fmt.Errorf("seen as %v", r.Seen)
			}
			return err
		})
		if out := e.Must(t, "flow", "ls"); strings.Contains(out, harness.HostIP4+":") {
			t.Errorf("flows of the old address are left:\n%s", out)
		}
		change("192.0.2.99", harness.HostIP4)
	})
}

// With --uplink only that device is one.
func TestNamedUplinks(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a")
		serve(t, e.WAN, 80, "wan")
		side := harness.NewSide(t, e.Topology)
		defer side.Remove(t)
		harness.Reaches(t, c1.Netns, harness.WANIP4, 80, "wan")
		var status struct {
			Uplinks []string `json:"uplinks"`
		}
		e.JSON(t, &status, "status", "-o", "json")
		if len(status.Uplinks) != 1 || status.Uplinks[0] != "eth0" {
			t.Errorf("uplinks are %v", status.Uplinks)
		}
	}, harness.DaemonArgs("--uplink", "eth0"))
}
