// SPDX-License-Identifier: Apache-2.0

package test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/harness"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// NAT-10, CAP-01, CAP-03: half-open connections of made-up clients fill the
// table. Nothing established is lost; when they have expired, which they do
// early, there is room for new ones.
func TestHalfOpenConnectionsExpire(t *testing.T) {
	const table, attempts = 1024, 1500
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80")
		serve(t, c1.Netns, 80, "c1")
		old := harness.NewFlows(t)
		for range 5 {
			old.TCP(t, e.LAN1, at(harness.HostIP4, 8080))
		}
		f := harness.V4()
		before := e.Drops(t)
		frames := madeUpClients(t, e, f, layers.IPProtocolTCP, attempts)
		harness.Inject(t, e.LAN2, "eth0", frames...)
		old.Advance(t, 100)
		e.Dropped(t, "flow_table_full", before, 1)
		harness.Eventually(t, "half-open connections to expire", func() error {
			if n := harness.CountLines(e.Must(t, "flow", "ls"), "198.18."); n > 0 {
				return fmt.Errorf("%d are left", n)
			}
			return nil
		})
		if _, err := harness.GetTCP(e.LAN1, at(f.Host, 8080)); err != nil {
			t.Errorf("new connection: %v", err)
		}
		old.Stop(t)
	}, harness.OnlyMode(harness.EBPF), harness.DaemonArgs("--flow-table-size", fmt.Sprint(table)),
		harness.Config("timeouts: {tcp_syn_sent: 1s, tcp_syn_recv: 1s}\n"))
}

// madeUpClients are SYNs or datagrams to port 8080 of the host, each from an address of
// its own that nobody has.
func madeUpClients(t *testing.T, e *harness.Env, f harness.Family, proto layers.IPProtocol, n int) (frames [][]byte) {
	t.Helper()
	eth := harness.Ethernet(harness.HardwareAddr(t, e.LAN2, "eth0"), harness.HardwareAddr(t, e.Host, "eth0"), f)
	src := netip.MustParseAddr("198.18.0.1")
	var first gopacket.SerializableLayer = &layers.TCP{SrcPort: 1234, DstPort: 8080, SYN: true, Seq: 1, Window: 1000}
	if proto == layers.IPProtocolUDP {
		first = &layers.UDP{SrcPort: 1234, DstPort: 8080}
	}
	for range n {
		frames = append(frames, harness.Frame(t, eth, harness.IPHeader(f, src.String(), f.Host, proto), first))
		src = src.Next()
	}
	return frames
}

// CAP-03: the table is full of connections that nobody keeps up, and stays so: SYN that
// nobody completes, and datagrams that were answered once. New clients get in, in their
// place; what is established is not touched.
func TestNewClientsGetInDuringAFlood(t *testing.T) {
	const table, attempts, clients = 1024, 1500, 20
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp", "-p", "8081:81/udp")
		serve(t, c1.Netns, 80, "c1")
		old := harness.NewFlows(t)
		for range 5 {
			old.TCP(t, e.LAN1, at(harness.HostIP4, 8080))
		}
		// At a port of its own: the flood fills the queue of the other one's server.
		harness.ServeUDP(t, c1.Netns, 81, "c1")
		old.UDP(t, e.LAN1, at(harness.HostIP4, 8081))
		f := harness.V4()
		waitAssured(t, e)
		before := e.Drops(t)
		for _, flood := range []struct {
			name   string
			frames [][]byte
			// answer has the table be full of flows that were answered.
			answer func(*testing.T, *harness.Env, [][]byte)
		}{
			{"syn", madeUpClients(t, e, f, layers.IPProtocolTCP, attempts), nil},
			{"udp", madeUpClients(t, e, f, layers.IPProtocolUDP, attempts), fillAnswered},
		} {
			t.Run(flood.name, func(t *testing.T) {
				given := e.Scrape(t).Sum("fairway_flows_early_dropped_total")
				if flood.answer != nil {
					flood.answer(t, e, flood.frames)
				}
				for range clients {
					harness.Inject(t, e.LAN2, "eth0", flood.frames...)
					if _, err := harness.GetTCP(e.LAN1, at(f.Host, 8080)); err != nil {
						t.Errorf("new client: %v", err)
					}
					// The flood fills the server's queue too, so a datagram may be lost there.
					harness.Eventually(t, "new client to be served by udp", func() error {
						_, err := harness.GetUDP(e.LAN1, at(f.Host, 8080), harness.Within(200*time.Millisecond))
						return err
					})
				}
				if n := e.Scrape(t).Sum("fairway_flows_early_dropped_total") - given; n < clients {
					t.Errorf("%v connections were given up, want at least one for each client", n)
				}
				old.Advance(t, 100)
			})
		}
		e.Dropped(t, "flow_table_full", before, 1)
		old.Stop(t)
	}, harness.OnlyMode(harness.EBPF), harness.DaemonArgs("--flow-table-size", fmt.Sprint(table), "--metrics", harness.MetricsAddr))
}

