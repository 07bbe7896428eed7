// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/datapath"
)

// udpIdle ends a client's relation with the container, as docker-proxy's does.
const udpIdle = 90 * time.Second

// udpRelay carries one UDP port: a connected socket towards the container per client.
type udpRelay struct {
	proxy  *proxy
	conn   *net.UDPConn
	target netip.AddrPort

	mu      sync.Mutex
	closed  bool
	clients map[netip.AddrPort]net.Conn
}

func (p *proxy) listenUDP(port datapath.Port) (*udpRelay, error) {
	conn, err := net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.IPv6Loopback(), 0)))
	if err != nil {
		return nil, err
	}
	u := &udpRelay{proxy: p, conn: conn, target: targetOf(port), clients: make(map[netip.AddrPort]net.Conn)}
	p.wg.Go(u.receive)
	return u, nil
}

func (u *udpRelay) receive() {
	buf := make([]byte, 65535)
	for {
		n, from, err := u.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			if u.proxy.closing(err) {
				return
			}
			continue
		}
		if c := u.client(from); c != nil {
			_, _ = c.Write(buf[:n]) // what the container refuses is lost, as UDP is
		}
	}
}

// client returns the socket that speaks for one client, made on its first packet.
func (u *udpRelay) client(from netip.AddrPort) net.Conn {
	u.mu.Lock()
	defer u.mu.Unlock()
	if c := u.clients[from]; c != nil || u.closed {
		return c
	}
	c, err := u.proxy.dial(unix.SOCK_DGRAM, u.target)
	if err != nil {
		u.proxy.log.Debug("proxy: udp", "target", u.target.String(), "err", err)
		return nil
	}
	u.clients[from] = c
	u.proxy.wg.Go(func() { u.answer(from, c) })
	return c
}

// answer carries the container's packets back until none came for udpIdle.
func (u *udpRelay) answer(to netip.AddrPort, c net.Conn) {
	defer u.forget(to, c)
	buf := make([]byte, 65535)
	for {
		if err := c.SetReadDeadline(time.Now().Add(udpIdle)); err != nil {
			return
		}
		n, err := c.Read(buf)
		if err != nil {
			return // idle, closed, or refused: the client's next packet begins anew
		}
		if _, err := u.conn.WriteToUDPAddrPort(buf[:n], to); err != nil {
			return
		}
	}
}

func (u *udpRelay) forget(client netip.AddrPort, c net.Conn) {
	c.Close()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.clients[client] == c {
		delete(u.clients, client)
	}
}

func (u *udpRelay) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	u.conn.Close()
	for _, c := range u.clients {
		c.Close()
	}
}
