// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// Two networks have no path between them until a container is in both, and none
// again afterwards.
func TestNetworksAreApart(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		d.docker("network", "create", "--subnet", "192.168.0.0/16", "--gateway", "192.168.0.1", "mynet")
		d.serve("one")
		d.serve("two", "--network", "mynet", "--ip", "192.168.0.101", "-p", "7000:80")
		one, two := d.netns("one"), d.netns("two")
		d.closed(one, "192.168.0.101:80")
		d.closed(two, d.ip("one", "bridge")+":80")
		// What is published is for everybody, by addresses of the host.
		d.reaches(one, harness.HostIP4+":7000", "two")
		d.reaches(one, "192.168.0.1:7000", "two")
		d.docker("network", "connect", "mynet", "one")
		d.reaches(one, "192.168.0.101:80", "two")
		d.docker("network", "disconnect", "mynet", "one")
		d.closed(one, "192.168.0.101:80")
		d.reaches(one, harness.HostIP4+":7000", "two")
		// The host itself reaches every container.
		d.reaches(d.Host, "192.168.0.101:80", "two")
	})
}

func TestICCOff(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		harness.ServeTCP(t, d.WAN, 80, "wan")
		d.docker("network", "create", "-o", "com.docker.network.bridge.enable_icc=false",
			"-o", "com.docker.network.bridge.name=quiet0", "quiet")
		d.serve("one", "--network", "quiet", "-p", "7000:80")
		d.serve("two", "--network", "quiet")
		two := d.netns("two")
		d.closed(two, d.ip("one", "quiet")+":80")
		d.reaches(two, harness.WANIP4+":80", "wan")
		d.reaches(d.LAN1, harness.HostIP4+":7000", "one")
		if out := d.Must(t, "status"); harness.CountLines(out, "quiet0") != 0 {
			t.Errorf("the bridge of a network counts as an uplink:\n%s", out)
		}
	})
}

func TestInternal(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		harness.ServeTCP(t, d.WAN, 80, "wan")
		d.docker("network", "create", "--internal", "--subnet", "10.9.0.0/24", "inside")
		d.serve("one", "--network", "inside", "-p", "7000:80")
		d.serve("two", "--network", "inside")
		d.serve("three")
		two := d.netns("two")
		d.reaches(two, d.ip("one", "inside")+":80", "one")
		two.Must(t, "ip", "route", "replace", "default", "via", "10.9.0.1")
		d.closed(two, harness.WANIP4+":80")
		d.closed(d.netns("three"), d.ip("one", "inside")+":80")
		d.LAN1.IP(t, "route add 10.9.0.0/24 via "+harness.HostIP4)
		d.closed(d.LAN1, d.ip("one", "inside")+":80")
		d.closed(d.LAN1, harness.HostIP4+":7000")
		d.reaches(d.Host, d.ip("one", "inside")+":80", "one")
	})
}

// A neighbour with a route to the containers reaches none of their ports, and none
// of the host's loopback through them.
func TestDirectRouting(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		d.docker("network", "create", "--subnet", "10.8.0.0/24", "net")
		d.serve("web", "--network", "net", "-p", "7000:80")
		d.LAN1.IP(t, "route add 10.8.0.0/24 via "+harness.HostIP4)
		d.closed(d.LAN1, d.ip("web", "net")+":80")
		if _, err := d.LAN1.Output("ping", "-c1", "-W1", d.ip("web", "net")); err == nil {
			t.Error("a neighbour pings a container")
		}
		d.reaches(d.LAN1, harness.HostIP4+":7000", "web")
		d.serve("local", "--network", "net", "-p", "127.0.0.1:7001:80")
		web := d.netns("web")
		d.closed(web, "10.8.0.1:7001")
		d.LAN1.IP(t, "route add 127.0.0.2/32 via "+harness.HostIP4+" src "+harness.LAN1IP4+" table 7", "rule add pref 0 from all lookup 7")
		d.closed(d.LAN1, "127.0.0.2:7001")
	})
}
