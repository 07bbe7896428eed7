// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"net/netip"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
)

// family is one address family's view of the world.
type familyView struct {
	name, host, lan, loopback string
	addr                      func(container) string
}

func views() []familyView {
	return []familyView{
		{"IPv4", hostAddr4, lanAddr4, "127.0.0.1", func(c container) string { return c.IPv4.String() }},
		{"IPv6", hostAddr6, lanAddr6, "::1", func(c container) string { return c.IPv6.String() }},
	}
}

// The walks that every host must have, in both families, over TCP and UDP.
func TestWalks(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		n1, n2 := w.network(1), w.network(2)
		c1, c2, c3 := w.container(n1, 2), w.container(n1, 3), w.container(n2, 2)
		w.publish(c1, publish(c1, 8080, 80, model.TCP), publish(c1, 5353, 53, model.UDP))
		serveTCP(t, c1.ns, "c1", 80)
		serveUDP(t, c1.ns, "c1", 53)
		serveTCP(t, w.lan, "lan", 80)
		serveUDP(t, w.lan, "lan", 53)
		for _, v := range views() {
			t.Run(v.name, func(t *testing.T) {
				// Out by masquerade.
				reaches(t, c1.ns, "tcp", v.lan, 80, "lan "+v.host)
				reaches(t, c1.ns, "udp", v.lan, 53, "lan "+v.host)
				// In, with the client's address.
				reaches(t, w.lan, "tcp", v.host, 8080, "c1 "+v.lan)
				reaches(t, w.lan, "udp", v.host, 5353, "c1 "+v.lan)
				// From the host itself.
				reaches(t, w.host, "tcp", v.host, 8080, "c1 *")
				reaches(t, w.host, "udp", v.host, 5353, "c1 *")
				reaches(t, w.host, "tcp", v.loopback, 8080, "c1 *")
				reaches(t, w.host, "udp", v.loopback, 5353, "c1 *")
				reaches(t, w.host, "tcp", v.addr(c1), 80, "c1 *")
				// From containers: itself, a peer, another network.
				for _, c := range []container{c1, c2, c3} {
					reaches(t, c.ns, "tcp", v.host, 8080, "c1 *")
					reaches(t, c.ns, "udp", v.host, 5353, "c1 *")
				}
				reaches(t, c2.ns, "tcp", v.addr(c1), 80, "c1 "+v.addr(c2))
				// Refused: another network, and the LAN with a route.
				silent(t, c3.ns, "tcp", v.addr(c1), 80)
				silent(t, w.lan, "tcp", v.addr(c1), 80)
				silent(t, w.lan, "udp", v.addr(c1), 53)
			})
		}
	})
}

// A container without IPv6 serves IPv6 sockets of the host, and nobody else's.
func TestHostOnly(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		n := w.network(1, func(n *datapath.Network) { n.IPv6 = nil })
		c := w.container(n, 2)
		w.publish(c, publish(c, 8080, 80, model.TCP), publish(c, 5353, 53, model.UDP))
		serveTCP(t, c.ns, "c", 80)
		serveUDP(t, c.ns, "c", 53)
		for _, addr := range []string{"::1", hostAddr6} {
			reaches(t, w.host, "tcp", addr, 8080, "c 10.9.1.1")
			reaches(t, w.host, "udp", addr, 5353, "c 10.9.1.1")
		}
		if _, err := ask(w.lan, "tcp", hostAddr6, 8080, patience); err == nil {
			t.Error("the LAN reached a HostOnly port")
		}
		must(t, w.d.EnsurePorts(t.Context(), c.ID, nil))
		if got, err := ask(w.host, "tcp", "::1", 8080, patience); err == nil {
			t.Errorf("answer %q by a port that is no longer published", got)
		}
	})
}

