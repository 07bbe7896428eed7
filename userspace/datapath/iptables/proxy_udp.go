// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// udpIdle ends a client's relation with the container, as docker-proxy's does.
const udpIdle = 90 * time.Second

// udpRelay carries one UDP port: a connected socket towards the container per client.
type udpRelay struct {
	proxy  *proxy
	conn   *net.UDPConn
	choice *choice

	mu      sync.Mutex
	closed  bool
	clients map[netip.AddrPort]udpClient
}

// udpClient is the socket that speaks for a client, and whom it speaks to.
type udpClient struct {
	net.Conn
	target netip.AddrPort
}

func (p *proxy) listenUDP(to *choice) (*udpRelay, error) {
	conn, err := net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.IPv6Loopback(), 0)))
	if err != nil {
		return nil, err
	}
	u := &udpRelay{proxy: p, conn: conn, choice: to, clients: make(map[netip.AddrPort]udpClient)}
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
	if c := u.clients[from].Conn; c != nil || u.closed {
		return c
	}
	target, ok := u.choice.target()
	if !ok {
		return nil
	}
	c, err := u.proxy.dial(unix.SOCK_DGRAM, target)
	if err != nil {
		u.proxy.log.Debug("proxy: udp", "target", target.String(), "err", err)
		return nil
	}
	u.clients[from] = udpClient{c, target}
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
	if u.clients[client].Conn == c {
		delete(u.clients, client)
	}
}

// end has the clients of these targets begin anew.
func (u *udpRelay) end(dead func(netip.AddrPort) bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for from, c := range u.clients {
		if dead(c.target) {
			c.Close()
			delete(u.clients, from)
		}
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
