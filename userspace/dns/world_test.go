// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/resolvconf"
)

var (
	server1 = netip.MustParseAddr("10.9.0.53")
	server2 = netip.MustParseAddr("10.9.0.54")
	server3 = netip.MustParseAddr("10.9.0.55")
	server6 = netip.MustParseAddr("fd00:9::53")
	// nobody is an address on the link whose port 53 is closed.
	nobody   = netip.MustParseAddr("10.9.0.99")
	hostStub = netip.MustParseAddr("127.0.0.53")
)

// world is a sandbox and a namespace of servers on one wire, and a third one
// that plays the host and has nothing but its loopback.
type world struct {
	t               *testing.T
	box, host, wire *netns.NS
}

func newWorld(t *testing.T) *world {
	t.Helper()
	// Cleanups run last to first: this check sees what the others left.
	before := netnsFiles(t)
	t.Cleanup(func() {
		if after := netnsFiles(t); after != before {
			t.Errorf("open namespaces: %d before the test, %d after", before, after)
		}
	})
	dir := t.TempDir()
	w := &world{t: t, box: newNetns(t, dir, "box"), host: newNetns(t, dir, "host"), wire: newNetns(t, dir, "wire")}
	w.connect()
	return w
}

func newNetns(t *testing.T, dir, name string) *netns.NS {
	t.Helper()
	path := filepath.Join(dir, name)
	must(t, netns.Create(path))
	t.Cleanup(func() { must(t, netns.Delete(path)) })
	ns, err := netns.Open(path)
	must(t, err)
	t.Cleanup(func() { must(t, ns.Close()) })
	return ns
}

// connect puts a veth between box and wire, with the test's addresses.
func (w *world) connect() {
	w.t.Helper()
	must(w.t, w.box.Do(func() error {
		link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0",
			PeerNamespace: netlink.NsFd(w.wire.Fd())}
		return errors.Join(netlink.LinkAdd(link), setUp("10.9.0.2/24", "10.9.0.3/24", "fd00:9::2/64"))
	}))
	must(w.t, w.wire.Do(func() error {
		return setUp("10.9.0.53/24", "10.9.0.54/24", "10.9.0.55/24", "10.9.0.99/24", "fd00:9::53/64")
	}))
	must(w.t, w.box.Do(awaitUp))
	must(w.t, w.wire.Do(awaitUp))
}

// awaitUp returns when the link sends; what is sent before is lost, and ARP tries
// again after a second.
func awaitUp() error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		link, err := netlink.LinkByName("eth0")
		if err != nil || link.Attrs().OperState == netlink.OperUp {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("eth0 is %s", link.Attrs().OperState)
		}
	}
}

func setUp(prefixes ...string) error {
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	for _, p := range prefixes {
		addr, err := netlink.ParseAddr(p)
		if err != nil {
			return err
		}
		addr.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(link, addr); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(link)
}

func netnsFiles(t *testing.T) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	for _, fd := range fds {
		if to, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.HasPrefix(to, "net:[") {
			n++
		}
	}
	return n
}

// start runs a resolver for the box, started by a daemon in the host. It waits for
// upstreams so long that no query is sent again just because the machine is slow.
func (w *world) start(names *Registry, c Config) *Resolver {
	w.t.Helper()
	return w.startWaiting(time.Minute, names, c)
}

// startWaiting is start with another time for each upstream.
func (w *world) startWaiting(timeout time.Duration, names *Registry, c Config) *Resolver {
	w.t.Helper()
	var r *Resolver
	must(w.t, w.host.Do(func() (err error) {
		r, err = Start(Options{Netns: w.box.Path(), Names: names, Log: slog.New(panics{w.t})}, c)
		return err
	}))
	r.forward.timeout = timeout
	r.Update(c) // whose reader sees the timeout too
	w.t.Cleanup(func() { must(w.t, r.Close()) })
	return r
}

// upstream is a DNS server of the test's.
type upstream struct {
	addr netip.Addr
	mu   sync.Mutex
	seen []seen
}

type seen struct {
	*mdns.Msg
	from string
	tcp  bool
}

func (u *upstream) queries() []seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]seen(nil), u.seen...)
}

