// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	mdns "github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/resolvconf"
)

// Docker's limits.
const (
	maxUpstreams    = 3
	upstreamTimeout = 4 * time.Second
	maxForwards     = 1024
	upstreamPort    = 53
)

// sendings is how often a datagram goes to an upstream within its time. Clients that
// retry sooner wait for the query under way: it has to outlast a lost datagram.
const sendings = 4

// forwarder asks upstream servers on behalf of one sandbox.
type forwarder struct {
	ctx           context.Context // ends with the resolver
	sandbox, host *netns.NS
	log           *slog.Logger
	timeout       time.Duration // for each upstream
	slots         share
	refused       atomic.Bool // the limit was logged since it was last clear
}

func newForwarder(ctx context.Context, sandbox, host *netns.NS, shares *Shares, log *slog.Logger) *forwarder {
	return &forwarder{ctx: ctx, sandbox: sandbox, host: host, log: log, timeout: upstreamTimeout,
		slots: share{of: shares, most: maxForwards}}
}

// answer returns what upstreams say, and refuses what may not be asked.
func (f *forwarder) answer(c *served, query *mdns.Msg, stream bool) *mdns.Msg {
	if !c.Forward {
		return failure(query, mdns.RcodeServerFailure)
	}
	if c.NDotsSet && singleLabel(query.Question[0]) {
		return success(query)
	}
	if !f.acquire() {
		return failure(query, mdns.RcodeRefused)
	}
	defer f.release()
	return c.once(query, stream, func() *mdns.Msg { return f.first(c, query, stream) })
}

// first returns the first upstream's reply that isn't a failure, else SERVFAIL.
func (f *forwarder) first(c *served, query *mdns.Msg, stream bool) *mdns.Msg {
	var late []resolvconf.Upstream
	for _, u := range c.silence.order(c.Upstreams, stream) {
		reply, timedOut := f.ask(&c.silence, u, query, stream)
		if timedOut {
			late = append(late, u)
		}
		if reply == nil {
			continue
		}
		if reply.Rcode == mdns.RcodeSuccess && len(reply.Answer) > 0 {
			c.silence.outdone(late, stream)
		}
		return reply
	}
	return failure(query, mdns.RcodeServerFailure)
}

// singleLabel reports whether a client would go on to its search domains.
func singleLabel(q mdns.Question) bool {
	return (q.Qtype == mdns.TypeA || q.Qtype == mdns.TypeAAAA) &&
		!strings.Contains(strings.TrimSuffix(q.Name, "."), ".")
}

func (f *forwarder) acquire() bool {
	if f.slots.acquire() {
		return true
	}
	if !f.refused.Swap(true) {
		f.log.Warn("more dns queries at a time than are forwarded for a sandbox", "limit", f.slots.count())
	}
	return false
}

func (f *forwarder) release() {
	if f.slots.release() == 0 {
		f.refused.Store(false)
	}
}

// ask returns the reply of one upstream, nil where the next should be asked; late says
// that its time went by without one.
func (f *forwarder) ask(s *silence, u resolvconf.Upstream, query *mdns.Msg, stream bool) (reply *mdns.Msg, late bool) {
	ctx, cancel := context.WithTimeout(f.ctx, f.timeout)
	defer cancel()
	reply, err := f.exchange(ctx, u, query, stream)
	if err != nil {
		late = errors.Is(ctx.Err(), context.DeadlineExceeded)
		if late {
			s.unanswered(u, stream, query.Question[0].Name)
		}
		f.log.Debug("dns upstream didn't answer", "upstream", u.String(), "err", err)
		return nil, late
	}
	s.answered(u, stream)
	if reply.Rcode == mdns.RcodeServerFailure || reply.Rcode == mdns.RcodeRefused {
		return nil, false
	}
	return reply, false
}

// exchange asks over UDP and, if the reply doesn't fit in there, over TCP; over
// TCP at once for a client that uses it.
func (f *forwarder) exchange(ctx context.Context, u resolvconf.Upstream, query *mdns.Msg, stream bool) (*mdns.Msg, error) {
	if stream {
		return f.send(ctx, u, unix.SOCK_STREAM, query)
	}
	reply, err := f.send(ctx, u, unix.SOCK_DGRAM, query)
	if err != nil || !reply.Truncated {
		return reply, err
	}
	whole, err := f.send(ctx, u, unix.SOCK_STREAM, query)
	if err != nil {
		// Less than all is better than nothing, and the client sees the TC bit.
		return reply, nil
	}
	return whole, nil
}

func (f *forwarder) send(ctx context.Context, u resolvconf.Upstream, typ int, query *mdns.Msg) (*mdns.Msg, error) {
	from := f.sandbox
	if u.FromHost {
		from = f.host
	}
	conn, err := from.Dial(ctx, typ, netip.AddrPortFrom(u.Addr, upstreamPort))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return roundTrip(ctx, conn, query, f.timeout/sendings)
}
