// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"sync"
	"time"

	"github.com/fairway-project/fairway/userspace/resolvconf"
)

const (
	// maxMisses in a row make an upstream silent: fewer may be lost datagrams.
	maxMisses = 3
	// silentFor is how long a silent upstream isn't tried in its place.
	silentFor = 10 * time.Second
)

// silence knows which upstreams have stopped answering. Every query would wait
// for such a one as long as clients wait altogether. The zero value is ready; it
// may be used from several goroutines.
type silence struct {
	mu     sync.Mutex
	missed map[server]*misses
}

// server is an upstream by one transport; where TCP is filtered, UDP needn't be.
type server struct {
	resolvconf.Upstream
	stream bool
}

// misses are the queries in a row that weren't answered.
type misses struct {
	n     int
	until time.Time
}

// order returns the upstreams with the silent ones last. Who comes after the time
// of a silent one gets it in its place, to try; until that is known all others
// still get it last.
func (s *silence) order(upstreams []resolvconf.Upstream, stream bool) []resolvconf.Upstream {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var ordered, silent []resolvconf.Upstream
	for _, u := range upstreams {
		m := s.missed[server{u, stream}]
		switch {
		case m == nil || m.n < maxMisses:
			ordered = append(ordered, u)
		case now.Before(m.until):
			silent = append(silent, u)
		default:
			m.until = now.Add(silentFor)
			ordered = append(ordered, u)
		}
	}
	return append(ordered, silent...)
}

// answered notes a reply, whatever it says.
func (s *silence) answered(u resolvconf.Upstream, stream bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.missed, server{u, stream})
}

// unanswered notes a query that waited in vain.
func (s *silence) unanswered(u resolvconf.Upstream, stream bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := server{u, stream}
	if s.missed == nil {
		s.missed = map[server]*misses{}
	}
	if s.missed[at] == nil {
		s.missed[at] = &misses{}
	}
	s.missed[at].n++
	s.missed[at].until = time.Now().Add(silentFor)
}