// serve runs a server on port 53 of addr that notes each query and answers by h.
func (w *world) serve(ns *netns.NS, addr netip.Addr, h mdns.HandlerFunc) *upstream {
	w.t.Helper()
	u := &upstream{addr: addr}
	handler := mdns.HandlerFunc(func(rw mdns.ResponseWriter, q *mdns.Msg) {
		_, tcp := rw.RemoteAddr().(*net.TCPAddr)
		u.mu.Lock()
		u.seen = append(u.seen, seen{q.Copy(), rw.RemoteAddr().String(), tcp})
		u.mu.Unlock()
		h(rw, q)
	})
	var udp, tcp mdns.Server
	at := netip.AddrPortFrom(addr, upstreamPort)
	must(w.t, ns.Do(func() (err error) {
		if udp.PacketConn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at)); err != nil {
			return err
		}
		tcp.Listener, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
		return err
	}))
	for _, s := range []*mdns.Server{&udp, &tcp} {
		up := make(chan struct{})
		s.Handler, s.UDPSize, s.NotifyStartedFunc = handler, mdns.MaxMsgSize, func() { close(up) }
		go s.ActivateAndServe()
		<-up
		w.t.Cleanup(func() { must(w.t, s.Shutdown()) })
	}
	return u
}

// ask sends one query from inside the box to the resolver's own port.
func (w *world) ask(r *Resolver, network, name string, qtype uint16, mods ...func(*mdns.Msg)) *mdns.Msg {
	w.t.Helper()
	reply, err := w.try(r, network, name, qtype, mods...)
	if err != nil {
		w.t.Fatal(err)
	}
	return reply
}

// try is ask for goroutines of a test.
func (w *world) try(r *Resolver, network, name string, qtype uint16, mods ...func(*mdns.Msg)) (*mdns.Msg, error) {
	q := new(mdns.Msg).SetQuestion(name, qtype)
	for _, m := range mods {
		m(q)
	}
	conn, err := w.connection(r, network)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	c := &mdns.Client{Net: network, Timeout: 20 * time.Second}
	reply, _, err := c.ExchangeWithConn(q, &mdns.Conn{Conn: conn, UDPSize: mdns.MaxMsgSize})
	if err != nil {
		return nil, fmt.Errorf("%s %s over %s: %w", name, mdns.TypeToString[qtype], network, err)
	}
	return reply, nil
}

func (w *world) dial(r *Resolver, network string) net.Conn {
	w.t.Helper()
	conn, err := w.connection(r, network)
	must(w.t, err)
	return conn
}

func (w *world) connection(r *Resolver, network string) (net.Conn, error) {
	typ, port := unix.SOCK_DGRAM, r.UDPPort()
	if network == "tcp" {
		typ, port = unix.SOCK_STREAM, r.TCPPort()
	}
	return w.box.Dial(context.Background(), typ, netip.AddrPortFrom(Addr, port))
}

func edns(size uint16) func(*mdns.Msg) {
	return func(q *mdns.Msg) { q.SetEdns0(size, false) }
}

func via(addrs ...netip.Addr) (us []resolvconf.Upstream) {
	for _, a := range addrs {
		us = append(us, resolvconf.Upstream{Addr: a})
	}
	return us
}

// always answers every query with this RCODE and, for A, the address.
func always(rcode int, addr string) mdns.HandlerFunc {
	return func(w mdns.ResponseWriter, q *mdns.Msg) {
		m := new(mdns.Msg).SetRcode(q, rcode)
		if addr != "" {
			rr, _ := mdns.NewRR(q.Question[0].Name + " 5 IN A " + addr)
			m.Answer = append(m.Answer, rr)
		}
		w.WriteMsg(m)
	}
}

// values are the addresses or names that m's answers hold.
func values(m *mdns.Msg) (vs []string) {
	for _, rr := range m.Answer {
		switch rr := rr.(type) {
		case *mdns.A:
			vs = append(vs, rr.A.String())
		case *mdns.AAAA:
			vs = append(vs, rr.AAAA.String())
		case *mdns.PTR:
			vs = append(vs, rr.Ptr)
		default:
			vs = append(vs, rr.String())
		}
	}
	return vs
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
