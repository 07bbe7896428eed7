// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fairway-project/fairway/userspace/resolvconf"
)

const (
	// maxMisses names in a row make an upstream silent. Fewer may be names whose own
	// servers are dead, which a healthy upstream leaves unanswered too. So do as many
	// queries, be it for one name, that another upstream then had an answer to.
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

// misses are the names that weren't answered since the last reply, each once, in
// lower case, and no more than it takes.
type misses struct {
	names   []string
	outdone int
	until   time.Time
}

func (m *misses) silent() bool { return len(m.names) >= maxMisses || m.outdone >= maxMisses }

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
		case m == nil || !m.silent():
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

// unanswered notes a query for name that waited in vain.
func (s *silence) unanswered(u resolvconf.Upstream, stream bool, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := server{u, stream}
	if s.missed == nil {
		s.missed = map[server]*misses{}
	}
	if s.missed[at] == nil {
		s.missed[at] = &misses{}
	}
	m := s.missed[at]
	name = strings.ToLower(name)
	if len(m.names) < maxMisses && !slices.Contains(m.names, name) {
		m.names = append(m.names, name)
	}
	m.until = time.Now().Add(silentFor)
}

// outdone notes that another upstream had an answer to what these have just left
// unanswered.
func (s *silence) outdone(late []resolvconf.Upstream, stream bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range late {
		if m := s.missed[server{u, stream}]; m != nil {
			m.outdone = min(m.outdone+1, maxMisses)
		}
	}
}
