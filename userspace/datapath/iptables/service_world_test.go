// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// vip puts the addresses of a service on a network's device, as the control plane does.
func (w *world) vip(n datapath.Network, host int) (v4, v6 netip.Addr) {
	w.t.Helper()
	v4 = nth(n.IPv4.Prefix, host)
	w.run(w.host, fmt.Sprintf("ip addr add %s/32 dev %s", v4, n.Device.Name))
	if n.IPv6 != nil {
		v6 = nth(n.IPv6.Prefix, host)
		w.run(w.host, fmt.Sprintf("ip addr add %s/128 dev %s nodad", v6, n.Device.Name))
	}
	return v4, v6
}

// service is one whose port 80 leads to port 80 of the containers, and 53 of UDP to 53:
// by its address number 200 in each of the networks, and by port 8000 of the host.
func (w *world) service(networks []datapath.Network, containers ...container) datapath.Service {
	w.t.Helper()
	s := datapath.Service{ID: "svc1", Name: "web", Pools: make([]datapath.Pool, 4)}
	for i, port := range []uint16{80, 53} {
		for _, c := range containers {
			for f, a := range []netip.Addr{c.IPv4, c.IPv6} {
				if a.IsValid() {
					to := &s.Pools[2*i+f].Backends
					*to = append(*to, datapath.Backend{
						EndpointID: c.ID, Target: netip.AddrPortFrom(a, port), Weight: 1, State: model.BackendActive,
					})
				}
			}
		}
	}
	front := func(network string, addr netip.Addr, port uint16, proto model.Proto, pool int) {
		if addr.IsValid() {
			s.Fronts = append(s.Fronts, datapath.Front{
				NetworkID: network, Addr: addr, Port: model.Port{Num: port, Proto: proto}, Pool: pool,
			})
		}
	}
	for _, n := range networks {
		v4, v6 := w.vip(n, 200)
		front(n.ID, v4, 80, model.TCP, 0)
		front(n.ID, v6, 80, model.TCP, 1)
		front(n.ID, v4, 53, model.UDP, 2)
		front(n.ID, v6, 53, model.UDP, 3)
	}
	front("", netip.IPv4Unspecified(), 8000, model.TCP, 0)
	front("", netip.IPv6Unspecified(), 8000, model.TCP, 1)
	front("", netip.IPv4Unspecified(), 8000, model.UDP, 2)
	front("", netip.IPv6Unspecified(), 8000, model.UDP, 3)
	return s
}

// state sets that of the container's backends.
func setState(s datapath.Service, c container, state model.BackendState) datapath.Service {
	s.Pools = clonePools(s.Pools)
	for _, p := range s.Pools {
		for i := range p.Backends {
			if p.Backends[i].EndpointID == c.ID {
				p.Backends[i].State = state
			}
		}
	}
	return s
}

func clonePools(pools []datapath.Pool) []datapath.Pool {
	out := make([]datapath.Pool, len(pools))
	for i, p := range pools {
		out[i].Backends = append(out[i].Backends, p.Backends...)
	}
	return out
}

func (w *world) ensure(s datapath.Service) {
	w.t.Helper()
	must(w.t, w.d.EnsureService(w.t.Context(), s))
}

// serveAll has the containers answer by port 80 of TCP and 53 of UDP, by their IDs.
func serveAll(t *testing.T, containers ...container) {
	t.Helper()
	for _, c := range containers {
		serveTCP(t, c.ns, c.ID, 80)
		serveUDP(t, c.ns, c.ID, 53)
	}
}

// tries are enough for a backend of three to be drawn, but for one run in 10^17.
const tries = 100

// spreads demands that all of these answer, and nobody else. A name with an address after
// it has to have seen that one; without, any.
func spreads(t *testing.T, ns, network, addr string, port uint16, names ...string) {
	t.Helper()
	missing := make(map[string]bool)
	for _, n := range names {
		missing[n] = true
	}
	for range tries {
		got, err := ask(ns, network, addr, port, patience)
		if err != nil {
			t.Errorf("%s to %s port %d: %v", network, addr, port, err)
			return
		}
		known := false
		for _, n := range names {
			if got == n || strings.HasPrefix(got, n+" ") {
				known = true
				delete(missing, n)
			}
		}
		if !known {
			t.Errorf("%s to %s port %d: answer %q, want one of %q", network, addr, port, got, names)
			return
		}
		if len(missing) == 0 {
			return
		}
	}
	t.Errorf("%s to %s port %d: no answer of %v in %d tries", network, addr, port, missing, tries)
}

// refused demands an answer that says that nobody is there.
func refused(t *testing.T, ns, network, addr string, port uint16) {
	t.Helper()
	got, err := ask(ns, network, addr, port, patience)
	if err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%s to %s port %d: answer %q, error %v, want a refusal", network, addr, port, got, err)
	}
}

// both are the transports with a service's ports.
var both = []struct {
	network string
	port    uint16
}{{"tcp", 80}, {"udp", 53}}

// vips are the addresses of the service by family, of network number num.
func vips(num int) [2]string {
	return [2]string{fmt.Sprintf("10.9.%d.200", num), fmt.Sprintf("fd00:9:%d::c8", num)}
}

const dayOfAffinity = 24 * time.Hour
