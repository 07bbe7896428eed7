// SPDX-License-Identifier: Apache-2.0

package test

import (
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
	"golang.org/x/sys/unix"
)

// QOS-01: sockets that are bound to their device, or carry a mark that routes
// them, reach what others reach.
func TestBoundAndMarkedSockets(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		c2 := e.Sandbox(t, "c2", "--network", "a")
		serve(t, c1.Netns, 80, "c1")
		serve(t, e.WAN, 80, "wan")
		bound := harness.Socket(func(fd int) error { return unix.BindToDevice(fd, "eth0") })
		marked := harness.Socket(func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, 0x77) })
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			for _, w := range []walk{
				{c2.Netns, at(f.WAN, 80)}, {c2.Netns, at(c1.IP(t, "a", f), 80)},
				{e.LAN1, at(f.Host, 8080)}, {c2.Netns, at(f.Host, 8080)},
			} {
				for what, option := range map[string]harness.DialOption{"bound": bound, "marked": marked} {
					for proto, probe := range harness.Probes() {
						if _, err := probe(w.from, w.dst, option); err != nil {
							t.Errorf("%s socket, %s, %s → %s: %v", what, proto, w.from.Name, w.dst, err)
						}
					}
				}
			}
		})
	})
}

// MTU-01: what is larger than the uplink takes is answered, not lost, and
// transfers find the size that fits.
func TestJumboNetworkToUplink(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA, "-o", "com.docker.network.driver.mtu=9000")
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80")
		harness.ServeTCP(t, c1.Netns, 80, "c1")
		harness.ServeTCP(t, e.LAN1, 80, "lan1")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			err := harness.Ping(c1.Netns, f.LAN1, "-M", "do", "-s", "4000")
			if err == nil {
				t.Error("4000 bytes pass an uplink of 1500")
			}
			route := c1.Must(t, "ip", "-o", "route", "get", f.LAN1)
			if !strings.Contains(route, "mtu 1500") {
				t.Errorf("the container learned no MTU: %s (%v)", route, err)
			}
			for _, w := range []walk{{c1.Netns, at(f.LAN1, 80)}, {e.LAN1, at(f.Host, 8080)}} {
				c, err := harness.DialTCP(w.from, w.dst)
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Bulk(1 << 20); err != nil {
					t.Errorf("%s → %s: %v", w.from.Name, w.dst, err)
				}
				c.Close()
			}
		})
	})
}
