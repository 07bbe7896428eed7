// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// Who may use a service reaches all of its backends, in both families, over TCP and UDP,
// and nobody else does.
func TestServiceWalks(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		n1, n2, n3 := w.network(1), w.network(2), w.network(3)
		b1, b2, client := w.container(n1, 2), w.container(n1, 3), w.container(n1, 4)
		b3, stranger := w.container(n2, 2), w.container(n3, 2)
		serveAll(t, b1, b2, b3)
		w.ensure(w.service([]datapath.Network{n1, n2}, b1, b2, b3))
		names := []string{b1.ID, b2.ID, b3.ID}
		for i, v := range views() {
			t.Run(v.name, func(t *testing.T) {
				vip, vip2 := vips(1)[i], vips(2)[i]
				for _, p := range both {
					spreads(t, client.ns, p.network, vip, p.port, names...)
					spreads(t, b1.ns, p.network, vip, p.port, names...)
					spreads(t, b3.ns, p.network, vip2, p.port, names...)
					spreads(t, w.host, p.network, vip, p.port, names...)
					spreads(t, w.host, p.network, v.loopback, 8000, names...)
					spreads(t, w.host, p.network, v.host, 8000, names...)
					spreads(t, client.ns, p.network, v.host, 8000, names...)
					spreads(t, b1.ns, p.network, v.host, 8000, names...)
					spreads(t, stranger.ns, p.network, v.host, 8000, names...)
					spreads(t, w.lan, p.network, v.host, 8000, b1.ID+" "+v.lan, b2.ID+" "+v.lan, b3.ID+" "+v.lan)
					for _, ns := range []string{stranger.ns, b3.ns, w.lan} {
						silent(t, ns, p.network, vip, p.port)
						silent(t, ns, p.network, v.addr(b1), p.port)
					}
				}
				for ns, answers := range map[string]bool{client.ns: true, w.host: true, b3.ns: false, w.lan: false} {
					if err := w.reply(ns, netip.MustParseAddr(vip)); (err == nil) != answers {
						t.Errorf("echo to %s from %s: %v, want an answer: %t", vip, ns, err, answers)
					}
				}
			})
		}
	})
}

// A network with icc=false and an internal one let the service's port through, and
// nothing else.
func TestServiceInClosedNetworks(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		for num, option := range []netOption{
			func(n *datapath.Network) { n.ICC = false },
			func(n *datapath.Network) { n.Internal = true },
			func(n *datapath.Network) { n.Internal, n.ICC = true, false },
		} {
			n := w.network(1+num, option)
			b, client := w.container(n, 2), w.container(n, 3)
			serveAll(t, b)
			s := w.service([]datapath.Network{n}, b)
			s.ID = n.ID
			s.Fronts = s.Fronts[:4]
			w.ensure(s)
			for i, v := range views() {
				for _, p := range both {
					reaches(t, client.ns, p.network, vips(1 + num)[i], p.port, b.ID+" *")
					reaches(t, b.ns, p.network, vips(1 + num)[i], p.port, b.ID+" *")
					reaches(t, w.host, p.network, vips(1 + num)[i], p.port, b.ID+" *")
					if !n.ICC {
						silent(t, client.ns, p.network, v.addr(b), p.port)
					}
				}
			}
		}
	})
}

// A backend outside is reached by everybody, with an address that it can answer to.
func TestServiceOutside(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		n := w.network(1)
		client := w.container(n, 3)
		serveTCP(t, w.lan, "lan", 80)
		serveUDP(t, w.lan, "lan", 53)
		s := w.service([]datapath.Network{n})
		for i, to := range []string{lanAddr4 + ":80", "[" + lanAddr6 + "]:80", lanAddr4 + ":53", "[" + lanAddr6 + "]:53"} {
			s.Pools[i].Backends = []datapath.Backend{{Target: netip.MustParseAddrPort(to), Weight: 1, State: model.BackendActive}}
		}
		w.ensure(s)
		for i, v := range views() {
			for _, p := range both {
				reaches(t, client.ns, p.network, vips(1)[i], p.port, "lan "+v.host)
				reaches(t, w.host, p.network, vips(1)[i], p.port, "lan "+v.host)
				reaches(t, w.lan, p.network, v.host, 8000, "lan "+v.host)
			}
		}
	})
}

