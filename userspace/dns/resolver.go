// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/fairway-project/fairway/userspace/netns"
)

const (
	// udpSize is the largest query that is read over UDP.
	udpSize = mdns.DefaultMsgSize
	// idleRead is how often an idle UDP server wakes up; its end doesn't depend on it.
	idleRead = time.Hour
)

// Options of a Resolver that can't change.
type Options struct {
	// Netns is the path of the sandbox's network namespace.
	Netns string
	Names *Registry
	// Shares are the daemon's, one for all resolvers; nil for some of the resolver's
	// own.
	Shares *Shares
	// Log gets what an operator should know; nil for slog.Default.
	Log *slog.Logger
}

// Resolver is the embedded DNS server of one sandbox.
type Resolver struct {
	config  atomic.Pointer[served]
	names   *Registry
	forward *forwarder
	log     *slog.Logger

	udpPort, tcpPort uint16
	sandbox, host    *netns.NS
	servers          []*mdns.Server
	serving          sync.WaitGroup
	cancel           context.CancelFunc
	closed           sync.Once
	closeErr         error
}

// Start opens the sockets of a resolver in the sandbox's namespace and answers
// from c. The calling thread must be in the daemon's network namespace. The
// caller closes the Resolver.
func Start(o Options, c Config) (*Resolver, error) {
	r := &Resolver{names: o.Names, log: o.Log}
	if r.log == nil {
		r.log = slog.Default()
	}
	r.Update(c)
	if o.Shares == nil {
		o.Shares = NewShares()
	}
	if err := r.open(o.Netns, o.Shares); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Resolver) open(path string, shares *Shares) (err error) {
	if r.host, err = netns.Current(); err != nil {
		return err
	}
	if r.sandbox, err = netns.Open(path); err != nil {
		return errors.Join(err, r.host.Close())
	}
	udp, tcp, err := listen(r.sandbox)
	if err != nil {
		return errors.Join(err, r.sandbox.Close(), r.host.Close())
	}
	r.udpPort = uint16(udp.LocalAddr().(*net.UDPAddr).Port)
	r.tcpPort = uint16(tcp.Addr().(*net.TCPAddr).Port)
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.forward = newForwarder(ctx, r.sandbox, r.host, shares, r.log)
	r.serve(&mdns.Server{PacketConn: udp, UDPSize: udpSize, ReadTimeout: idleRead})
	r.serve(&mdns.Server{Listener: bounded(ctx, tcp, shares)})
	return nil
}

// serve returns once s is ready, so that Close finds it started.
func (r *Resolver) serve(s *mdns.Server) {
	ready := make(chan struct{})
	s.Handler = mdns.HandlerFunc(r.handle)
	s.NotifyStartedFunc = func() { close(ready) }
	r.servers = append(r.servers, s)
	r.serving.Go(func() {
		if err := s.ActivateAndServe(); err != nil {
			r.log.Error("embedded dns server ended", "err", err)
		}
	})
	<-ready
}

// Update replaces what the resolver answers from; queries that have begun end
// with the old Config. It may be called at any time.
func (r *Resolver) Update(c Config) { r.config.Store(&served{Config: c.normal()}) }

// UDPPort returns the port of 127.0.0.11 in the sandbox that serves UDP.
func (r *Resolver) UDPPort() uint16 { return r.udpPort }

// TCPPort returns the port of 127.0.0.11 in the sandbox that serves TCP.
func (r *Resolver) TCPPort() uint16 { return r.tcpPort }

// Close abandons the queries being forwarded, closes the sockets, waits for the
// goroutines and lets go of the namespaces. Further calls return the same.
func (r *Resolver) Close() error {
	r.closed.Do(func() {
		r.cancel()
		for _, s := range r.servers {
			r.closeErr = errors.Join(r.closeErr, s.Shutdown())
		}
		r.serving.Wait()
		r.closeErr = errors.Join(r.closeErr, r.sandbox.Close(), r.host.Close())
	})
	return r.closeErr
}

// handle answers one query; the library calls it from a goroutine per UDP
// message and per TCP connection.
func (r *Resolver) handle(w mdns.ResponseWriter, query *mdns.Msg) {
	defer func() {
		// Queries come from sandboxes and answers from the network: no message
		// may take the daemon and every other sandbox's resolver with it.
		if p := recover(); p != nil {
			r.log.Error("embedded dns server panicked", "err", p, "stack", string(debug.Stack()))
		}
	}()
	_, stream := w.LocalAddr().(*net.TCPAddr)
	reply := r.answer(query, stream)
	reply.Truncate(limit(query, stream))
	if err := w.WriteMsg(reply); err != nil {
		r.log.Debug("dns reply not written", "err", err)
		// A record that can't be packed is better told than waited for.
		w.WriteMsg(failure(query, mdns.RcodeServerFailure))
	}
}

// answer finds the reply to query in the scope of the sandbox or upstream.
func (r *Resolver) answer(query *mdns.Msg, stream bool) *mdns.Msg {
	if query.Opcode != mdns.OpcodeQuery {
		return failure(query, mdns.RcodeNotImplemented)
	}
	if len(query.Question) != 1 { // the library lets a bare header pass
		return failure(query, mdns.RcodeFormatError)
	}
	c := r.config.Load()
	if reply := (scope{c.Config, r.names}).answer(query); reply != nil {
		return reply
	}
	return r.forward.answer(c, query, stream)
}
