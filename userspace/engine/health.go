// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

// health collects what is not as it should be, one sentence per subject, until
// it is right again.
type health struct {
	mu   sync.Mutex
	open map[string]string
}

func newHealth() *health { return &health{open: make(map[string]string)} }

// report notes err for a subject, or forgets it for a nil err. It tells whether that
// is news.
func (h *health) report(subject string, err error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	before, had := h.open[subject]
	if err == nil {
		delete(h.open, subject)
		return had
	}
	h.open[subject] = fmt.Sprintf("%s: %v", subject, err)
	return h.open[subject] != before
}

// bad reports whether a subject isn't right.
func (h *health) bad(subject string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, is := h.open[subject]
	return is
}

func (h *health) sentences() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Values(h.open))
}

// forget drops the subjects that drop says yes to.
func (h *health) forget(drop func(subject string) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.open, func(subject, _ string) bool { return drop(subject) })
}
