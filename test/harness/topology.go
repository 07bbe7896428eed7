// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os/exec"
	"testing"

	"github.com/fairway-project/fairway/test/cell"
)

// Addresses of the topology, without prefix lengths.
const (
	HostIP4, HostIP6     = "192.0.2.1", "2001:db8::1"
	LAN1IP4, LAN1IP6     = "192.0.2.10", "2001:db8::10"
	LAN2IP4, LAN2IP6     = "192.0.2.11", "2001:db8::11"
	RouterIP4, RouterIP6 = "192.0.2.254", "2001:db8::fe"
	WANIP4, WANIP6       = "198.51.100.10", "2001:db8:1::10"
)

// Topology is the world around the host under test.
//
// ID begins the name of everything that the machine sees of it.
type Topology struct {
	ID                                    string
	Switch, Host, LAN1, LAN2, Router, WAN *Netns
}

// NewTopology makes the namespaces and connects them. They go with the test.
func NewTopology(t testing.TB) *Topology {
	t.Helper()
	var raw [4]byte
	if _, err := rand.Read(raw[:]); err != nil {
		t.Fatal(err)
	}
	w := &Topology{ID: cell.Named(hex.EncodeToString(raw[:]))}
	for _, part := range []struct {
		ns   **Netns
		name string
	}{{&w.Switch, "sw"}, {&w.Host, "host"}, {&w.LAN1, "lan1"}, {&w.LAN2, "lan2"}, {&w.Router, "rtr"}, {&w.WAN, "wan"}} {
		*part.ns = w.add(t, part.name)
	}
	w.wire(t)
	w.address(t)
	return w
}

// all are the namespaces that every topology has.
func (w *Topology) all() []*Netns {
	return []*Netns{w.Switch, w.Host, w.LAN1, w.LAN2, w.Router, w.WAN}
}

func (w *Topology) add(t testing.TB, name string) *Netns {
	t.Helper()
	full := w.ID + "-" + name
	ipBatch(t, "", "netns add "+full)
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", full).CombinedOutput(); err != nil {
			t.Errorf("remove namespace %s: %v: %s", full, err, out)
		}
	})
	n := OpenNetns(t, full, "/run/netns/"+full)
	// Addresses have to be usable at once, and nothing here may ask for routers.
	n.Sysctl(t, "ipv6/conf/default/accept_dad", "0")
	n.Sysctl(t, "ipv6/conf/default/router_solicitations", "0")
	return n
}

// wire connects everybody to the switch, and wan to the router. A port of the
// switch is named after the one it leads to.
func (w *Topology) wire(t testing.TB) {
	t.Helper()
	w.Switch.Sysctl(t, "ipv6/conf/default/disable_ipv6", "1")
	sw := w.Switch.Name
	lines := []string{fmt.Sprintf("link add br0 netns %s type bridge mcast_snooping 0", sw)}
	for _, p := range []struct {
		port string
		ns   *Netns
	}{{"host", w.Host}, {"lan1", w.LAN1}, {"lan2", w.LAN2}, {"rtr", w.Router}} {
		lines = append(lines, fmt.Sprintf("link add eth0 netns %s type veth peer name %s netns %s", p.ns.Name, p.port, sw))
	}
	lines = append(lines, fmt.Sprintf("link add eth1 netns %s type veth peer name eth0 netns %s", w.Router.Name, w.WAN.Name))
	ipBatch(t, "", lines...)
	w.Switch.IP(t, "link set lo up", "link set br0 up",
		"link set host master br0 up", "link set lan1 master br0 up",
		"link set lan2 master br0 up", "link set rtr master br0 up")
}

func (w *Topology) address(t testing.TB) {
	t.Helper()
	onLAN := func(n *Netns, ip4, ip6 string, more ...string) {
		n.IP(t, append([]string{"link set lo up", "link set eth0 up",
			"addr add " + ip4 + "/24 dev eth0", "addr add " + ip6 + "/64 dev eth0 nodad"}, more...)...)
	}
	toRouter := []string{"route add default via " + RouterIP4, "route add default via " + RouterIP6}
	onLAN(w.Host, HostIP4, HostIP6, toRouter...)
	onLAN(w.LAN1, LAN1IP4, LAN1IP6, toRouter...)
	onLAN(w.LAN2, LAN2IP4, LAN2IP6, toRouter...)
	onLAN(w.Router, RouterIP4, RouterIP6, "link set eth1 up",
		"addr add 198.51.100.1/24 dev eth1", "addr add 2001:db8:1::1/64 dev eth1 nodad")
	// Whoever shares the world may have had all the errors that are sent in a second.
	for _, n := range []*Netns{w.LAN1, w.LAN2, w.Router, w.WAN} {
		n.Sysctl(t, "ipv4/icmp_ratelimit", "0")
		n.Sysctl(t, "ipv6/icmp/ratelimit", "0")
	}
	// A new namespace has the first one's setting, whatever that is.
	w.Host.Sysctl(t, "ipv4/ip_forward", "0")
	w.Router.Sysctl(t, "ipv4/ip_forward", "1")
	w.Router.Sysctl(t, "ipv6/conf/all/forwarding", "1")
	w.WAN.IP(t, "link set lo up", "link set eth0 up",
		"addr add "+WANIP4+"/24 dev eth0", "addr add "+WANIP6+"/64 dev eth0 nodad",
		"route add default via 198.51.100.1", "route add default via 2001:db8:1::1")
}