// Flows that only a rule of the service lets through go on when its last backend drains: in
// an internal network without communication, and from the LAN to a backend outside.
func TestServiceLastDrains(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		w.network(2) // The host forwards.
		n := w.network(1, func(n *datapath.Network) { n.Internal, n.ICC = true, false })
		b, client := w.container(n, 2), w.container(n, 3)
		echoTCP(t, b.ns, b.ID, 80)
		echoTCP(t, w.lan, "lan", 80)
		closed := w.service([]datapath.Network{n}, b)
		closed.Fronts = closed.Fronts[:4]
		outside := w.service(nil)
		outside.ID, outside.Name = "svc2", "outside"
		for i, to := range []string{lanAddr4 + ":80", "[" + lanAddr6 + "]:80"} {
			outside.Pools[i].Backends = []datapath.Backend{{Target: netip.MustParseAddrPort(to), Weight: 1, State: model.BackendActive}}
		}
		w.ensure(closed)
		w.ensure(outside)
		for i, v := range views() {
			for _, of := range []struct {
				service      datapath.Service
				id, ns, addr string
				port         uint16
			}{
				{closed, b.ID, client.ns, vips(1)[i], 80},
				{outside, "lan", w.lan, v.host, 8000},
			} {
				open, err := dial(of.ns, "tcp", of.addr, of.port, patience)
				must(t, err)
				defer open.Close()
				says(t, open, of.id)
				draining := of.service
				draining.Pools = clonePools(draining.Pools)
				for _, p := range draining.Pools {
					for i := range p.Backends {
						p.Backends[i].State = model.BackendDraining
					}
				}
				w.ensure(draining)
				says(t, open, of.id)
				refused(t, of.ns, "tcp", of.addr, of.port)
				w.ensure(of.service)
			}
		}
	})
}

// A published IPv6 port whose backends have IPv4 only serves the host's sockets.
func TestServiceHostOnly(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		n := w.network(1, func(n *datapath.Network) { n.IPv6 = nil })
		b1, b2 := w.container(n, 2), w.container(n, 3)
		serveAll(t, b1, b2)
		s := w.service([]datapath.Network{n}, b1, b2)
		for i := range s.Fronts {
			if fr := &s.Fronts[i]; fr.Addr.Is6() {
				fr.HostOnly, fr.Pool = true, fr.Pool-1
			}
		}
		w.ensure(s)
		for _, network := range []string{"tcp", "udp"} {
			for _, addr := range []string{"::1", hostAddr6} {
				spreads(t, w.host, network, addr, 8000, b1.ID, b2.ID)
			}
			if _, err := ask(w.lan, network, hostAddr6, 8000, refusal); err == nil {
				t.Error("the LAN reached a HostOnly port over " + network)
			}
		}
		w.ensure(setState(s, b1, model.BackendDown))
		for range 10 {
			reaches(t, w.host, "tcp", "::1", 8000, b2.ID+" *")
		}
		w.ensure(setState(setState(s, b1, model.BackendDown), b2, model.BackendDraining))
		refused(t, w.host, "tcp", "::1", 8000)
		refused(t, w.host, "udp", "::1", 8000)
	})
}

// clientsOf are those of a service in the two worlds: by its address, and by the port.
func (w *world) clientsOf(c container) []struct{ ns, tcp, udp string } {
	return []struct{ ns, tcp, udp string }{
		{c.ns, "10.9.1.200:80", "10.9.1.200:53"},
		{c.ns, "[fd00:9:1::c8]:80", "[fd00:9:1::c8]:53"},
		{w.lan, hostAddr4 + ":8000", hostAddr4 + ":8000"},
		{w.lan, "[" + hostAddr6 + "]:8000", "[" + hostAddr6 + "]:8000"},
		{w.host, "10.9.1.200:80", "10.9.1.200:53"},
		{w.host, "127.0.0.1:8000", "127.0.0.1:8000"},
		{w.host, "[::1]:8000", "[::1]:8000"},
	}
}

