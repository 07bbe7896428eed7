// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"sync"

	"golang.org/x/sys/unix"
)

// maxShares bounds what all resolvers hold: some 25 KiB of memory and one or two
// open files each.
const maxShares = 4096

// Shares divides the queries being forwarded and the connections of clients among
// the resolvers of a host. No resolver gets more than are left for all others, so
// that k busy ones leave a part of k+1 for whoever comes next. It may be used from
// several goroutines.
type Shares struct {
	mu   sync.Mutex
	free int
}

// NewShares returns the Shares of this process: what a quarter of the files that it
// may open is enough for.
func NewShares() *Shares {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return newShares(maxShares)
	}
	return newShares(int(min(files.Cur/4, maxShares)))
}

func newShares(n int) *Shares { return &Shares{free: n} }

// share is what one resolver holds of something, at most a number of its own.
type share struct {
	of         *Shares
	held, most int
}

// acquire reports whether one more is granted.
func (s *share) acquire() bool {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if s.held >= min(s.most, s.of.free) {
		return false
	}
	s.held++
	s.of.free--
	return true
}

// release gives one back and returns how many are still held.
func (s *share) release() int {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	s.held--
	s.of.free++
	return s.held
}

// count returns how many are held.
func (s *share) count() int {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	return s.held
}
