// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/maps/resolver"
	"github.com/fairway-project/fairway/test/progrun/rig"
	"github.com/fairway-project/fairway/userspace/model"
)

// Sockets of the host reach published ports by loopback and by the host's
// addresses, and are told the address that they asked for. The container's
// address is the host's own here, so that something answers.
func TestHostSockets(t *testing.T) {
	h := rig.New(t, rig.Options{})
	attachSockets(t, h, ownCgroup(t))
	for name, f := range families() {
		h.AddAddress(t, "lo", netip.PrefixFrom(f.addr(f.Web), f.addr(f.Web).BitLen()))
		serve(t, h, netip.AddrPortFrom(f.addr(f.Web), 80))
		h.Publish(t, rig.Any(f.v6), 8080, protoTCP, f.Web, 80)
		h.Publish(t, rig.Any(f.v6), 8080, protoUDP, f.Web, 80)
		for _, at := range []netip.Addr{f.pick("127.0.0.1", "::1"), f.host(), f.Eth1.Addr(f.v6), f.Net1.Gateway(f.v6)} {
			to := netip.AddrPortFrom(at, 8080)
			t.Run(name+"/tcp "+at.String(), func(t *testing.T) { reachTCP(t, h, "tcp", to) })
			t.Run(name+"/connected udp "+at.String(), func(t *testing.T) { reachConnectedUDP(t, h, to) })
			t.Run(name+"/udp "+at.String(), func(t *testing.T) { reachUDP(t, h, to) })
		}
		t.Run(name+"/no address", func(t *testing.T) { reachNoAddress(t, h, f) })
		t.Run(name+"/refused", func(t *testing.T) { refusedSockets(t, h, f) })
	}
}

// reachNoAddress connects to 0.0.0.0 or ::, which the kernel takes for loopback. The net
// package would say so itself.
func reachNoAddress(t *testing.T, h *rig.Host, f family) {
	var to unix.Sockaddr = &unix.SockaddrInet4{Port: 8080}
	if f.v6 {
		to = &unix.SockaddrInet6{Port: 8080}
	}
	want := netip.AddrPortFrom(f.pick("127.0.0.1", "::1"), 8080)
	for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
		h.Do(func() {
			if peer, err := peerAfterConnect(flagOf(f, unix.AF_INET, unix.AF_INET6), kind, to); err != nil || peer != want {
				t.Errorf("peer is %v, %v, want %v", peer, err, want)
			}
		})
	}
}

func peerAfterConnect(domain, kind int, to unix.Sockaddr) (netip.AddrPort, error) {
	fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, to); err != nil {
		return netip.AddrPort{}, err
	}
	peer, err := unix.Getpeername(fd)
	switch p := peer.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(p.Addr), uint16(p.Port)), err
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(p.Addr), uint16(p.Port)), err
	}
	return netip.AddrPort{}, err
}

// refusedSockets: what isn't published stays where it was going, and so do the
// sockets of other namespaces.
func refusedSockets(t *testing.T, h *rig.Host, f family) {
	loopback := f.pick("127.0.0.1", "::1")
	requireRefused(t, h, netip.AddrPortFrom(loopback, 8081))
	other := rig.New(t, rig.Options{})
	requireRefused(t, other, netip.AddrPortFrom(loopback, 8080))
	h.PublishEntry(t, publish.Key{Addr: rig.Any(f.v6), Port: 8082, Proto: protoTCP}, publish.Entry{
		Target: netip.AddrPortFrom(f.addr(f.Web), 80), Endpoint: f.Web.Slot, Generation: rig.Generation - 1,
	})
	requireRefused(t, h, netip.AddrPortFrom(loopback, 8082))
	h.PublishEntry(t, publish.Key{Addr: rig.Any(f.v6), Port: 8083, Proto: protoTCP}, publish.Entry{
		Target: netip.AddrPortFrom(f.addr(f.Web), 80), Endpoint: f.Web.Slot, Generation: rig.Generation, HostOnly: true,
	})
	reachTCP(t, h, "tcp", netip.AddrPortFrom(loopback, 8083))
}

// TestResolverSockets: 127.0.0.11:53 is where the namespace's resolver listens.
func TestResolverSockets(t *testing.T) {
	h := rig.New(t, rig.Options{})
	attachSockets(t, h, ownCgroup(t))
	at := netip.MustParseAddrPort("127.0.0.11:53")
	requireRefused(t, h, at)
	serve(t, h, netip.MustParseAddrPort("127.0.0.11:40053"))
	check(t, h.Resolvers.Put(h.Cookie, resolver.Ports{UDP: 40053, TCP: 40053}))
	reachTCP(t, h, "tcp", at)
	reachConnectedUDP(t, h, at)
	reachUDP(t, h, at)
}