// A backend that drains keeps its flows and gets no new ones; of one that is down the
// TCP flows end with a reset, and the UDP flows go to another; without backends clients
// are refused.
func TestServiceStates(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		n := w.network(1)
		b1, b2, client := w.container(n, 2), w.container(n, 3), w.container(n, 4)
		for _, c := range []container{b1, b2} {
			echoTCP(t, c.ns, c.ID, 80)
			serveUDP(t, c.ns, c.ID, 53)
		}
		s := w.service([]datapath.Network{n}, b1, b2)
		onlyFirst := setState(s, b2, model.BackendDraining)
		for _, from := range w.clientsOf(client) {
			at := func(addr string) (string, uint16) {
				a := netip.MustParseAddrPort(addr)
				return a.Addr().String(), a.Port()
			}
			w.ensure(onlyFirst)
			addr, port := at(from.tcp)
			tcp, err := dial(from.ns, "tcp", addr, port, patience)
			must(t, err)
			defer tcp.Close()
			udpAddr, udpPort := at(from.udp)
			udp, err := dial(from.ns, "udp", udpAddr, udpPort, patience)
			must(t, err)
			defer udp.Close()
			says(t, tcp, b1.ID)
			says(t, udp, b1.ID)

			w.ensure(setState(s, b1, model.BackendDraining))
			says(t, tcp, b1.ID)
			says(t, udp, b1.ID)
			for range 5 {
				reachesEcho(t, from.ns, "tcp", addr, port, b2.ID)
				reachesEcho(t, from.ns, "udp", udpAddr, udpPort, b2.ID)
			}

			w.ensure(setState(s, b1, model.BackendDown))
			ends(t, tcp)
			says(t, udp, b2.ID)

			w.ensure(setState(setState(s, b1, model.BackendDown), b2, model.BackendDraining))
			refused(t, from.ns, "tcp", addr, port)
			refused(t, from.ns, "udp", udpAddr, udpPort)
			says(t, udp, b2.ID)
			if w.drops("no_backend") == 0 {
				t.Error("no refusal was counted")
			}
			waiting, err := dial(from.ns, "udp", udpAddr, udpPort, patience)
			must(t, err)
			defer waiting.Close()
			if _, err := exchangeWith(waiting); err == nil {
				t.Error("an answer without a backend")
			}
			w.ensure(setState(s, b1, model.BackendDown))
			says(t, waiting, b2.ID)
		}
		must(t, w.d.DeleteEndpoint(t.Context(), b2.ID))
		w.ensure(onlyFirst)
		reachesEcho(t, client.ns, "tcp", "10.9.1.200", 80, b1.ID)
		must(t, w.d.DeleteEndpoint(t.Context(), b1.ID))
		refused(t, client.ns, "tcp", "10.9.1.200", 80)
		must(t, w.d.EnsureEndpoint(t.Context(), b1.Endpoint))
		reachesEcho(t, client.ns, "tcp", "10.9.1.200", 80, b1.ID)
	})
}

// A client keeps its backend for as long as it is told to, and has another when its own
// takes no new flows.
func TestServiceAffinity(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		n := w.network(1)
		b1, b2, b3, client := w.container(n, 2), w.container(n, 3), w.container(n, 4), w.container(n, 5)
		serveAll(t, b1, b2, b3)
		s := w.service([]datapath.Network{n}, b1, b2, b3)
		s.Affinity = dayOfAffinity
		w.ensure(s)
		for i, v := range views() {
			for ns, addr := range map[string]string{client.ns: vips(1)[i], w.lan: v.host} {
				port := uint16(80)
				if ns == w.lan {
					port = 8000
				}
				first := nameAt(t, ns, addr, port)
				for range 20 {
					reaches(t, ns, "tcp", addr, port, first+" *")
				}
				for _, b := range []container{b1, b2, b3} {
					if b.ID == first {
						w.ensure(setState(s, b, model.BackendDraining))
					}
				}
				second := nameAt(t, ns, addr, port)
				if second == first {
					t.Errorf("%s still leads to %s, which drains", addr, first)
				}
				w.ensure(s)
				for range 20 {
					reaches(t, ns, "tcp", addr, port, second+" *")
				}
			}
		}
		s.Affinity = time.Second
		w.ensure(s)
		spreadsSlowly(t, client.ns, vips(1)[0], b1.ID, b2.ID, b3.ID)
	})
}

