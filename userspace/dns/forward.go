// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"context"
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

// forwarder asks upstream servers on behalf of one sandbox.
type forwarder struct {
	ctx           context.Context // ends with the resolver
	sandbox, host *netns.NS
	log           *slog.Logger
	slots         chan struct{}
	refused       atomic.Bool // the limit was logged since it was last clear
}

func newForwarder(ctx context.Context, sandbox, host *netns.NS, log *slog.Logger) *forwarder {
	return &forwarder{ctx: ctx, sandbox: sandbox, host: host, log: log, slots: make(chan struct{}, maxForwards)}
}

// answer returns the first upstream's reply that isn't a failure, else SERVFAIL.
func (f *forwarder) answer(c *Config, query *mdns.Msg, stream bool) *mdns.Msg {
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
	for _, u := range c.Upstreams {
		if reply := f.ask(u, query, stream); reply != nil {
			return reply
		}
	}
	return failure(query, mdns.RcodeServerFailure)
}

// singleLabel reports whether a client would go on to its search domains.
func singleLabel(q mdns.Question) bool {
	return (q.Qtype == mdns.TypeA || q.Qtype == mdns.TypeAAAA) &&
		!strings.Contains(strings.TrimSuffix(q.Name, "."), ".")
}

func (f *forwarder) acquire() bool {
	select {
	case f.slots <- struct{}{}:
		return true
	default:
	}
	if !f.refused.Swap(true) {
		f.log.Warn("more dns queries at a time than are forwarded for a sandbox", "limit", maxForwards)
	}
	return false
}

func (f *forwarder) release() {
	if <-f.slots; len(f.slots) == 0 {
		f.refused.Store(false)
	}
}

// ask returns the reply of one upstream, nil where the next should be asked.
func (f *forwarder) ask(u resolvconf.Upstream, query *mdns.Msg, stream bool) *mdns.Msg {
	ctx, cancel := context.WithTimeout(f.ctx, upstreamTimeout)
	defer cancel()
	reply, err := f.exchange(ctx, u, query, stream)
	if err != nil {
		f.log.Debug("dns upstream didn't answer", "upstream", u.String(), "err", err)
		return nil
	}
	if reply.Rcode == mdns.RcodeServerFailure || reply.Rcode == mdns.RcodeRefused {
		return nil
	}
	return reply
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
	return roundTrip(ctx, conn, query)
}
