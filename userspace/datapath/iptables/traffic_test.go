// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/netns"
)

const (
	// patience is enough for an answer on a busy machine; refusal is how long
	// silence is waited for where a packet has to be dropped.
	patience = time.Minute
	refusal  = 400 * time.Millisecond
)

// serveTCP answers every connection in ns with "NAME PEER-ADDRESS".
func serveTCP(t *testing.T, ns, name string, port uint16) {
	t.Helper()
	var l net.Listener
	must(t, netns.Do(ns, func() (err error) {
		l, err = net.Listen("tcp", fmt.Sprintf(":%d", port))
		return err
	}))
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(c, "%s %s\n", name, peer(c.RemoteAddr()))
			c.Close()
		}
	}()
}

// serveUDP answers every datagram in ns with "NAME PEER-ADDRESS".
func serveUDP(t *testing.T, ns, name string, port uint16) {
	t.Helper()
	var c *net.UDPConn
	must(t, netns.Do(ns, func() (err error) {
		c, err = net.ListenUDP("udp", &net.UDPAddr{Port: int(port)})
		return err
	}))
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 2048)
		for {
			_, from, err := c.ReadFromUDP(buf)
			if err != nil {
				return
			}
			fmt.Fprint(&udpWriter{c, from}, name+" "+peer(from).String()+"\n")
		}
	}()
}

type udpWriter struct {
	c  *net.UDPConn
	to *net.UDPAddr
}

func (w *udpWriter) Write(b []byte) (int, error) { return w.c.WriteToUDP(b, w.to) }

func peer(a net.Addr) netip.Addr {
	return netip.MustParseAddrPort(a.String()).Addr().Unmap()
}

// dial opens a socket in ns.
func dial(ns, network, addr string, port uint16, timeout time.Duration) (c net.Conn, err error) {
	inside := netns.Do(ns, func() error {
		d := net.Dialer{Timeout: timeout}
		c, err = d.Dial(network, netip.AddrPortFrom(netip.MustParseAddr(addr), port).String())
		return err
	})
	return c, errors.Join(inside)
}

// ask returns the server's answer.
func ask(ns, network, addr string, port uint16, timeout time.Duration) (string, error) {
	c, err := dial(ns, network, addr, port, timeout)
	if err != nil {
		return "", err
	}
	defer c.Close()
	return exchange(c, timeout)
}

// exchange sends a line (a server over TCP doesn't wait for it) and reads one.
func exchange(c net.Conn, timeout time.Duration) (string, error) {
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return "", err
	}
	if c.LocalAddr().Network() == "udp" {
		if _, err := c.Write([]byte("?\n")); err != nil {
			return "", err
		}
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line), err
}

// reaches checks that the answer is "NAME PEER"; a peer of "*" may be anyone.
func reaches(t *testing.T, ns, network, addr string, port uint16, want string) {
	t.Helper()
	got, err := ask(ns, network, addr, port, patience)
	if name, ok := strings.CutSuffix(want, " *"); ok {
		got, _, _ = strings.Cut(got, " ")
		want = name
	}
	if err != nil || got != want {
		t.Errorf("%s to %s port %d: answer %q, error %v, want %q", network, addr, port, got, err, want)
	}
}

// silent checks that nothing answers: neither the server nor a refusal.
func silent(t *testing.T, ns, network, addr string, port uint16) {
	t.Helper()
	got, err := ask(ns, network, addr, port, refusal)
	var timeout net.Error
	if err == nil || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("%s to %s port %d: answer %q, error %v, want silence", network, addr, port, got, err)
	}
}

// echoTCP answers every line of a connection in ns with "NAME PEER-ADDRESS".
func echoTCP(t *testing.T, ns, name string, port uint16) {
	t.Helper()
	var l net.Listener
	must(t, netns.Do(ns, func() (err error) {
		l, err = net.Listen("tcp", fmt.Sprintf(":%d", port))
		return err
	}))
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for in := bufio.NewScanner(c); in.Scan(); {
					fmt.Fprintf(c, "%s %s\n", name, peer(c.RemoteAddr()))
				}
			}()
		}
	}()
}

// exchangeWith sends a line and returns the name in the answer.
func exchangeWith(c net.Conn) (string, error) {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := c.Write([]byte("?\n")); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
	return name, err
}

// says demands that the one with this name is at the other end.
func says(t *testing.T, c net.Conn, name string) {
	t.Helper()
	if got, err := exchangeWith(c); err != nil || got != name {
		t.Errorf("%s to %s: answer of %q, error %v, want %q", c.LocalAddr().Network(), c.RemoteAddr(), got, err, name)
	}
}

// reachesEcho opens a flow, and demands that the one with this name is at the other end.
func reachesEcho(t *testing.T, ns, network, addr string, port uint16, name string) {
	t.Helper()
	c, err := dial(ns, network, addr, port, patience)
	if err != nil {
		t.Errorf("%s to %s port %d: %v", network, addr, port, err)
		return
	}
	defer c.Close()
	says(t, c, name)
}

// nameAt returns who answers.
func nameAt(t *testing.T, ns, addr string, port uint16) string {
	t.Helper()
	got, err := ask(ns, "tcp", addr, port, patience)
	if err != nil {
		t.Fatalf("tcp to %s port %d: %v", addr, port, err)
	}
	name, _, _ := strings.Cut(got, " ")
	return name
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