// serve echoes what comes, by TCP and UDP, until the end of the test.
func serve(t *testing.T, h *rig.Host, at netip.AddrPort) {
	t.Helper()
	var l net.Listener
	var p net.PacketConn
	var err error
	h.Do(func() {
		if l, err = net.Listen("tcp", at.String()); err == nil {
			p, err = net.ListenPacket("udp", at.String())
		}
	})
	check(t, err)
	t.Cleanup(func() { check(t, errors.Join(l.Close(), p.Close())) })
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	go func() {
		b := make([]byte, 100)
		for n, from, err := p.ReadFrom(b); err == nil; n, from, err = p.ReadFrom(b) {
			_, _ = p.WriteTo(b[:n], from)
		}
	}()
}

func dial(h *rig.Host, network string, to netip.AddrPort) (c net.Conn, err error) {
	h.Do(func() {
		d := net.Dialer{Timeout: 5 * time.Second}
		c, err = d.Dial(network, to.String())
	})
	return c, err
}

func requireRefused(t *testing.T, h *rig.Host, to netip.AddrPort) {
	t.Helper()
	c, err := dial(h, "tcp", to)
	if err == nil {
		_ = c.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connect to %s: %v, want it refused", to, err)
	}
}

func reachTCP(t *testing.T, h *rig.Host, network string, to netip.AddrPort) {
	t.Helper()
	c, err := dial(h, network, to)
	check(t, err)
	exchange(t, c, to)
}

func reachConnectedUDP(t *testing.T, h *rig.Host, to netip.AddrPort) {
	t.Helper()
	c, err := dial(h, "udp", to)
	check(t, err)
	exchange(t, c, to)
}

// exchange sends and reads back, and asks who the peer is.
func exchange(t *testing.T, c net.Conn, to netip.AddrPort) {
	t.Helper()
	defer c.Close()
	check(t, c.SetDeadline(time.Now().Add(5*time.Second)))
	if got := c.RemoteAddr().String(); got != to.String() {
		t.Errorf("peer is %s, want %s", got, to)
	}
	_, err := c.Write([]byte("ping"))
	check(t, err)
	_, err = io.ReadFull(c, make([]byte, 4))
	check(t, err)
}

func reachUDP(t *testing.T, h *rig.Host, to netip.AddrPort) {
	t.Helper()
	var c *net.UDPConn
	var err error
	network := "udp4"
	if to.Addr().Is6() {
		network = "udp6"
	}
	h.Do(func() { c, err = net.ListenUDP(network, nil) })
	check(t, err)
	defer c.Close()
	check(t, c.SetDeadline(time.Now().Add(5*time.Second)))
	h.Do(func() { _, err = c.WriteToUDPAddrPort([]byte("ping"), to) })
	check(t, err)
	_, from, err := c.ReadFromUDPAddrPort(make([]byte, 10))
	check(t, err)
	if from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port()); from != to {
		t.Errorf("answer comes from %s, want %s", from, to)
	}
}

// An IPv4 address in IPv6 clothes is an IPv4 address.
func TestMappedSockets(t *testing.T) {
	h := rig.New(t, rig.Options{})
	attachSockets(t, h, ownCgroup(t))
	f := families()["ipv4"]
	h.AddAddress(t, "lo", netip.PrefixFrom(f.Web.IPv4, 32))
	serve(t, h, netip.AddrPortFrom(f.Web.IPv4, 80))
	h.Publish(t, rig.Any(false), 8080, model.TCP, f.Web, 80)
	var err error
	var peer syscall.Sockaddr
	h.Do(func() { peer, err = connectMapped([4]byte{127, 0, 0, 1}, 8080) })
	check(t, err)
	got, ok := peer.(*syscall.SockaddrInet6)
	if !ok || netip.AddrFrom16(got.Addr) != netip.MustParseAddr("::ffff:127.0.0.1") || got.Port != 8080 {
		t.Errorf("peer is %+v", peer)
	}
}

func connectMapped(addr [4]byte, port int) (syscall.Sockaddr, error) {
	s, err := syscall.Socket(syscall.AF_INET6, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(s)
	if err := syscall.Connect(s, &syscall.SockaddrInet6{Addr: netip.AddrFrom4(addr).As16(), Port: port}); err != nil {
		return nil, err
	}
	return syscall.Getpeername(s)
}
