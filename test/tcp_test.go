// SPDX-License-Identifier: Apache-2.0

package test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/harness"
	"github.com/gopacket/gopacket/layers"
)

// tcpWalks runs fn for a masqueraded and for a published connection to a server
// with the given handler.
func tcpWalks(t *testing.T, handle func(*net.TCPConn), fn func(t *testing.T, from *harness.Netns, dst string)) {
	t.Helper()
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80")
		harness.HandleTCP(t, c1.Netns, 80, handle)
		harness.HandleTCP(t, e.LAN1, 80, handle)
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			fn(t, c1.Netns, at(f.LAN1, 80))
			fn(t, e.LAN1, at(f.Host, 8080))
		})
	})
}

// NAT-11: a half-closed connection carries what the other side still sends.
func TestHalfClose(t *testing.T) {
	const lines = 50
	handle := func(c *net.TCPConn) {
		defer c.Close()
		_, _ = io.Copy(io.Discard, c)
		for i := range lines {
			// Each line is a segment of its own: package net sets TCP_NODELAY.
			if _, err := fmt.Fprintln(c, i); err != nil {
				return
			}
		}
	}
	tcpWalks(t, handle, func(t *testing.T, from *harness.Netns, dst string) {
		c, err := harness.ConnectTCP(from, dst)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(harness.Patience))
		if err := c.CloseWrite(); err != nil {
			t.Error(err)
		}
		in := bufio.NewScanner(c)
		got := 0
		for in.Scan() {
			got++
		}
		if in.Err() != nil || got != lines {
			t.Errorf("%s → %s: %d of %d lines after the half-close: %v", from.Name, dst, got, lines, in.Err())
		}
	})
}

// A reset reaches the other side, and the next connection is not held up by it.
func TestReset(t *testing.T) {
	handle := func(c *net.TCPConn) {
		_, _ = bufio.NewReader(c).ReadString('\n')
		_ = c.SetLinger(0)
		c.Close()
	}
	tcpWalks(t, handle, func(t *testing.T, from *harness.Netns, dst string) {
		for range 3 {
			c, err := harness.ConnectTCP(from, dst, harness.From(":40005"))
			if err != nil {
				t.Error(err)
				return
			}
			_ = c.SetDeadline(time.Now().Add(harness.Patience))
			fmt.Fprintln(c, "reset, please")
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%s → %s: %v, want %v", from.Name, dst, err, syscall.ECONNRESET)
			}
			c.Close()
		}
	})
}

// A client uses its port again while the server's side is still in TIME_WAIT.
func TestPortReuseInTimeWait(t *testing.T) {
	handle := func(c *net.TCPConn) {
		fmt.Fprintln(c, "bye")
		c.Close()
	}
	tcpWalks(t, handle, func(t *testing.T, from *harness.Netns, dst string) {
		for i := range 10 {
			var c *net.TCPConn
			// The client's own last acknowledgement may be under way.
			harness.Eventually(t, "port to be free", func() (err error) {
				c, err = harness.ConnectTCP(from, dst, harness.From(":40006"))
				if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL) {
					return err
				}
				if err != nil {
					t.Errorf("%s → %s, connection %d: %v", from.Name, dst, i, err)
				}
				return nil
			})
			if c == nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(harness.Patience))
			if got, err := io.ReadAll(c); err != nil || string(got) != "bye\n" {
				t.Errorf("%s → %s, connection %d: %q, %v", from.Name, dst, i, got, err)
			}
			c.Close()
		}
	})
}

// NAT-12: both ends open the connection at once.
func TestSimultaneousOpen(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, _ := pair(t, e)
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			// LAN1 answers the container's SYN with a SYN of its own: a raw one, so
			// that it is sure to cross.
			s := harness.Sniff(t, e.LAN1, "eth0", nil)
			inside := harness.Sniff(t, c1.Netns, "eth0", nil)
			e.LAN1.Must(t, map[int]string{4: "iptables", 6: "ip6tables"}[f.V], "-w", "-A", "INPUT", "-p", "tcp", "--dport", "4444", "-j", "DROP")
			go func() {
				_, _ = harness.ConnectTCP(c1.Netns, at(f.LAN1, 4444), harness.From(":40007"), harness.Within(2*time.Second))
			}()
			syn := s.Wait(t, "SYN", harness.TCPPorts(40007, 4444))
			eth := harness.Ethernet(harness.HardwareAddr(t, e.LAN1, "eth0"), harness.HardwareAddr(t, e.Host, "eth0"), f)
			harness.Inject(t, e.LAN1, "eth0", harness.Frame(t, eth, harness.IPHeader(f, f.LAN1, f.Host, layers.IPProtocolTCP),
				&layers.TCP{SrcPort: 4444, DstPort: 40007, SYN: true, Seq: 7777, Window: 1000}))
			inside.Wait(t, "crossing SYN", harness.All(harness.SrcIP(f.LAN1), harness.TCPPorts(4444, 40007)))
			s.Wait(t, "SYN/ACK of the container", func(p packet) bool {
				seg, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
				return ok && seg.SYN && seg.ACK && seg.Ack == 7778 && seg.Seq == syn.Layer(layers.LayerTypeTCP).(*layers.TCP).Seq
			})
		})
	})
}

// NAT-14: segments that belong to no connection don't leave with the container's
// address, whatever they are.
func TestStraySegmentsDontLeak(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, _ := pair(t, e)
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			out := harness.Sniff(t, e.Switch, "host", nil)
			eth := harness.Ethernet(c1.MAC(t, "a"), bridgeMAC(t, e, c1, f), f)
			for i, seg := range []layers.TCP{{FIN: true, ACK: true}, {RST: true}, {SYN: true, ACK: true}, {ACK: true, PSH: true}, {}} {
				seg.SrcPort, seg.DstPort, seg.Seq, seg.Window = layers.TCPPort(50000+i), 80, 1000, 1000
				harness.Inject(t, c1.Netns, "eth0", harness.Frame(t, eth, harness.IPHeader(f, c1.IP(t, "a", f), f.LAN1, layers.IPProtocolTCP), &seg))
			}
			if err := harness.Ping(c1.Netns, f.LAN1); err != nil {
				t.Fatal(err)
			}
			leaked := out.Seen(harness.SrcIP(c1.IP(t, "a", f)))
			e.Expect(t, "NAT-14", "a stray segment leaves with the container's address", len(leaked) == 0)
		})
	})
}

// NAT-16: what nobody asked for is answered by the host's own stack.
func TestUnsolicitedInbound(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		pair(t, e)
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			if _, err := harness.GetTCP(e.LAN1, at(f.Host, 4321)); harness.Classify(err) != harness.Reset {
				t.Errorf("closed port of the host: %v, want a reset", err)
			}
			if _, err := harness.GetUDP(e.LAN1, at(f.Host, 4321)); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("closed port of the host: %v, want %v", err, syscall.ECONNREFUSED)
			}
		})
	})
}
