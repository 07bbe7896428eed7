// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// Gateway mode routed, which engines before 27 take for an option that they don't
// know: published ports are open to direct access, everything else is closed, and
// nothing is translated. No proxy tells of these ports.
func TestRoutedNetwork(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		harness.ServeTCP(t, d.LAN2, 80, "lan2")
		d.docker("network", "create", "--subnet", "10.8.0.0/24", "-o", "com.docker.network.bridge.gateway_mode_ipv4=routed", "open")
		d.serve("web", "--network", "open", "-p", "80")
		d.serve("all", "--network", "open", "-P", "--expose", "80")
		d.serve("shut", "--network", "open", "--expose", "80")
		for _, n := range []*harness.Netns{d.LAN1, d.LAN2} {
			n.IP(t, "route add 10.8.0.0/24 via "+harness.HostIP4)
		}
		is(t, "source that the server saw", d.reaches(d.LAN1, d.ip("web", "open")+":80", "web"), harness.LAN1IP4)
		d.reaches(d.LAN1, d.ip("all", "open")+":80", "all")
		d.closed(d.LAN1, d.ip("shut", "open")+":80")
		is(t, "source of a container", d.reaches(d.netns("shut"), harness.LAN2IP4+":80", "lan2"), d.ip("shut", "open"))
		d.serve("other")
		d.reaches(d.netns("other"), d.ip("web", "open")+":80", "web")
		d.closed(d.netns("other"), d.ip("shut", "open")+":80")
		old := d.ip("web", "open")
		d.discard("web")
		d.serve("next", "--network", "open", "--ip", "10.8.0.77")
		d.closed(d.LAN1, old+":80")
		// A second network, which isn't the gateway, opens them too. The container has to
		// answer the way it was asked: its default route would lead out of the other.
		d.docker("network", "create", "--subnet", "10.7.0.0/24", "near")
		d.serve("both", "--network", "near", "-p", "80")
		d.docker("network", "connect", "open", "both")
		d.netns("both").Must(t, "ip", "route", "add", harness.LAN1IP4, "via", "10.8.0.1")
		d.reaches(d.LAN1, d.ip("both", "open")+":80", "both")
		// What is known comes back with the daemon.
		d.Daemon.Kill(t)
		d.Daemon.Start(t)
		d.reaches(d.LAN1, d.ip("all", "open")+":80", "all")
		is(t, "degraded", d.status().Degraded, []string{})
	}, harness.AllowPrivate())
}

// Published ports of a network are open to direct access through interfaces that it
// trusts, to nobody else, and unpublished ones aren't.
func TestTrustedInterface(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		side := harness.NewSide(t, d.Topology)
		defer side.Remove(t)
		d.docker("network", "create", "--subnet", "10.8.0.0/24", "-o", "com.docker.network.bridge.trusted_host_interfaces=wg0:eth1", "net")
		d.serve("web", "--network", "net", "-p", "7000:80")
		d.serve("shut", "--network", "net", "--expose", "80")
		side.IP(t, "route add 10.8.0.0/24 via "+side.HostAddr(harness.V4()))
		d.LAN1.IP(t, "route add 10.8.0.0/24 via "+harness.HostIP4)
		is(t, "source that the server saw", d.reaches(side.Netns, d.ip("web", "net")+":80", "web"), harness.SideIP4)
		d.closed(side.Netns, d.ip("shut", "net")+":80")
		d.closed(d.LAN1, d.ip("web", "net")+":80")
		d.reaches(d.LAN1, harness.HostIP4+":7000", "web")
	}, harness.AllowPrivate())
}
