// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"net/netip"
	"time"
)

// Kind of traffic.
type Kind string

// Kinds.
const (
	// RR sends a request on a TCP connection and waits for the response.
	RR Kind = "rr"
	// CRR does so on a new connection each time; the client closes first.
	CRR Kind = "crr"
	// Stream sends as much as TCP takes.
	Stream Kind = "stream"
	// UDPRR is request and response by one datagram each, on connected sockets.
	UDPRR Kind = "udp-rr"
	// HTTP is of services only: every request is answered with 204, by the standard
	// library, for who asks whether a server is there.
	HTTP Kind = "http"
)

// Kinds returns all there are.
func Kinds() []Kind { return []Kind{RR, CRR, Stream, UDPRR} }

// Sizes where a Job or Service has none, in bytes.
const (
	DefaultMessage = 64
	DefaultBlock   = 128 << 10
)

// DefaultTimeout ends a transaction that nobody answers.
const DefaultTimeout = 2 * time.Second

// Job is what a client does.
type Job struct {
	Kind Kind
	// Targets are dialed in turn by the flows, and by every connection of crr.
	Targets []netip.AddrPort
	// Sources are addresses that crr binds to; none leaves the choice to routing.
	Sources []netip.Addr
	// Flows is how many connections are open, or transactions under way, at most.
	Flows int
	// Request and Response are sizes in bytes, or DefaultMessage; the service has
	// the same. Stream writes blocks of Request bytes, or DefaultBlock.
	Request, Response int
	// Warmup comes before Duration, under the same load, and counts for nothing
	// but failures.
	Warmup, Duration time.Duration
	// Timeout of a transaction, or DefaultTimeout.
	Timeout time.Duration
	// Rate in transactions per second makes it an open loop.
	Rate float64
}

// Service is what a server does.
type Service struct {
	Kind Kind
	// Netns to listen in, "" for the side's own: servers of several namespaces in one
	// process change places without another address space.
	Netns string
	// Addr to listen on; port 0 takes a free one.
	Addr netip.AddrPort
	// Flows of the clients, but for HTTP. One is served by blocking calls, one after the other;
	// more by epoll.
	Flows int
	// Request and Response as in Job.
	Request, Response int
	// Reply is what the response consists of, Response zeros if empty.
	Reply []byte
}

func (j Job) withDefaults() Job {
	j.Request, j.Response = sizes(j.Kind, j.Request, j.Response)
	if j.Timeout == 0 {
		j.Timeout = DefaultTimeout
	}
	return j
}

func (s Service) withDefaults() Service {
	s.Request, s.Response = sizes(s.Kind, s.Request, s.Response)
	return s
}

func sizes(k Kind, request, response int) (int, int) {
	size := DefaultMessage
	if k == Stream {
		size = DefaultBlock
	}
	if request == 0 {
		request = size
	}
	if response == 0 {
		response = size
	}
	return request, response
}

func (j Job) check() error {
	switch {
	case j.Kind != RR && j.Kind != CRR && j.Kind != Stream && j.Kind != UDPRR:
		return fmt.Errorf("kind of load %q: unknown", j.Kind)
	case len(j.Targets) == 0:
		return fmt.Errorf("%s: no target", j.Kind)
	case j.Flows < 1:
		return fmt.Errorf("%s: %d flows", j.Kind, j.Flows)
	case j.Duration <= 0:
		return fmt.Errorf("%s: duration %v", j.Kind, j.Duration)
	case j.Rate < 0 || j.Rate > 0 && j.Kind == Stream:
		return fmt.Errorf("%s: rate %v", j.Kind, j.Rate)
	}
	return nil
}
