// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/maps/attachment"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/service"
	"github.com/fairway-project/fairway/test/progrun/rig"
	"github.com/fairway-project/fairway/userspace/model"
)

// box is a container's namespace, in which both its own services' addresses and the backends'
// are, so that something answers whether a socket is led or not.
type box struct {
	*rig.Host
	// by has the programs.
	by *rig.Host
}

func newBox(t *testing.T, h *rig.Host) box {
	b := box{rig.New(t, rig.Options{}), h}
	for _, f := range families() {
		for _, at := range []netip.AddrPort{
			netip.AddrPortFrom(f.vip(), 8080), netip.AddrPortFrom(f.host2(), 8080),
			netip.AddrPortFrom(f.addr(f.Web), 80), netip.AddrPortFrom(f.addr(f.DB), 80),
		} {
			b.AddAddress(t, "lo", netip.PrefixFrom(at.Addr(), at.Addr().BitLen()))
			serve(t, b.Host, at)
		}
		b.AddAddress(t, "lo", netip.PrefixFrom(f.addr(f.App), f.addr(f.App).BitLen()))
	}
	return b
}

// host2 is an address that is the host's by its table alone.
func (f family) host2() netip.Addr { return f.pick("203.0.113.9", "2001:db8:9::9") }

// attach says that the endpoint is the box's.
func (b box) attach(t *testing.T, e rig.Endpoint, generation uint16) {
	t.Helper()
	check(t, b.by.Attached.Put(attachment.Key{Netns: b.Cookie, Network: e.Network}, attachment.Attachment{Endpoint: e.Slot, Generation: generation}))
}

// connects has a socket connect, which may be bound before, and exchange something; it returns
// for how many flows a backend was chosen by that.
func (b box) connects(t *testing.T, to netip.AddrPort, bind func(fd int) error) uint64 {
	t.Helper()
	before := total(t, b.by)
	d := net.Dialer{Timeout: 5 * time.Second, Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if bind == nil {
			return nil
		}
		return errors.Join(c.Control(func(fd uintptr) { err = bind(int(fd)) }), err)
	}}
	var c net.Conn
	var err error
	b.Do(func() { c, err = d.Dial("tcp", to.String()) })
	check(t, err)
	exchange(t, c, to)
	return total(t, b.by) - before
}

func total(t *testing.T, h *rig.Host) (flows uint64) {
	t.Helper()
	for _, n := range chosen(t, h) {
		flows += n
	}
	return flows
}

// A container's socket is connected to a backend itself where that is its peer, and only there;
// it is told that it is connected to what it asked for.
func TestContainerSockets(t *testing.T) {
	h := rig.New(t, rig.Options{})
	attachSockets(t, h, ownCgroup(t))
	b := newBox(t, h)
	for name, f := range families() {
		vip := netip.AddrPortFrom(f.vip(), 8080)
		onNet1, onNet2 := service.Settings{Network: f.Net1.Slot}, service.Settings{Network: f.Net2.Slot}
		// Each case begins with the box on net1 as App, and a pool of which Web on net1 is all.
		for _, c := range []struct {
			name string
			set  func(t *testing.T)
			to   netip.AddrPort
			bind func(fd int) error
			led  uint64
		}{
			{name: "led", led: 1},
			{name: "to itself", led: 1, set: func(t *testing.T) { b.attach(t, f.Web, rig.Generation) }},
			{name: "bound to its address", led: 1, bind: bindTo(f.addr(f.App))},
			{name: "drawn", led: 1, set: func(t *testing.T) {
				h.PutPool(t, poolSlot, service.Settings{Network: f.Net1.Slot, Random: true}, f.active(f.Web))
			}},
			{name: "remembered", led: 1, set: func(t *testing.T) {
				h.PutPool(t, poolSlot, service.Settings{Network: f.Net1.Slot, ByClient: 1000}, f.active(f.Web))
			}},
			{name: "one of its sources", led: 1, set: func(t *testing.T) {
				h.PutPool(t, poolSlot, service.Settings{Network: f.Net1.Slot, Sources: true}, f.active(f.Web))
				check(t, h.Services.PutSource(service.Source{Slot: poolSlot, Prefix: netip.PrefixFrom(f.addr(f.App), f.addr(f.App).BitLen())}))
			}},
			{name: "backends on its other network", led: 1, set: func(t *testing.T) {
				b.attach(t, f.DB, rig.Generation)
				h.PutPool(t, poolSlot, onNet2, f.active(f.DB))
			}},
			{name: "backends on another's network", set: func(t *testing.T) { h.PutPool(t, poolSlot, onNet2, f.active(f.DB)) }},
			{name: "backends on several networks", set: func(t *testing.T) { h.PutPool(t, poolSlot, service.Settings{}, f.active(f.Web)) }},
			{name: "a backend on another network than is said", set: func(t *testing.T) { h.PutPool(t, poolSlot, onNet1, f.active(f.DB)) }},
			{name: "a backend outside", set: func(t *testing.T) {
				h.PutPool(t, poolSlot, onNet1, backend{Target: netip.AddrPortFrom(f.addr(f.Web), 80), Outside: true, State: service.Active})
			}},
			{name: "nobody active", set: func(t *testing.T) { h.PutPool(t, poolSlot, onNet1, is(f.active(f.Web), service.Down)) }},
			{name: "a stranger to the service", set: func(t *testing.T) {
				h.PutPool(t, poolSlot, service.Settings{Network: f.Net1.Slot, Sources: true}, f.active(f.Web))
			}},
			{name: "address of the host", to: netip.AddrPortFrom(f.host2(), 8080), set: func(t *testing.T) {
				check(t, h.State.PutAddress(f.host2(), 0))
			}},
			{name: "not on the service's network", set: func(t *testing.T) {
				check(t, h.Attached.Delete(attachment.Key{Netns: b.Cookie, Network: f.Net1.Slot}))
				b.attach(t, f.DB, rig.Generation)
			}},
			{name: "of an owner before", set: func(t *testing.T) { b.attach(t, f.App, rig.Generation-1) }},
			{name: "endpoint of another network", set: func(t *testing.T) {
				check(t, h.Attached.Put(attachment.Key{Netns: b.Cookie, Network: f.Net1.Slot}, attachment.Attachment{Endpoint: f.DB.Slot, Generation: rig.Generation}))
			}},
			{name: "not ready", set: func(t *testing.T) { h.Unready(t, f.App) }},
			{name: "without icc", set: func(t *testing.T) {
				h.PutNetwork(t, f.Net1, object.DatapathNetworkFlagNETWORK_IPV4|object.DatapathNetworkFlagNETWORK_IPV6)
			}},
			{name: "bound to a device", bind: func(fd int) error { return unix.BindToDevice(fd, "lo") }},
			{name: "bound to another address", bind: bindTo(f.addr(f.DB))},
		} {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				h.Restore(t)
				serves(f, protoTCP, onNet1, f.active(f.Web))(t, h)
				b.attach(t, f.App, rig.Generation)
				if c.set != nil {
					c.set(t)
				}
				to := vip
				if c.to.IsValid() {
					to = c.to
				}
				if n := b.connects(t, to, c.bind); n != c.led {
					t.Errorf("%d sockets were led to a backend, want %d", n, c.led)
				}
				all, err := h.Attached.All()
				check(t, err)
				var counted uint64
				for _, a := range all {
					counted += uint64(a.Led)
				}
				if counted != c.led {
					t.Errorf("%d sockets are counted as led, want %d", counted, c.led)
				}
			})
		}
	}
}

