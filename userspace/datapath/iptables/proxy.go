// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
)

// proxy serves sockets of the host where the kernel can't translate: ::1 in
// front of an IPv6 container, any IPv6 address of the host in front of one
// without IPv6. All TCP ports share one listener on ::1, which asks the kernel
// for the address meant; each UDP port has a socket of its own. The container
// sees the gateway as its peer, as behind docker-proxy.
type proxy struct {
	ns  *netns.NS
	log *slog.Logger
	// ctx ends with the proxy, so that connecting does.
	ctx  context.Context
	stop context.CancelFunc

	mu     sync.Mutex
	closed bool
	tcp    *net.TCPListener
	// relays by endpoint or service, then by publication.
	relays map[string]map[datapath.Port]*relay
	// conns of TCP connections under way, with where they lead to, by endpoint or service.
	conns map[string]map[net.Conn]netip.AddrPort
	wg    sync.WaitGroup
}

// relay is one proxied publication.
type relay struct {
	port   datapath.Port
	choice *choice
	// listen is the port on ::1 that the kernel redirects to.
	listen uint16
	udp    *udpRelay
}

func newProxy(ns *netns.NS, log *slog.Logger) *proxy {
	ctx, stop := context.WithCancel(context.Background())
	return &proxy{
		ns: ns, log: log, ctx: ctx, stop: stop,
		relays: make(map[string]map[datapath.Port]*relay),
		conns:  make(map[string]map[net.Conn]netip.AddrPort),
	}
}

// needsProxy reports whether sockets of the host can't reach the port otherwise.
func needsProxy(p *datapath.Port) bool {
	if p.Routed || p.HostIP.Is4() || p.Port.Proto == model.SCTP {
		return false
	}
	return p.HostOnly || p.HostIP.IsUnspecified() || p.HostIP == netip.IPv6Loopback()
}

// rules lead those of the owner's proxied ports to the proxy that are meant. They go to
// the head, before those of an earlier daemon, whose proxy is gone.
func (p *proxy) rules(owner string, meant func(datapath.Port) bool) []Rule {
	p.mu.Lock()
	defer p.mu.Unlock()
	var rules []Rule
	for _, r := range p.relays[owner] {
		if !meant(r.port) {
			continue
		}
		match := ""
		switch {
		case !r.port.HostIP.IsUnspecified():
			match = "-d " + IPv6.host(r.port.HostIP) + " "
		case !r.port.HostOnly:
			match = "-d ::1/128 "
		}
		rules = append(rules, newRule(tableNAT, chainProxy, "%[1]s-p %[2]s -m %[2]s --dport %[3]d -j REDIRECT --to-ports %[4]d",
			match, r.port.Port.Proto, r.port.HostPort, r.listen).atHead())
	}
	slices.SortFunc(rules, func(a, b Rule) int { return cmp.Compare(a.Spec, b.Spec) })
	return rules
}

// relaying is a change of an endpoint's or a service's relays that is kept or undone.
type relaying struct {
	proxy    *proxy
	owner    string
	old, new map[datapath.Port]*relay
}

// serve makes these the owner's proxied ports. The caller is in the namespace.
func (p *proxy) serve(owner string, ports []datapath.Port) (*relaying, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &relaying{proxy: p, owner: owner, old: p.relays[owner], new: make(map[datapath.Port]*relay)}
	for _, port := range ports {
		r := s.old[port]
		if r == nil {
			var err error
			if r, err = p.start(port); err != nil {
				closeUnless(s.new, s.old)
				return nil, err
			}
		}
		s.new[port] = r
	}
	p.relays[owner] = s.new
	return s, nil
}

func (s *relaying) keep() {
	s.proxy.mu.Lock()
	defer s.proxy.mu.Unlock()
	closeUnless(s.old, s.new)
	if len(s.new) == 0 {
		delete(s.proxy.relays, s.owner)
	}
}

func (s *relaying) undo() {
	s.proxy.mu.Lock()
	defer s.proxy.mu.Unlock()
	closeUnless(s.new, s.old)
	s.proxy.relays[s.owner] = s.old
}

// choose tells where the owner's ports lead from now on.
func (p *proxy) choose(owner string, of map[datapath.Port][]backend, keep time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for port, r := range p.relays[owner] {
		r.choice.set(of[port], keep)
	}
}

// end ends what the owner's ports carry to these targets.
func (p *proxy) end(owner string, dead func(netip.AddrPort) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c, to := range p.conns[owner] {
		if dead(to) {
			c.Close()
		}
	}
	for _, r := range p.relays[owner] {
		if r.udp != nil {
			r.udp.end(dead)
		}
	}
}

// closeUnless closes the relays that are not in other.
func closeUnless(relays, other map[datapath.Port]*relay) {
	for port, r := range relays {
		if other[port] != r && r.udp != nil {
			r.udp.close()
		}
	}
}

// start listens for one publication.
func (p *proxy) start(port datapath.Port) (*relay, error) {
	if p.closed {
		return nil, ErrClosed
	}
	to := new(choice)
	if port.Target.IsValid() {
		to = choiceOf(targetOf(port))
	}
	if port.Port.Proto == model.TCP {
		if err := p.listenTCP(); err != nil {
			return nil, fmt.Errorf("proxy for port %s: %w", port, err)
		}
		return &relay{port: port, choice: to, listen: portOf(p.tcp.Addr())}, nil
	}
	u, err := p.listenUDP(to)
	if err != nil {
		return nil, fmt.Errorf("proxy for port %s: %w", port, err)
	}
	return &relay{port: port, choice: to, listen: portOf(u.conn.LocalAddr()), udp: u}, nil
}

func portOf(a net.Addr) uint16 {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return 0
	}
	return ap.Port()
}

// dialTimeout is docker-proxy's patience with a container, roughly: long enough
// for a lost SYN, short enough to be noticed.
const dialTimeout = 10 * time.Second

// dial connects a socket of the namespace to a container.
func (p *proxy) dial(typ int, target netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(p.ctx, dialTimeout)
	defer cancel()
	return p.ns.Dial(ctx, typ, target)
}

// retryAfter keeps a socket that fails again and again from taking a CPU.
const retryAfter = time.Second

// closing reports whether a listening socket failed because it was closed. Any
// other failure passes, as that of a process out of file descriptors does: closing
// then returns false when it is time to try again.
func (p *proxy) closing(err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return true
	}
	p.log.Warn("proxy: socket failed, trying again", "err", err)
	select {
	case <-p.ctx.Done():
		return true
	case <-time.After(retryAfter):
		return false
	}
}

// release ends all that the endpoint or service has in the proxy.
func (p *proxy) release(owner string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	closeUnless(p.relays[owner], nil)
	delete(p.relays, owner)
	for c := range p.conns[owner] {
		c.Close()
	}
}

// close ends everything and waits until it has ended.
func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.stop()
	if p.tcp != nil {
		p.tcp.Close()
	}
	for _, relays := range p.relays {
		closeUnless(relays, nil)
	}
	for _, conns := range p.conns {
		for c := range conns {
			c.Close()
		}
	}
	p.mu.Unlock()
	p.wg.Wait()
}
