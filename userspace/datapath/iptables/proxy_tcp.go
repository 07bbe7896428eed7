// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// listenTCP opens the one listener on first use.
func (p *proxy) listenTCP() error {
	if p.tcp != nil {
		return nil
	}
	l, err := net.ListenTCP("tcp6", net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.IPv6Loopback(), 0)))
	if err != nil {
		return err
	}
	p.tcp = l
	p.wg.Go(func() { p.acceptTCP(l) })
	return nil
}

func (p *proxy) acceptTCP(l *net.TCPListener) {
	for {
		c, err := l.AcceptTCP()
		if err != nil {
			if p.closing(err) {
				return
			}
			continue
		}
		p.wg.Go(func() { p.carryTCP(c) })
	}
}

func (p *proxy) carryTCP(client *net.TCPConn) {
	defer client.Close()
	dst, err := originalDst(client)
	if err != nil {
		p.log.Debug("proxy: connection without original destination", "err", err)
		return
	}
	owner, to := p.relayFor(dst)
	if to == nil {
		return
	}
	target, ok := to.target()
	if !ok {
		return
	}
	server, err := p.dial(unix.SOCK_STREAM, target)
	if err != nil {
		p.log.Debug("proxy: connect", "dst", dst.String(), "target", target.String(), "err", err)
		return
	}
	defer server.Close()
	if !p.track(owner, target, client, server) {
		return
	}
	defer p.untrack(owner, client, server)
	copyBoth(client, server.(*net.TCPConn))
}

// copyBoth copies until both sides have ended, and passes half-closes on.
func copyBoth(a, b *net.TCPConn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(a, b) // an error shows as the end of the stream
		_ = a.CloseWrite()
	}()
	_, _ = io.Copy(b, a)
	_ = b.CloseWrite()
	<-done
}

// relayFor finds the publication that a connection to dst is meant for, and where it
// leads; nil if there is none.
func (p *proxy) relayFor(dst netip.AddrPort) (owner string, to *choice) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, relays := range p.relays {
		for port, r := range relays {
			if port.Port.Proto != model.TCP || port.HostPort != dst.Port() {
				continue
			}
			if port.HostIP == dst.Addr() {
				return id, r.choice
			}
			if port.HostIP.IsUnspecified() {
				owner, to = id, r.choice
			}
		}
	}
	return owner, to
}

func targetOf(p datapath.Port) netip.AddrPort { return netip.AddrPortFrom(p.Target, p.Port.Num) }

// track notes connections to a target that end with their owner; false if that is over.
func (p *proxy) track(owner string, to netip.AddrPort, conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.relays[owner] == nil {
		return false
	}
	if p.conns[owner] == nil {
		p.conns[owner] = make(map[net.Conn]netip.AddrPort)
	}
	for _, c := range conns {
		p.conns[owner][c] = to
	}
	return true
}

func (p *proxy) untrack(owner string, conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns[owner], c)
	}
	if len(p.conns[owner]) == 0 {
		delete(p.conns, owner)
	}
}

// originalDst asks netfilter where a redirected connection was going
// (IP6T_SO_ORIGINAL_DST of linux/netfilter_ipv6/ip6_tables.h).
func originalDst(c *net.TCPConn) (netip.AddrPort, error) {
	const ip6tSoOriginalDst = 80
	raw, err := c.SyscallConn()
	if err != nil {
		return netip.AddrPort{}, err
	}
	var info *unix.IPv6MTUInfo // begins with a sockaddr_in6, which is all that is written
	var sockErr error
	err = raw.Control(func(fd uintptr) {
		info, sockErr = unix.GetsockoptIPv6MTUInfo(int(fd), unix.IPPROTO_IPV6, ip6tSoOriginalDst)
	})
	if err == nil {
		err = sockErr
	}
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("original destination: %w", err)
	}
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&info.Addr.Port))[:])
	return netip.AddrPortFrom(netip.AddrFrom16(info.Addr.Addr), port), nil
}
