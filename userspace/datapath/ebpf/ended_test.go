// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/maps/attachment"
	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/ledsocket"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/maps/wire"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// Flows and sockets are ended by what they asked for and what they lead to.
func TestEndedArePicked(t *testing.T) {
	target, other := netip.MustParseAddrPort("172.20.0.2:80"), netip.MustParseAddrPort("172.20.0.3:80")
	ended := byTarget([]endedFlows{{
		targets: map[netip.AddrPort]bool{target: true},
		fronts: map[publish.Key]bool{
			{Addr: vip, Port: 53, Proto: model.UDP, Network: 1}:           true,
			{Addr: netip.IPv4Unspecified(), Port: 8053, Proto: model.UDP}: true,
		},
	}})
	own, loopback := netip.AddrPortFrom(vip, 53), netip.MustParseAddrPort("127.0.0.1:8053")
	// Another service has the port on an address of its own, and leads to the same backend.
	others := netip.MustParseAddrPort("172.20.9.10:8053")
	published := func(k publish.Key) bool { return k.Addr == others.Addr() && k.Port == others.Port() }
	for _, c := range []struct {
		proto          model.Proto
		origin, target netip.AddrPort
		want           bool
	}{
		{model.UDP, own, target, true},
		{model.UDP, loopback, target, true},
		{model.UDP, others, target, false},
		{model.UDP, own, other, false},
		{model.TCP, own, target, false},
		{model.UDP, netip.AddrPortFrom(vip, 54), target, false},
		{model.UDP, netip.MustParseAddrPort("172.20.9.10:53"), target, false},
	} {
		if got := ended.hasSocket(c.proto, ledsocket.Led{Origin: c.origin, Target: c.target}, published); got != c.want {
			t.Errorf("%s socket to %s by %s is ended: %t, want %t", c.proto, c.target, c.origin, got, c.want)
		}
		half := &flow.Half{Key: flow.Key{Dst: c.origin, Proto: uint8(c.proto), Zone: 1}, NATDst: c.target}
		if got := ended.has(half, published); got != c.want {
			t.Errorf("%s flow to %s by %s is ended: %t, want %t", c.proto, c.target, c.origin, got, c.want)
		}
	}
}

// What is published is known by its address's network, too.
func TestPublishedIsKnown(t *testing.T) {
	w, all := serviceWorld(t)
	w.ensure(w.serviceIs(udpService(all[0])))
	for addr, want := range map[netip.Addr]bool{vip: true, netip.IPv4Unspecified(): true, netip.MustParseAddr("172.20.0.1"): false, netip.MustParseAddr("192.0.2.10"): false} {
		if got := w.dp.isPublished(publish.Key{Addr: addr, Port: 53, Proto: model.UDP}); got != want {
			t.Errorf("port 53 of %s is published: %t, want %t", addr, got, want)
		}
	}
}

// socketTo is a socket of the host's that was connected to port 80 of the endpoint in the place
// of port 53 of the service's address.
func (w *world) socketTo(e datapath.Endpoint, network string) net.Conn {
	w.t.Helper()
	st := w.dp.endpoints.byID[e.ID]
	to := netip.AddrPortFrom(e.IPv4, 80)
	origin := object.DatapathSocketOrigin{Addr: wire.Mapped(vip), Port: wire.Port(53), Endpoint: st.slot, Generation: st.value.Generation}
	var c net.Conn
	w.do(func() error {
		l, err := net.Listen("tcp4", to.String())
		if err != nil {
			return err
		}
		defer l.Close()
		if c, err = net.Dial(network, to.String()); err != nil || network != "tcp4" {
			return err
		}
		peer, err := l.Accept()
		w.t.Cleanup(func() { peer.Close() })
		return err
	})
	w.t.Cleanup(func() { c.Close() })
	maps := w.dp.loader.Maps()
	w.control(c, func(fd int) error {
		if network == "tcp4" {
			return maps.LedSockets.Put(int32(fd), &object.DatapathLedSocket{Origin: origin, Addr: wire.Mapped(e.IPv4), Port: wire.Port(80)})
		}
		cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
		if err != nil {
			return err
		}
		return maps.SocketOrigins.Put(&object.DatapathSocketKey{Cookie: cookie, Addr: wire.Mapped(e.IPv4), Port: wire.Port(80)}, &origin)
	})
	return c
}