// A port on 127.0.0.1 is the host's own: a packet that claims to be for it is
// dropped when it comes from the LAN.
func TestLoopbackPublication(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		c := w.container(w.network(1), 2)
		w.publish(c, publish(c, 9090, 90, model.TCP, "127.0.0.1"))
		serveTCP(t, c.ns, "c", 90)
		reaches(t, w.host, "tcp", "127.0.0.1", 9090, "c *")
		w.run(w.lan, "sysctl -qw net.ipv4.conf.all.route_localnet=1")
		w.run(w.lan, "ip addr del 127.0.0.1/8 dev lo")
		w.run(w.lan, "ip route add 127.0.0.1/32 via "+hostAddr4+" dev eth0 src "+lanAddr4)
		silent(t, w.lan, "tcp", "127.0.0.1", 9090)
		if n := w.drops("martian"); n == 0 {
			t.Error("no martian drop was counted")
		}
	})
}

// drops returns the packets dropped for a reason.
func (w *world) drops(reason string) (n uint64) {
	w.t.Helper()
	st, err := w.d.Stats(w.t.Context())
	must(w.t, err)
	for _, d := range st.Drops {
		if d.Reason == reason {
			n += d.Packets
		}
	}
	return n
}

func TestICC(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		n := w.network(1, func(n *datapath.Network) { n.ICC = false })
		c1, c2, c3 := w.container(n, 2), w.container(n, 3), w.container(n, 4)
		w.publish(c1, publish(c1, 8080, 80, model.TCP))
		serveTCP(t, c1.ns, "c1", 80)
		serveTCP(t, w.lan, "lan", 80)
		c3.Links = []datapath.Link{{IPv4: c1.IPv4, IPv6: c1.IPv6, Ports: []model.Port{{Num: 80, Proto: model.TCP}}}}
		must(t, w.d.EnsureEndpoint(t.Context(), c3.Endpoint))
		for _, v := range views() {
			silent(t, c2.ns, "tcp", v.addr(c1), 80)
			reaches(t, c3.ns, "tcp", v.addr(c1), 80, "c1 *")
			reaches(t, c2.ns, "tcp", v.host, 8080, "c1 *")
			reaches(t, c2.ns, "tcp", v.lan, 80, "lan "+v.host)
		}
		if w.drops("icc") == 0 {
			t.Error("no icc drop was counted")
		}
		c3.Links = nil
		must(t, w.d.EnsureEndpoint(t.Context(), c3.Endpoint))
		silent(t, c3.ns, "tcp", c1.IPv4.String(), 80)
	})
}

func TestInternal(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		n := w.network(1, func(n *datapath.Network) { n.Internal = true })
		out := w.container(w.network(2), 2)
		c1, c2 := w.container(n, 2), w.container(n, 3)
		serveTCP(t, c1.ns, "c1", 80)
		serveTCP(t, out.ns, "out", 80)
		serveTCP(t, w.lan, "lan", 80)
		// A process inside makes itself a way out; it leads nowhere.
		w.run(c1.ns, "ip route add default via 10.9.1.1")
		w.run(c1.ns, "ip -6 route add default via fd00:9:1::1")
		for _, v := range views() {
			reaches(t, c2.ns, "tcp", v.addr(c1), 80, "c1 *")
			reaches(t, w.host, "tcp", v.addr(c1), 80, "c1 *")
			silent(t, c1.ns, "tcp", v.lan, 80)
			silent(t, c1.ns, "tcp", v.addr(out), 80)
			silent(t, w.lan, "tcp", v.addr(c1), 80)
			silent(t, out.ns, "tcp", v.addr(c1), 80)
		}
		if w.drops("internal") == 0 {
			t.Error("no internal drop was counted")
		}
	})
}

