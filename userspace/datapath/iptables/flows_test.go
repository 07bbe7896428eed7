// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"testing"

	"github.com/fairway-project/fairway/userspace/conntrack"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

func everything(*conntrack.Connection) bool { return true }

// flowsOf returns a flow of each kind.
func (w *world) flowsOf(proto model.Proto) map[string]datapath.Flow {
	w.t.Helper()
	out := make(map[string]datapath.Flow)
	for flow, err := range w.d.Flows(w.t.Context()) {
		must(w.t, err)
		if flow.Proto == uint8(proto) {
			out[flow.Kind] = flow
		}
	}
	return out
}

func TestFlows(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		n := w.network(1)
		c1, c2 := w.container(n, 2), w.container(n, 3)
		w.publish(c1, publish(c1, 5353, 53, model.UDP))
		serveUDP(t, c1.ns, "c1", 53)
		serveUDP(t, w.lan, "lan", 53)
		reaches(t, w.lan, "udp", hostAddr4, 5353, "c1 "+lanAddr4)
		reaches(t, c1.ns, "udp", lanAddr4, 53, "lan "+hostAddr4)
		reaches(t, c2.ns, "udp", hostAddr4, 5353, "c1 *")
		flows := w.flowsOf(model.UDP)
		for _, kind := range []string{"published", "masquerade", "hairpin"} {
			flow, ok := flows[kind]
			if !ok {
				t.Errorf("no %s flow in %v", kind, flows)
				continue
			}
			if flow.EndpointID != c1.ID || flow.State != "REPLIED" || flow.Expires == 0 {
				t.Errorf("%s flow: %+v", kind, flow)
			}
		}
		for kind, ends := range map[string][2]string{"published": {"", c1.ID}, "masquerade": {c1.ID, ""}, "hairpin": {c2.ID, c1.ID}} {
			if flow := flows[kind]; flow.OpenerID != ends[0] || flow.TargetID != ends[1] {
				t.Errorf("%s flow: ends %q and %q, want %q", kind, flow.OpenerID, flow.TargetID, ends)
			}
		}
		if p := flows["published"]; p.Dst.Addr().String() != hostAddr4 || p.NATDst.Addr() != c1.IPv4 || p.NATDst.Port() != 53 {
			t.Errorf("published flow: %+v", p)
		}
		if m := flows["masquerade"]; m.Src.Addr() != c1.IPv4 || m.NATSrc.Addr().String() != hostAddr4 {
			t.Errorf("masqueraded flow: %+v", m)
		}
	})
}

func TestTCPState(t *testing.T) {
	w := newWorld(t, "nft")
	c := w.container(w.network(1), 2)
	serveTCP(t, w.lan, "lan", 80)
	conn, err := dial(c.ns, "tcp", lanAddr4, 80, patience)
	must(t, err)
	defer conn.Close()
	if got := w.flowsOf(model.TCP)["masquerade"].State; got != "ESTABLISHED" && got != "CLOSE_WAIT" && got != "FIN_WAIT" && got != "LAST_ACK" {
		t.Errorf("state %q", got)
	}
}

// A UDP client keeps its socket while the container behind the port is replaced
// (host port and container port differ), and finds the new one.
func TestUDPFollowsThePort(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		n := w.network(1)
		c1, c2 := w.container(n, 2), w.container(n, 3)
		serveUDP(t, c1.ns, "c1", 53)
		serveUDP(t, c2.ns, "c2", 53)
		serveUDP(t, w.host, "host", 5353)
		for _, v := range views() {
			client, err := dial(w.lan, "udp", v.host, 5353, patience)
			must(t, err)
			defer client.Close()
			// The flow begins before anything is published.
			for i, step := range []struct {
				publish container
				want    string
			}{{want: "host"}, {c1, "c1"}, {c2, "c2"}} {
				if step.publish.ID != "" {
					must(t, w.d.EnsurePorts(t.Context(), c1.ID, nil))
					w.publish(step.publish, publish(step.publish, 5353, 53, model.UDP))
				}
				got, err := exchange(client, patience)
				if err != nil || got != step.want+" "+v.lan {
					t.Errorf("%s, step %d: answer %q, error %v, want %s", v.name, i, got, err, step.want)
				}
			}
			must(t, w.d.EnsurePorts(t.Context(), c2.ID, nil))
		}
	})
}

