// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Reply is what an echo server said about itself and about its peer.
type Reply struct {
	// Tag is the server's name, Seen the client's address as the server saw it.
	Tag  string
	Seen netip.AddrPort
}

// ServeTCP starts a server on a port of both families in the namespace. It
// greets each connection with its tag and the client's address and echoes.
func ServeTCP(t testing.TB, n *Netns, port int, tag string) {
	t.Helper()
	HandleTCP(t, n, port, func(c *net.TCPConn) {
		defer c.Close()
		fmt.Fprintf(c, "%s %s\n", tag, c.RemoteAddr())
		_, _ = io.Copy(c, c)
	})
}

// HandleTCP starts a server that runs handle for each connection; handle closes
// it.
func HandleTCP(t testing.TB, n *Netns, port int, handle func(*net.TCPConn)) {
	t.Helper()
	for _, addr := range bothWildcards(port) {
		var l net.Listener
		err := n.Do(func() (err error) {
			l, err = net.Listen("tcp"+addr.family, addr.text)
			return err
		})
		if err != nil {
			t.Fatalf("listen in %s: %v", n.Name, err)
		}
		// The port is free once nobody waits for a connection any more.
		over := make(chan struct{})
		t.Cleanup(func() { l.Close(); <-over })
		go func() {
			defer close(over)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go handle(c.(*net.TCPConn))
			}
		}()
	}
}

type wildcard struct{ family, text string }

// bothWildcards avoids the dual-stack wildcard: package net decides once per
// process whether there is one, by trying it in whatever namespace comes first.
func bothWildcards(port int) []wildcard {
	p := strconv.Itoa(port)
	return []wildcard{{"4", net.JoinHostPort("0.0.0.0", p)}, {"6", net.JoinHostPort("::", p)}}
}

// TCPConn is a client's connection to an echo server.
type TCPConn struct {
	*net.TCPConn
	Reply
	in *bufio.Reader
}

// DialOption changes how a client connects.
type DialOption func(*dialing)

type dialing struct {
	local   string
	timeout time.Duration
	control func(fd int) error
}

// From sets the client's own address, as in "0.0.0.0:40000" or ":40000".
func From(local string) DialOption { return func(d *dialing) { d.local = local } }

// Within sets how long the client waits.
func Within(limit time.Duration) DialOption { return func(d *dialing) { d.timeout = limit } }

// Answer sets how long the client waits by whether an answer has to come: a test must
// not fail because the machine is busy, nor wait long for what never comes.
func Answer(comes bool) DialOption {
	if comes {
		return Within(Patience)
	}
	return Within(Silence)
}

// Socket lets the caller set options of the socket before it connects.
func Socket(fn func(fd int) error) DialOption { return func(d *dialing) { d.control = fn } }

// DialTCP connects from the namespace and reads the server's greeting.
func DialTCP(n *Netns, dst string, opts ...DialOption) (*TCPConn, error) {
	raw, err := ConnectTCP(n, dst, opts...)
	if err != nil {
		return nil, err
	}
	c := &TCPConn{TCPConn: raw, in: bufio.NewReader(raw)}
	_ = c.SetDeadline(time.Now().Add(Patience))
	line, err := c.in.ReadString('\n')
	if err == nil {
		c.Reply, err = parseReply(line)
	}
	if err != nil {
		raw.Close()
		return nil, fmt.Errorf("greeting of %s: %w", dst, err)
	}
	_ = c.SetDeadline(time.Time{})
	return c, nil
}

// ConnectTCP connects from the namespace and nothing more.
func ConnectTCP(n *Netns, dst string, opts ...DialOption) (*net.TCPConn, error) {
	var c net.Conn
	err := n.Do(func() (err error) {
		c, err = dialFrom("tcp", dst, opts)
		return err
	})
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

func dialFrom(proto, dst string, opts []DialOption) (net.Conn, error) {
	o := dialing{timeout: Patience}
	for _, opt := range opts {
		opt(&o)
	}
	ap, err := netip.ParseAddrPort(dst)
	if err != nil {
		return nil, err
	}
	family := "4"
	if ap.Addr().Is6() {
		family = "6"
	}
	d := net.Dialer{Timeout: o.timeout, KeepAlive: -1}
	if o.local != "" {
		if d.LocalAddr, err = localAddr(proto, family, o.local); err != nil {
			return nil, err
		}
	}
	d.ControlContext = func(_ context.Context, _, _ string, rc syscall.RawConn) error {
		return controlSocket(rc, o)
	}
	// Not proto+family: package net would set IPV6_V6ONLY, as few programs do.
	return d.Dial(proto, dst)
}

// controlSocket lets a client bind a port again that was used a moment ago.
func controlSocket(rc syscall.RawConn, o dialing) (err error) {
	ctlErr := rc.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
		if err == nil && o.control != nil {
			err = o.control(int(fd))
		}
	})
	return errors.Join(ctlErr, err)
}

func localAddr(proto, family, text string) (net.Addr, error) {
	if strings.HasPrefix(proto, "udp") {
		return net.ResolveUDPAddr("udp"+family, text)
	}
	return net.ResolveTCPAddr("tcp"+family, text)
}

// Echo sends text and reads it back.
func (c *TCPConn) Echo(text string) error {
	_ = c.SetDeadline(time.Now().Add(Patience))
	if _, err := io.WriteString(c, text+"\n"); err != nil {
		return err
	}
	line, err := c.in.ReadString('\n')
	if err != nil {
		return err
	}
	if line != text+"\n" {
		return fmt.Errorf("echo of %q is %q", text, line)
	}
	return nil
}

// Read reads what follows the greeting.
func (c *TCPConn) Read(p []byte) (int, error) { return c.in.Read(p) }

// GetTCP connects, exchanges a line and closes.
func GetTCP(n *Netns, dst string, opts ...DialOption) (Reply, error) {
	c, err := DialTCP(n, dst, opts...)
	if err != nil {
		return Reply{}, err
	}
	defer c.Close()
	return c.Reply, c.Echo("hello")
}

func parseReply(line string) (Reply, error) {
	tag, addr, ok := strings.Cut(strings.TrimSpace(line), " ")
	if !ok {
		return Reply{}, fmt.Errorf("reply %q isn't an echo server's", line)
	}
	seen, err := netip.ParseAddrPort(addr)
	return Reply{Tag: tag, Seen: netip.AddrPortFrom(seen.Addr().Unmap(), seen.Port())}, err
}
