// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"net"
	"syscall"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// listens takes TCP connections on a port of both families, until it is told to stop.
func listens(t *testing.T, n *harness.Netns, port int) (stop func()) {
	t.Helper()
	var l net.Listener
	err := n.Do(func() (err error) {
		l, err = net.ListenTCP("tcp4", &net.TCPAddr{Port: port})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			_ = c.Close()
		}
	}()
	stop = func() { _ = l.Close(); <-over }
	t.Cleanup(stop)
	return stop
}

// SVC-13: a sandbox of the backends' own network is seen by its own address, and told that it is
// connected to the service.
func TestServiceOnOwnNetwork(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Network(t, "b", numB)
		client := e.Sandbox(t, "client", "--network", "a")
		// On both, and the service's backends are on the one that isn't its gateway's.
		both := e.Sandbox(t, "both", "--network", "b", "--network", "a")
		web := e.Service(t, "web", "--network", "a", "--port", "80:8000", "--port", "80:8000/udp", "--publish", "8080:80", "--select", "app=web")
		w1, w2 := backend(t, e, "w1", "a"), backend(t, e, "w2", "a")
		web.Become(t, "active", "w1", "w2")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			vip := at(web.VIP(t, "a", f), 80)
			for _, from := range []*harness.Sandbox{client, both} {
				spreads(t, from.Netns, vip, "w1", "w2")
				for range 10 {
					c, err := harness.DialTCP(from.Netns, vip)
					if err != nil {
						t.Fatal(err)
					}
					if c.Seen.Addr().String() != from.IP(t, "a", f) {
						t.Errorf("%s → %s: %s sees %s, want %s", from.Name, vip, c.Tag, c.Seen, from.IP(t, "a", f))
					}
					if err := c.Echo("hello"); err != nil || c.RemoteAddr().String() != vip {
						t.Errorf("%s → %s: peer is %s, %v", from.Name, vip, c.RemoteAddr(), err)
					}
					_ = c.Close()
				}
			}
			spreads(t, w1.Netns, vip, "w1", "w2")
			spreads(t, w2.Netns, vip, "w1", "w2")
			// What is bound to a device is left to its packets.
			seen := client.IP(t, "a", f)
			if e.Mode == harness.EBPF {
				seen = w1.Gateway("a", f)
			}
			for range 10 {
				r, err := harness.GetTCP(client.Netns, vip, harness.Socket(func(fd int) error { return syscall.BindToDevice(fd, "eth0") }))
				if err != nil || r.Seen.Addr().String() != seen {
					t.Errorf("bound to a device: %+v, %v, want to be seen as %s", r, err, seen)
				}
			}
		})
		e.Must(t, "service", "update", "web", "--source-range", client.IP(t, "a", harness.V4())+"/32")
		harness.Misses(t, both.Netns, web.VIP(t, "a", harness.V4()), 80)
		spreads(t, client.Netns, at(web.VIP(t, "a", harness.V4()), 80), "w1", "w2")
	})
}

// SVC-02: sockets that are connected to a backend which goes down are told, of the host and of
// sandboxes, also after another daemon has come; those that others lead there go on.
func TestServiceSocketsEnd(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		client := e.Sandbox(t, "client", "--network", "a")
		web := e.Service(t, "web", "--network", "a", "--port", "80:8000", "--port", "80:8000/udp", "--publish", "8080:80", "--publish", "8080:80/udp",
			"--select", "app=web", "--health", "tcp,port=9000,interval=200ms,fall=1,rise=1")
		w1 := backend(t, e, "w1", "a")
		fail := listens(t, w1.Netns, 9000)
		web.Become(t, "active", "w1")
		type way struct {
			from *harness.Netns
			dst  string
			tcp  *harness.TCPConn
			udp  *harness.UDPConn
		}
		open := func(from *harness.Netns, dst string) way {
			t.Helper()
			w := way{from: from, dst: dst}
			// A backend is called active a moment before the last rule leads to it.
			harness.Eventually(t, dst+" to serve", func() error { _, err := harness.GetTCP(from, dst); return err })
			var err error
			if w.tcp, err = harness.DialTCP(from, dst); err == nil {
				t.Cleanup(func() { w.tcp.Close() })
				w.udp, err = harness.DialUDP(from, dst)
			}
			if err != nil {
				t.Fatalf("%s → %s: %v", from.Name, dst, err)
			}
			t.Cleanup(func() { w.udp.Close() })
			if r, err := w.udp.Exchange(8, harness.Patience); err != nil || r.Tag != "w1" {
				t.Fatalf("%s → %s over udp: %+v, %v", from.Name, dst, r, err)
			}
			return w
		}
		var ways, straight []way
		for _, f := range []harness.Family{harness.V4(), harness.V6()} {
			vip := at(web.VIP(t, "a", f), 80)
			ways = append(ways, open(client.Netns, vip), open(w1.Netns, vip), open(e.Host, vip), open(e.Host, at(f.Host, 8080)))
			straight = append(straight, open(client.Netns, at(w1.IP(t, "a", f), 8000)), open(e.Host, at(w1.IP(t, "a", f), 8000)))
		}
		e.Daemon.Kill(t)
		e.Daemon.Start(t)
		web.Become(t, "active", "w1")
		for _, w := range ways {
			if err := w.tcp.Echo("still here"); err != nil {
				t.Errorf("%s → %s with another daemon: %v", w.from.Name, w.dst, err)
			}
		}
		w2 := backend(t, e, "w2", "a")
		listens(t, w2.Netns, 9000)
		web.Become(t, "active", "w1", "w2")
		fail()
		web.Become(t, "down", "w1")
		for _, w := range ways {
			ended(t, w.tcp, w.from.Name+" → "+w.dst)
			if w.from == e.Host && !e.Protects("SVC-02") {
				aborted(t, w.udp, w.from.Name+" → "+w.dst)
			} else {
				// Flows are ended a moment after the backend is called down.
				harness.Eventually(t, w.from.Name+" → "+w.dst+" over udp to be led to w2", func() error {
					r, err := w.udp.Exchange(8, harness.Patience)
					if err == nil && r.Tag != "w2" {
						err = fmt.Errorf("answered by %s", r.Tag)
					}
					return err
				})
			}
			for range 5 {
				harnessReaches(t, w.from, w.dst, "w2")
			}
		}
		for _, w := range straight {
			if err := w.tcp.Echo("still here"); err != nil {
				t.Errorf("%s → %s, which is no service: %v", w.from.Name, w.dst, err)
			}
			if r, err := w.udp.Exchange(8, harness.Patience); err != nil || r.Tag != "w1" {
				t.Errorf("%s → %s over udp, which is no service: %+v, %v", w.from.Name, w.dst, r, err)
			}
		}
	}, harness.Restarts())
}