// waitAssured returns when the UDP flow that there is has gone on for long enough.
func waitAssured(t *testing.T, e *harness.Env) {
	t.Helper()
	harness.Eventually(t, "the udp flow to be assured", func() error {
		if e.Must(t, "flow", "ls", "-q", "-f", "proto=udp", "-f", "state=ASSURED") == "" {
			return errors.New("none is")
		}
		return nil
	})
}

// fillAnswered sends datagrams, more than the table has room for and few enough at a time
// that each is answered.
func fillAnswered(t *testing.T, e *harness.Env, frames [][]byte) {
	t.Helper()
	const atOnce = 100
	for chunk := range slices.Chunk(frames, atOnce) {
		harness.Inject(t, e.LAN2, "eth0", chunk...)
		harness.Eventually(t, "datagrams to be answered", func() error {
			if n := harness.CountLines(e.Must(t, "flow", "ls", "-f", "proto=udp"), "UNREPLIED"); n > 0 {
				return fmt.Errorf("%d are not", n)
			}
			return nil
		})
	}
}

// Many commands at once: each sandbox gets an address and a port of its own.
func TestCommandsInParallel(t *testing.T) {
	const boxes = 8
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		view := harness.Look(t, e)
		var all sync.WaitGroup
		for i := range boxes {
			all.Go(func() {
				r := e.Fairway(t, "run", "-d", "--name", fmt.Sprint("c", i), "--network", "a", "-p", "80", "-p", "8000-8010:81", "--", "sleep", "infinity")
				if r.Code != 0 {
					t.Errorf("run: %s", r.Err)
				}
			})
		}
		all.Wait()
		if t.Failed() {
			return
		}
		seen := map[string]bool{}
		var names []string
		for i := range boxes {
			c := e.Open(t, fmt.Sprint("c", i))
			names = append(names, c.Name)
			harness.ServeTCP(t, c.Netns, 80, c.Name)
			harness.ServeTCP(t, c.Netns, 81, c.Name)
			for _, port := range []string{"80", "81"} {
				addr := strings.SplitN(e.Must(t, "port", c.Name, port), "\n", 2)[0]
				addr = strings.Replace(addr, "0.0.0.0", harness.HostIP4, 1)
				if r, err := harness.GetTCP(e.LAN1, addr); err != nil || r.Tag != c.Name || seen[addr] {
					t.Errorf("%s at %s: answered by %q, %v", c.Name, addr, r.Tag, err)
				}
				seen[addr] = true
			}
		}
		for _, name := range names {
			all.Go(func() {
				if r := e.Fairway(t, "rm", "-f", name); r.Code != 0 {
					t.Errorf("rm: %s", r.Err)
				}
			})
		}
		all.Wait()
		if diff := view.Diff(harness.Look(t, e)); diff != "" {
			t.Errorf("after removal:\n%s", diff)
		}
	})
}