func TestGatewayModes(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		routed := w.container(w.network(1, mode(model.GatewayRouted)), 2)
		open := w.container(w.network(2, mode(model.GatewayNATUnprotected)), 2)
		trusting := w.container(w.network(3, func(n *datapath.Network) {
			n.Trusted = []string{"eth0"}
		}), 2)
		for name, c := range map[string]container{"routed": routed, "open": open, "trusting": trusting} {
			serveTCP(t, c.ns, name, 80)
			serveTCP(t, c.ns, name, 22)
		}
		ports := publish(routed, 0, 80, model.TCP)
		for i := range ports {
			ports[i].Routed = true
		}
		w.publish(routed, ports)
		w.publish(trusting, publish(trusting, 8083, 80, model.TCP))
		serveTCP(t, w.lan, "lan", 80)
		for _, v := range views() {
			reaches(t, w.lan, "tcp", v.addr(routed), 80, "routed "+v.lan)
			silent(t, w.lan, "tcp", v.addr(routed), 22)
			reaches(t, routed.ns, "tcp", v.lan, 80, "lan "+v.addr(routed))
			reaches(t, w.lan, "tcp", v.addr(open), 22, "open "+v.lan)
			reaches(t, open.ns, "tcp", v.lan, 80, "lan "+v.host)
			reaches(t, w.lan, "tcp", v.addr(trusting), 80, "trusting "+v.lan)
			silent(t, w.lan, "tcp", v.addr(trusting), 22)
		}
		for _, c := range []container{routed, open, trusting} {
			if got := w.reply(w.lan, c.IPv4); (got == nil) != (c.ID != trusting.ID) {
				t.Errorf("ping to %s: %v", c.IPv4, got)
			}
		}
	})
}

func mode(m model.GatewayMode) netOption {
	return func(n *datapath.Network) { n.IPv4.Mode, n.IPv6.Mode = m, m }
}

// reply sends one echo request and returns nil if it was answered.
func (w *world) reply(ns string, to netip.Addr) error {
	return netns.Do(ns, func() error {
		_, err := run(w.t.Context(), "", "ping", "-c", "1", "-W", "1", to.String())
		return err
	})
}

// Gateway mode nat with a fixed masquerade address.
func TestSNATSource(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		const other4, other6 = "198.51.100.77", "2001:db8:100::77"
		w.run(w.host, "ip addr add "+other4+"/24 dev eth0")
		w.run(w.host, "ip addr add "+other6+"/64 dev eth0 nodad")
		c := w.container(w.network(1, func(n *datapath.Network) {
			n.IPv4.Source, n.IPv6.Source = netip.MustParseAddr(other4), netip.MustParseAddr(other6)
		}), 2)
		serveTCP(t, w.lan, "lan", 80)
		reaches(t, c.ns, "tcp", lanAddr4, 80, "lan "+other4)
		reaches(t, c.ns, "tcp", lanAddr6, 80, "lan "+other6)
	})
}

// The daemon is not in the data path: after Close, as after kill -9, published
// ports and outgoing connections work as before.
func TestWorksWithoutDaemon(t *testing.T) {
	w := newWorld(t, "nft")
	c := w.container(w.network(1), 2)
	w.publish(c, publish(c, 8080, 80, model.TCP))
	serveTCP(t, c.ns, "c", 80)
	serveTCP(t, w.lan, "lan", 80)
	must(t, w.d.Close())
	for _, v := range views() {
		reaches(t, w.lan, "tcp", v.host, 8080, "c "+v.lan)
		reaches(t, c.ns, "tcp", v.lan, 80, "lan "+v.host)
		silent(t, w.lan, "tcp", v.addr(c), 80)
	}
}

// Publishing one port more does not rewrite the others.
func TestPublishWritesTheDifference(t *testing.T) {
	w := newWorld(t, "nft")
	c := w.container(w.network(1), 2)
	var ports []datapath.Port
	for i := range uint16(1000) {
		ports = append(ports, publish(c, 20000+i, 1+i, model.TCP, hostAddr4)...)
	}
	w.publish(c, ports)
	old := w.d.state.rulesOfPorts(IPv4, c.ID, w.d.proxy)
	w.publish(c, ports, publish(c, 8080, 80, model.TCP))
	now := w.d.state.rulesOfPorts(IPv4, c.ID, w.d.proxy)
	if d := diff(old, now); len(d.del) != 0 || len(d.add) > 3 {
		t.Errorf("one port more: %d rules deleted, %d added", len(d.del), len(d.add))
	}
	start := time.Now()
	w.publish(c, ports)
	t.Logf("one port less of 1001: %v", time.Since(start))
}
