// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// Addresses come from where the operator says, and the datapath follows them.
func TestAddressOptions(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		harness.ServeTCP(t, d.WAN, 80, "wan")
		d.docker("network", "create", "--subnet", "10.60.0.0/16", "--ip-range", "10.60.5.0/28", "--gateway", "10.60.5.14",
			"--aux-address", "router=10.60.5.1", "-o", "com.docker.network.driver.mtu=1380", "range")
		d.serve("any", "--network", "range", "-p", "7000:80")
		d.serve("fixed", "--network", "range", "--ip", "10.60.200.7", "-p", "7001:80")
		in := netip.MustParsePrefix("10.60.5.0/28")
		if a := netip.MustParseAddr(d.ip("any", "range")); !in.Contains(a) || a.String() == "10.60.5.1" {
			t.Errorf("address %s, want one of %s but the router's", a, in)
		}
		is(t, "address asked for", d.ip("fixed", "range"), "10.60.200.7")
		fixed := d.netns("fixed")
		if link := fixed.Must(t, "ip", "-o", "link", "show", "eth0"); !strings.Contains(link, "mtu 1380") {
			t.Errorf("eth0: %s, want the network's MTU", link)
		}
		d.reaches(d.LAN1, harness.HostIP4+":7000", "any")
		d.reaches(d.LAN1, harness.HostIP4+":7001", "fixed")
		is(t, "source in the network", d.reaches(fixed, d.ip("any", "range")+":80", "any"), "10.60.200.7")
		is(t, "source outside", d.reaches(fixed, harness.WANIP4+":80", "wan"), harness.HostIP4)
		d.pings(fixed, "10.60.5.14")
	})
}

// The options of Docker's bridge that say how ports and sources look outside.
func TestBridgeOptions(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		harness.ServeTCP(t, d.WAN, 80, "wan")
		const option = "com.docker.network.bridge."
		d.docker("network", "create", "-o", option+"host_binding_ipv4=127.0.0.1", "bound")
		d.serve("bound", "--network", "bound", "-p", "7000:80", "-p", harness.HostIP4+":7001:80")
		d.reaches(d.Host, "127.0.0.1:7000", "bound")
		d.closed(d.LAN1, harness.HostIP4+":7000")
		d.reaches(d.LAN1, harness.HostIP4+":7001", "bound")
		d.docker("network", "create", "--subnet", "10.61.0.0/24", "-o", option+"enable_ip_masquerade=false", "plain")
		d.serve("plain", "--network", "plain", "-p", "7002:80")
		d.Router.IP(t, "route add 10.61.0.0/24 via "+harness.HostIP4)
		is(t, "source without masquerading", d.reaches(d.netns("plain"), harness.WANIP4+":80", "wan"), d.ip("plain", "plain"))
		d.reaches(d.LAN1, harness.HostIP4+":7002", "plain")
		d.docker("network", "create", "--ipv6", "--subnet", "10.62.0.0/24", "--subnet", "fd00:62::/64", "dual")
		d.serve("dual", "--network", "dual", "-p", "7003:80")
		d.serve("peer", "--network", "dual")
		peer := d.netns("peer")
		is(t, "IPv6 source outside", d.reaches(peer, "["+harness.WANIP6+"]:80", "wan"), harness.HostIP6)
		d.reaches(peer, "["+d.ip6("dual", "dual")+"]:80", "dual")
		is(t, "IPv6 source that a port shows", d.reaches(d.LAN1, "["+harness.HostIP6+"]:7003", "dual"), harness.LAN1IP6)
		is(t, "IPv4 source that a port shows", d.reaches(d.LAN1, harness.HostIP4+":7003", "dual"), harness.LAN1IP4)
		d.LAN1.IP(t, "route add fd00:62::/64 via "+harness.HostIP6)
		d.closed(d.LAN1, "["+d.ip6("dual", "dual")+"]:80")
		d.LAN1.IP(t, "route del fd00:62::/64 via "+harness.HostIP6)
		d.Router.IP(t, "route del 10.61.0.0/24 via "+harness.HostIP4)
	}, harness.AllowPrivate())
}

// ip6 is a container's IPv6 address on a network.
func (d *engine) ip6(name, network string) string {
	d.t.Helper()
	return d.inspect(name, fmt.Sprintf("{{(index .NetworkSettings.Networks %q).GlobalIPv6Address}}", network))
}

// The daemon's own settings of addresses, changed as an operator does.
func TestDaemonAddresses(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		d.serve("before", "-p", "7000:80", "--restart", "always")
		d.end(syscall.SIGTERM)
		const config = `{"bip": "192.168.77.1/24", "fixed-cidr": "192.168.77.64/26", "mtu": 1390,
			"default-address-pools": [{"base": "10.80.0.0/16", "size": 24}]}`
		if err := os.WriteFile(filepath.Join(d.dir, "daemon.json"), []byte(config), 0o644); err != nil {
			t.Fatal(err)
		}
		d.start()
		d.reaches(d.LAN1, harness.HostIP4+":7000", "before")
		d.serve("after", "-p", "7001:80")
		d.reaches(d.LAN1, harness.HostIP4+":7001", "after")
		is(t, "gateway", d.gateway("after"), "192.168.77.1")
		fixed := netip.MustParsePrefix("192.168.77.64/26")
		for _, name := range []string{"before", "after"} {
			if a := netip.MustParseAddr(d.ip(name, "bridge")); !fixed.Contains(a) {
				t.Errorf("%s has %s, want one of %s", name, a, fixed)
			}
		}
		d.docker("network", "create", "pooled")
		d.serve("pooled", "--network", "pooled", "-p", "7002:80")
		if a := d.ip("pooled", "pooled"); !strings.HasPrefix(a, "10.80.") {
			t.Errorf("address %s, want one of the pool", a)
		}
		d.reaches(d.LAN1, harness.HostIP4+":7002", "pooled")
		is(t, "source between containers", d.reaches(d.netns("after"), d.ip("before", "bridge")+":80", "before"), d.ip("after", "bridge"))
		d.closed(d.netns("after"), d.ip("pooled", "pooled")+":80")
		d.matches()
	})
}

// Containers without a network of their own aren't touched.
func TestOtherModes(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		d.docker("run", "-d", "--name", "host", "--network", "host", image, "/peer", "serve", "7100", "host")
		d.serve("none", "--network", "none")
		d.serve("web", "-p", "7000:80")
		d.docker("run", "-d", "--name", "joined", "--network", "container:web", image, "/peer", "serve", "81", "joined")
		d.reaches(d.LAN1, harness.HostIP4+":7100", "host")
		d.reaches(d.LAN1, "["+harness.HostIP6+"]:7100", "host")
		if out := d.netns("none").Must(t, "ip", "-o", "link"); harness.CountLines(out, "mtu") != 1 || !strings.Contains(out, "lo:") {
			t.Errorf("devices without a network:\n%s", out)
		}
		d.fetches("joined", "127.0.0.1:80", "web")
		d.fetches("web", "127.0.0.1:81", "joined")
		d.reaches(d.Host, d.ip("web", "bridge")+":81", "joined")
		// The one in the host's namespace uses what is published as the host does.
		d.fetches("host", "127.0.0.1:7000", "web")
		d.fetches("host", d.ip("web", "bridge")+":80", "web")
		d.discard("web")
		d.discard("host", "none", "joined")
		d.matches()
	})
}