// spreadsSlowly asks until all have answered, with pauses in which a client is forgotten.
func spreadsSlowly(t *testing.T, ns, addr string, names ...string) {
	t.Helper()
	seen := make(map[string]bool)
	for range 60 {
		seen[nameAt(t, ns, addr, 80)] = true
		if len(seen) == len(names) {
			return
		}
		time.Sleep(1100 * time.Millisecond) // what is tested is a time
	}
	t.Errorf("%s: only %v answered", addr, seen)
}

// Only sources that are allowed, and the host, get to a service.
func TestServiceSources(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		n := w.network(1)
		b, other := w.container(n, 2), w.container(n, 3)
		serveAll(t, b)
		s := w.service([]datapath.Network{n}, b)
		s.Sources = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/28"), netip.MustParsePrefix("2001:db8:100::/64")}
		w.ensure(s)
		for i, v := range views() {
			for _, p := range both {
				reaches(t, w.lan, p.network, v.host, 8000, b.ID+" "+v.lan)
				reaches(t, w.host, p.network, v.loopback, 8000, b.ID+" *")
				reaches(t, w.host, p.network, vips(1)[i], p.port, b.ID+" *")
				silent(t, other.ns, p.network, vips(1)[i], p.port)
				silent(t, other.ns, p.network, v.host, 8000)
			}
		}
		if w.drops("service_source") == 0 {
			t.Error("no refusal was counted")
		}
	})
}

// Of a service that is deleted the flows end, and its port is the host's again.
func TestServiceDelete(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		n := w.network(1)
		b, client := w.container(n, 2), w.container(n, 3)
		echoTCP(t, b.ns, b.ID, 80)
		before := w.saveTables()
		w.ensure(w.service([]datapath.Network{n}, b))
		c, err := dial(client.ns, "tcp", "10.9.1.200", 80, patience)
		must(t, err)
		defer c.Close()
		says(t, c, b.ID)
		must(t, w.d.DeleteService(t.Context(), "svc1"))
		ends(t, c)
		must(t, w.d.DeleteService(t.Context(), "svc1"))
		if diff := cmp.Diff(sorted(before), sorted(w.saveTables())); diff != "" {
			t.Errorf("tables after the service (-before it +after it):\n%s", diff)
		}
	})
}

// Weights are the shares of the backends.
func TestServiceWeights(t *testing.T) {
	w := newWorld(t, "nft")
	n := w.network(1)
	b1, b2, client := w.container(n, 2), w.container(n, 3), w.container(n, 4)
	serveAll(t, b1, b2)
	s := w.service([]datapath.Network{n}, b1, b2)
	for _, p := range s.Pools {
		p.Backends[0].Weight = 9
	}
	w.ensure(s)
	const flows = 500
	count := 0
	for range flows {
		if nameAt(t, client.ns, "10.9.1.200", 80) == b1.ID {
			count++
		}
	}
	// 450 are to be expected, with a deviation of 6.7: 60 are nine of those.
	if count < 390 || count == flows {
		t.Errorf("%d of %d flows to a backend with 9 of 10 parts", count, flows)
	}
}