// A change of one port leaves the UDP flows of another alone, and those of other
// containers to the same port of the LAN.
func TestUDPFlushSparesOthers(t *testing.T) {
	w := newWorld(t, "nft")
	n := w.network(1)
	c1, c2 := w.container(n, 2), w.container(n, 3)
	w.publish(c1, publish(c1, 5353, 53, model.UDP))
	serveUDP(t, c1.ns, "c1", 53)
	serveUDP(t, w.lan, "lan", 6000)
	reaches(t, w.lan, "udp", hostAddr4, 5353, "c1 *")
	reaches(t, c1.ns, "udp", lanAddr4, 6000, "lan *")
	w.publish(c2, publish(c2, 6000, 60, model.UDP))
	flows := w.flowsOf(model.UDP)
	if len(flows) != 2 {
		t.Errorf("flows after publishing another port: %v", flows)
	}
}

// A later endpoint with the same address inherits no connection.
func TestDeleteEndpointPurges(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		c := w.container(w.network(1), 2)
		serveUDP(t, w.lan, "lan", 53)
		serveTCP(t, w.lan, "lan", 80)
		for _, v := range views() {
			reaches(t, c.ns, "udp", v.lan, 53, "lan *")
			reaches(t, c.ns, "tcp", v.lan, 80, "lan *")
		}
		w.run(w.host, "ip link set "+c.HostIf+" down")
		must(t, w.d.DeleteEndpoint(t.Context(), c.ID))
		must(t, w.d.DeleteEndpoint(t.Context(), c.ID))
		w.in(w.host, func() error {
			list, err := connections(everything)
			must(t, err)
			for _, conn := range list {
				if conn.Touches(c.IPv4) || conn.Touches(c.IPv6) {
					t.Errorf("still tracked: %+v", conn)
				}
			}
			return nil
		})
	})
}

// What ended while no daemon was there is purged by the next one.
func TestPrunePurgesStrangers(t *testing.T) {
	w := newWorld(t, "nft")
	n := w.network(1)
	c1, c2 := w.container(n, 2), w.container(n, 3)
	serveUDP(t, w.lan, "lan", 53)
	reaches(t, c1.ns, "udp", lanAddr4, 53, "lan *")
	reaches(t, c2.ns, "udp", lanAddr4, 53, "lan *")
	next := w.open()
	want := datapath.Desired{Networks: []datapath.Network{n}, Endpoints: []datapath.Endpoint{c2.Endpoint}}
	w.sayAgain(next, want)
	w.in(w.host, func() error {
		list, err := connections(everything)
		must(t, err)
		kept := false
		for _, conn := range list {
			if conn.Touches(c1.IPv4) {
				t.Errorf("still tracked: %+v", conn)
			}
			kept = kept || conn.Touches(c2.IPv4)
		}
		if !kept {
			t.Error("the connection of an endpoint that is wanted is gone")
		}
		return nil
	})
}

func TestStats(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		c := w.container(w.network(1), 2)
		serveTCP(t, w.lan, "lan", 80)
		reaches(t, c.ns, "tcp", lanAddr4, 80, "lan *")
		silent(t, w.lan, "tcp", c.IPv4.String(), 80)
		st, err := w.d.Stats(t.Context())
		must(t, err)
		if f := st.Forwarded[datapath.PathStack]; f.Packets < 8 || f.Bytes < 8*40 {
			t.Errorf("forwarded: %+v", f)
		}
		if w.drops("direct_routing") == 0 {
			t.Error("no direct_routing drop was counted")
		}
		if len(st.Endpoints) != 1 || st.Endpoints[0].Receive.Packets == 0 || st.Endpoints[0].Transmit.Packets == 0 {
			t.Errorf("endpoints: %+v", st.Endpoints)
		}
		if st.Flows == 0 || st.FlowLimit == 0 {
			t.Errorf("flows %d, limit %d", st.Flows, st.FlowLimit)
		}
		status, err := w.d.Status(t.Context())
		must(t, err)
		if status.Mode != datapath.IPTables || len(status.Notes) != 2 {
			t.Errorf("status: %+v", status)
		}
	})
}
