// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"github.com/fairway-project/fairway/userspace/netns"
)

const (
	// maxTCP bounds the connections of one sandbox; each costs a goroutine.
	maxTCP = 128
	// writeTimeout ends connections whose client doesn't read its answers.
	writeTimeout = 2 * time.Second
	// acceptPause is the time from a failure to accept to the next attempt.
	acceptPause = 100 * time.Millisecond
)

// listen opens the two sockets in the namespace, on ports that the kernel picks.
func listen(ns *netns.NS) (udp *net.UDPConn, tcp *net.TCPListener, err error) {
	at := netip.AddrPortFrom(Addr, 0)
	err = ns.Do(func() (err error) {
		if udp, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at)); err != nil {
			return err
		}
		if tcp, err = net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(at)); err != nil {
			return errors.Join(err, udp.Close())
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("listen on %s: %w", Addr, err)
	}
	return udp, tcp, nil
}

// boundedListener accepts at most maxTCP connections at a time, and closes those
// for which the host has no share left.
type boundedListener struct {
	net.Listener
	ctx   context.Context // ends with the resolver
	conns *share
}

func bounded(ctx context.Context, l net.Listener, shares *Shares) net.Listener {
	return boundedListener{netutil.LimitListener(l, maxTCP), ctx, &share{of: shares, most: maxTCP}}
}

func (l boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			// The library tries at once again what may pass, such as a process that
			// is out of files: one waiting client would take a processor.
			l.pause()
			return nil, err
		}
		if l.conns.acquire() {
			return &timedConn{Conn: c, share: l.conns}, nil
		}
		c.Close()
	}
}

func (l boundedListener) pause() {
	select {
	case <-l.ctx.Done():
	case <-time.After(acceptPause):
	}
}

// timedConn gives every write a deadline. The DNS library sets none, so that one
// client could keep its goroutine, and with it Close, for good.
type timedConn struct {
	net.Conn
	share  *share
	closed sync.Once
}

func (c *timedConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func (c *timedConn) Close() error {
	c.closed.Do(func() { c.share.release() })
	return c.Conn.Close()
}