func (w *world) control(c net.Conn, f func(fd int) error) {
	w.t.Helper()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err == nil {
		var failed error
		err = errors.Join(raw.Control(func(fd uintptr) { failed = f(int(fd)) }), failed)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) endClosed() {
	w.t.Helper()
	w.do(w.dp.endClosed)
}

// goesOn demands that nobody has ended the socket.
func (w *world) goesOn(what string, c net.Conn) {
	w.t.Helper()
	w.control(c, func(fd int) error {
		if now, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || now != 0 {
			w.t.Errorf("%s: %v, %v", what, syscall.Errno(now), err)
		}
		return nil
	})
}

func (w *world) wasEnded(what string, c net.Conn) {
	w.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNABORTED) {
		w.t.Errorf("%s: %v, want it aborted", what, err)
	}
}

// ledWorld is serviceWorld with a host that has led sockets, and has the endpoints' addresses, so
// that sockets get there.
func ledWorld(t *testing.T) (*world, []datapath.Endpoint) {
	w, all := serviceWorld(t)
	w.do(func() error {
		lo, err := netlink.LinkByName("lo")
		for _, e := range all {
			if err == nil {
				err = netlink.AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{IP: e.IPv4.AsSlice(), Mask: net.CIDRMask(32, 32)}})
			}
		}
		return errors.Join(err, w.dp.attachments.table.Put(attachment.Key{Netns: w.dp.attachments.host}, attachment.Attachment{Led: 1}))
	})
	return w, all
}

// With an endpoint go the sockets that were led to it, and none that were led to the next one
// with its slot and its address.
func TestSocketsGoWithTheirEndpoint(t *testing.T) {
	for _, network := range []string{"tcp4", "udp4"} {
		t.Run(network, func(t *testing.T) {
			w, all := ledWorld(t)
			old, others := w.socketTo(all[0], network), w.socketTo(all[1], network)
			w.dp.mu.Lock()
			gone := goneEndpoint{owner: owner{w.dp.endpoints.byID[all[0].ID].slot, w.dp.endpoints.byID[all[0].ID].value.Generation}, network: 1}
			w.dp.mu.Unlock()
			w.ensure(w.endpointGone(all[0].ID), w.endpointIs(all[0]))
			next := w.socketTo(all[0], network)
			w.endClosed()
			w.wasEnded("a socket to who is gone", old)
			// Nor does it when that is done again.
			w.do(func() error { w.dp.endSocketsTo([]goneEndpoint{gone}); return nil })
			w.goesOn("a socket to who has the address now", next)
			w.goesOn("a socket to another endpoint", others)
		})
	}
}

// What couldn't be ended is let go once its backend serves again.
func TestSocketsOfWhoServesAgain(t *testing.T) {
	w, all := ledWorld(t)
	s := udpService(all[0], all[1])
	w.ensure(w.serviceIs(s))
	one, other := w.socketTo(all[0], "udp4"), w.socketTo(all[1], "udp4")
	w.ensure(w.serviceIs(stateOf(s, 1, model.BackendDown)))
	w.wasEnded("a socket to a backend that is down", other)
	p := w.dp.services.byID[s.ID].pools[0]
	w.dp.mu.Lock()
	w.dp.services.ended = append(w.dp.services.ended, endedFlows{
		fronts: setOf(p.led), targets: map[netip.AddrPort]bool{s.Pools[0].Backends[0].Target: true}, pool: p, tries: 1,
	})
	w.dp.mu.Unlock()
	w.endClosed()
	w.goesOn("a socket to a backend that serves", one)
}