func bindTo(addr netip.Addr) func(int) error {
	return func(fd int) error {
		if addr.Is6() {
			return unix.Bind(fd, &unix.SockaddrInet6{Addr: addr.As16()})
		}
		return unix.Bind(fd, &unix.SockaddrInet4{Addr: addr.As4()})
	}
}

// What a container sends over UDP is left to its packets, connected or not, and so is what the
// namespaces of others ask.
func TestContainerSocketsLeftAlone(t *testing.T) {
	h := rig.New(t, rig.Options{})
	attachSockets(t, h, ownCgroup(t))
	b, other := newBox(t, h), newBox(t, h)
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			vip := netip.AddrPortFrom(f.vip(), 8080)
			for _, proto := range []model.Proto{protoTCP, protoUDP} {
				serves(f, proto, service.Settings{Network: f.Net1.Slot}, f.active(f.Web))(t, h)
			}
			b.attach(t, f.App, rig.Generation)
			before := total(t, h)
			reachConnectedUDP(t, b.Host, vip)
			reachUDP(t, b.Host, vip)
			reachTCP(t, other.Host, "tcp", vip)
			if n := total(t, h) - before; n != 0 {
				t.Errorf("%d sockets were led to a backend", n)
			}
			reachTCP(t, b.Host, "tcp", vip)
			if n := total(t, h) - before; n != 1 {
				t.Errorf("%d sockets were led to a backend, want 1", n)
			}
		})
	}
}

// A socket that connects anew, to the backend itself, is told just that. An IPv4 address in IPv6
// clothes is an IPv4 address.
func TestContainerSocketConnectsAnew(t *testing.T) {
	h := rig.New(t, rig.Options{})
	attachSockets(t, h, ownCgroup(t))
	b, f := newBox(t, h), families()["ipv4"]
	serves(f, protoTCP, service.Settings{Network: f.Net1.Slot}, f.active(f.Web))(t, h)
	b.attach(t, f.App, rig.Generation)
	b.Do(func() {
		s, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer unix.Close(s)
		for _, to := range []netip.AddrPort{netip.AddrPortFrom(f.vip(), 8080), netip.AddrPortFrom(f.addr(f.Web), 80)} {
			err := unix.Connect(s, &unix.SockaddrInet6{Addr: to.Addr().As16(), Port: int(to.Port())})
			if err != nil {
				t.Errorf("connect to %s: %v", to, err)
			}
			peer, err := unix.Getpeername(s)
			if p, ok := peer.(*unix.SockaddrInet6); !ok || netip.AddrFrom16(p.Addr).Unmap() != to.Addr() || p.Port != int(to.Port()) {
				t.Errorf("connected to %s the peer is %+v, %v", to, peer, err)
			}
			var led object.DatapathLedSocket
			err = h.LedSockets.Lookup(int32(s), &led)
			if o := led.Origin; to.Addr() == f.vip() && (err != nil || o.Endpoint != f.Web.Slot || o.Generation != rig.Generation) {
				t.Errorf("connected to %s it leads to endpoint %d, generation %d, %v", to, o.Endpoint, o.Generation, err)
			}
			if err := disconnect(s); err != nil {
				t.Error(err)
			}
		}
	})
	if n := total(t, h); n != 1 {
		t.Errorf("%d sockets were led to a backend, want 1", n)
	}
}

// disconnect is connect with AF_UNSPEC.
func disconnect(fd int) error {
	addr := unix.RawSockaddr{Family: unix.AF_UNSPEC}
	_, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&addr)), unix.SizeofSockaddrInet4)
	if errno != 0 {
		return errno
	}
	return nil
}
