// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/netutil"

	"github.com/fairway-project/fairway/userspace/netns"
)

const (
	// maxTCP bounds the connections of one sandbox; each costs a goroutine.
	maxTCP = 128
	// writeTimeout ends connections whose client doesn't read its answers.
	writeTimeout = 2 * time.Second
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

// boundedListener accepts at most maxTCP connections at a time.
type boundedListener struct{ net.Listener }

func bounded(l net.Listener) net.Listener {
	return boundedListener{netutil.LimitListener(l, maxTCP)}
}

func (l boundedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return timedConn{c}, nil
}

// timedConn gives every write a deadline. The DNS library sets none, so that one
// client could keep its goroutine, and with it Close, for good.
type timedConn struct{ net.Conn }

func (c timedConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