// Without the daemon a service goes on, and the next one changes no rule of it.
func TestServiceOutlivesTheDaemon(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		n := w.network(1)
		b1, b2, client := w.container(n, 2), w.container(n, 3), w.container(n, 4)
		for _, c := range []container{b1, b2} {
			echoTCP(t, c.ns, c.ID, 80)
			serveUDP(t, c.ns, c.ID, 53)
		}
		s := w.service([]datapath.Network{n}, b1, b2)
		s.Affinity = dayOfAffinity
		w.ensure(s)
		c, err := dial(client.ns, "tcp", "10.9.1.200", 80, patience)
		must(t, err)
		defer c.Close()
		u, err := dial(client.ns, "udp", "10.9.1.200", 53, patience)
		must(t, err)
		defer u.Close()
		to, err := exchangeWith(c)
		must(t, err)
		udpTo, err := exchangeWith(u)
		must(t, err)
		must(t, w.d.Close())
		says(t, c, to)
		before := w.saveTables()

		w.d = w.open()
		must(t, w.d.EnsureNetwork(t.Context(), n))
		for _, c := range []container{b1, b2, client} {
			must(t, w.d.EnsureEndpoint(t.Context(), c.Endpoint))
		}
		w.ensure(s)
		want := w.d.state.desired()
		must(t, w.d.Prune(t.Context(), want))
		if diff := cmp.Diff(sorted(withoutProxy(before)), sorted(withoutProxy(w.saveTables()))); diff != "" {
			t.Errorf("tables after a restart (-before +after):\n%s", diff)
		}
		says(t, c, to)
		says(t, u, udpTo)
		for range 10 {
			reachesEcho(t, client.ns, "tcp", "10.9.1.200", 80, to)
		}

		// A service that is gone when the daemon comes back leaves nothing.
		w.d = w.open()
		want.Services = nil
		must(t, w.d.Prune(t.Context(), want))
		ends(t, c)
		refused(t, client.ns, "tcp", "10.9.1.200", 80)
	})
}

// Of the backends that served when a daemon died only one is there for the next, and drains: its
// flows go on, and those of the other end.
func TestServiceDrainsOverARestart(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		n := w.network(1)
		b1, b2, client := w.container(n, 2), w.container(n, 3), w.container(n, 4)
		for _, c := range []container{b1, b2} {
			echoTCP(t, c.ns, c.ID, 80)
			serveUDP(t, c.ns, c.ID, 53)
		}
		s := setState(w.service([]datapath.Network{n}, b1, b2), b2, model.BackendDraining)
		w.ensure(setState(setState(s, b1, model.BackendDraining), b2, model.BackendActive))
		var open []net.Conn
		for _, v := range vips(1) {
			for proto, port := range map[string]uint16{"tcp": 80, "udp": 53} {
				c, err := dial(client.ns, proto, v, port, patience)
				must(t, err)
				defer c.Close()
				says(t, c, b2.ID)
				open = append(open, c)
			}
		}
		w.ensure(s)
		ended, err := dial(client.ns, "tcp", vips(1)[0], 80, patience)
		must(t, err)
		defer ended.Close()
		says(t, ended, b1.ID)
		must(t, w.d.Close())

		w.d = w.open()
		must(t, w.d.EnsureNetwork(t.Context(), n))
		for _, c := range []container{b2, client} {
			must(t, w.d.EnsureEndpoint(t.Context(), c.Endpoint))
		}
		last := s
		last.Pools = clonePools(s.Pools)
		for i := range last.Pools {
			last.Pools[i].Backends = slices.DeleteFunc(last.Pools[i].Backends, func(b datapath.Backend) bool { return b.EndpointID == b1.ID })
		}
		w.ensure(last)
		must(t, w.d.Prune(t.Context(), w.d.state.desired()))
		for _, c := range open {
			says(t, c, b2.ID)
		}
		ends(t, ended)
		refused(t, client.ns, "tcp", vips(1)[0], 80)
	})
}

// ends demands that the next segments of a connection are answered with its end.
func ends(t *testing.T, c interface {
	io.ReadWriter
	SetDeadline(time.Time) error
}) {
	t.Helper()
	must(t, c.SetDeadline(time.Now().Add(patience)))
	for {
		if _, err := c.Write([]byte("?\n")); err != nil {
			break
		}
		if n, err := c.Read(make([]byte, 100)); err != nil {
			if isTimeout(err) {
				t.Errorf("the connection hangs: %v", err)
			}
			return
		} else if n > 0 {
			t.Error("the connection goes on")
			return
		}
	}
}
