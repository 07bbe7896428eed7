// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// ServeUDP starts an echo server on a port of both families in the namespace. It
// answers each datagram with its tag, the client's address and the payload.
func ServeUDP(t testing.TB, n *Netns, port int, tag string) {
	t.Helper()
	for _, addr := range bothWildcards(port) {
		ServeUDPAt(t, n, addr.text, tag)
	}
}

// ServeUDPAt is ServeUDP on one address.
func ServeUDPAt(t testing.TB, n *Netns, addr, tag string) {
	t.Helper()
	family := "4"
	if strings.HasPrefix(addr, "[") {
		family = "6"
	}
	var pc net.PacketConn
	err := n.Do(func() (err error) {
		pc, err = net.ListenPacket("udp"+family, addr)
		return err
	})
	if err != nil {
		t.Fatalf("listen in %s: %v", n.Name, err)
	}
	over := make(chan struct{})
	t.Cleanup(func() { pc.Close(); <-over })
	go func() {
		defer close(over)
		buf := make([]byte, 65536)
		for {
			size, peer, err := pc.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				_, _ = pc.WriteTo(fmt.Appendf(nil, "%s %s %s", tag, peer, buf[:size]), peer)
			}
		}
	}()
}

// UDPConn is a connected client's socket: it takes replies only from where it
// sends to.
type UDPConn struct {
	net.Conn
	serial atomic.Uint32
}

// DialUDP opens a client's socket in the namespace.
func DialUDP(n *Netns, dst string, opts ...DialOption) (*UDPConn, error) {
	var c net.Conn
	err := n.Do(func() (err error) {
		c, err = dialFrom("udp", dst, opts)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &UDPConn{Conn: c}, nil
}

// Exchange sends one datagram of at least size bytes and waits for its echo.
func (c *UDPConn) Exchange(size int, limit time.Duration) (Reply, error) {
	sent := fmt.Appendf(nil, "#%d ", c.serial.Add(1))
	for i := len(sent); i < size; i++ {
		sent = append(sent, byte('a'+i%26))
	}
	if _, err := c.Write(sent); err != nil {
		return Reply{}, err
	}
	payload := string(sent)
	_ = c.SetReadDeadline(time.Now().Add(limit))
	buf := make([]byte, 65536)
	for {
		got, err := c.Read(buf)
		if err != nil {
			return Reply{}, err
		}
		// An echo of an earlier datagram, late, is not an answer to this one.
		f := strings.SplitN(string(buf[:got]), " ", 3)
		if len(f) == 3 && f[2] == payload {
			return parseReply(f[0] + " " + f[1])
		}
	}
}

// GetUDP sends a datagram from a new socket and waits for its echo.
func GetUDP(n *Netns, dst string, opts ...DialOption) (Reply, error) {
	o := dialing{timeout: Patience}
	for _, opt := range opts {
		opt(&o)
	}
	c, err := DialUDP(n, dst, opts...)
	if err != nil {
		return Reply{}, err
	}
	defer c.Close()
	return c.Exchange(8, o.timeout)
}

// IsTimeout tells that nothing came.
func IsTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &ne) && ne.Timeout()
}
