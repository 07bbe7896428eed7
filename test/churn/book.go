// SPDX-License-Identifier: Apache-2.0

// Package churn knows who may answer for a service while services and backends come and go.
//
// Who edits says so before and after: before it, what is to come is allowed already; after it,
// what is over is allowed no longer. Between two edits a service is calm, and then each client
// has to be answered. A client is judged by all that was true at any moment between its question
// and the answer, so nothing depends on how long something takes.
package churn

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Book has a page for each service. It is safe for concurrent use.
type Book struct {
	mu    sync.Mutex
	now   func() time.Time
	pages map[string]*page
}

// page is of one service.
type page struct {
	// edits are under way, and so many have begun.
	edits, begun int
	// chosen are the times at which each backend may have got new flows, answering those at
	// which it may have answered open ones.
	chosen, answering map[string][]span
	// kept are the backends whose flows have to go on, and since when. The pointer tells one such
	// time from the next.
	kept map[string]*span
}

// span is a time; end is zero while it lasts.
type span struct{ begin, end time.Time }

// New returns an empty book.
func New() *Book { return &Book{now: time.Now, pages: make(map[string]*page)} }

func (b *Book) page(service string) *page {
	p := b.pages[service]
	if p == nil {
		p = &page{chosen: make(map[string][]span), answering: make(map[string][]span), kept: make(map[string]*span)}
		b.pages[service] = p
	}
	return p
}

// Edit begins an edit of a service or its backends, which done ends.
func (b *Book) Edit(service string) (done func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.page(service)
	p.edits++
	p.begun++
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		p.edits--
	}
}

// Comes says that a backend may get flows from now on.
func (b *Book) Comes(service, backend string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, now := b.page(service), b.now()
	open(p.chosen, backend, now)
	open(p.answering, backend, now)
}

// Serves says that a backend's flows go on from now on, whatever else comes or goes.
func (b *Book) Serves(service, backend string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.page(service); p.kept[backend] == nil {
		p.kept[backend] = &span{begin: b.now()}
	}
}

// Drains says that a backend gets no new flows any more.
func (b *Book) Drains(service, backend string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	end(b.page(service).chosen, backend, b.now())
}

// Leaves says that a backend's flows may end from now on.
func (b *Book) Leaves(service, backend string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.page(service).kept, backend)
}

// Gone says that a backend has neither new flows nor open ones any more.
func (b *Book) Gone(service, backend string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, now := b.page(service), b.now()
	delete(p.kept, backend)
	end(p.chosen, backend, now)
	end(p.answering, backend, now)
}

func open(m map[string][]span, backend string, now time.Time) {
	if all := m[backend]; len(all) == 0 || !all[len(all)-1].end.IsZero() {
		m[backend] = append(all, span{begin: now})
	}
}

func end(m map[string][]span, backend string, now time.Time) {
	if all := m[backend]; len(all) > 0 && all[len(all)-1].end.IsZero() {
		all[len(all)-1].end = now
	}
}

// since reports whether one of a backend's spans has a moment in common with the time from a
// moment on.
func since(m map[string][]span, backend string, begin time.Time) bool {
	return slices.ContainsFunc(m[backend], func(s span) bool { return s.end.IsZero() || !s.end.Before(begin) })
}

// Question is one of a client's, of a flow that it begins or of one that is open.
type Question struct {
	b       *Book
	service string
	page    *page
	asked   time.Time
	// begun is what the page had when it was asked, -1 if it wasn't calm.
	begun int
}

// Ask begins one.
func (b *Book) Ask(service string) *Question {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := &Question{b: b, service: service, page: b.page(service), asked: b.now(), begun: -1}
	if q.page.edits == 0 {
		q.begun = q.page.begun
	}
	return q
}

// Sure reports whether the question has to be answered, as far as is known until now.
func (q *Question) Sure() bool {
	q.b.mu.Lock()
	defer q.b.mu.Unlock()
	return q.sure()
}

// sure needs that nothing has been edited since the question was asked, and that there is a
// backend that gets new flows.
func (q *Question) sure() bool {
	if q.begun != q.page.begun {
		return false
	}
	for backend, all := range q.page.chosen {
		if q.page.kept[backend] != nil && all[len(all)-1].end.IsZero() {
			return true
		}
	}
	return false
}

// Chosen judges the answer to the first packet of a flow: whose it is, or why there is none.
func (q *Question) Chosen(backend string, err error) error {
	q.b.mu.Lock()
	defer q.b.mu.Unlock()
	if err == nil {
		return q.mayBeChosen(backend)
	}
	if q.sure() {
		return fmt.Errorf("service %s: no answer: %w", q.service, err)
	}
	return nil
}

func (q *Question) mayBeChosen(backend string) error {
	if since(q.page.chosen, backend, q.asked) {
		return nil
	}
	return fmt.Errorf("service %s: answered by %q, which gets no new flows: %s", q.service, backend, q.page.story(backend))
}

// story is what is known of a backend, for messages.
func (p *page) story(backend string) string {
	story := fmt.Sprintf("flows kept %t", p.kept[backend] != nil)
	for what, m := range map[string]map[string][]span{"chosen": p.chosen, "answering": p.answering} {
		for _, s := range m[backend] {
			story += fmt.Sprintf(", %s from %s", what, s.begin.Format(clock))
			if !s.end.IsZero() {
				story += " to " + s.end.Format(clock)
			}
		}
	}
	return story
}

const clock = "15:04:05.000"

// Flow is a client's flow that stays open.
type Flow struct {
	b                *Book
	service, backend string
	kept             *span
}

// Opened is said of one whose question a backend has answered.
func (q *Question) Opened(backend string) *Flow {
	q.b.mu.Lock()
	defer q.b.mu.Unlock()
	f := &Flow{b: q.b, service: q.service, backend: backend}
	if kept := q.page.kept[backend]; kept != nil && kept.begin.Before(q.asked) {
		f.kept = kept
	}
	return f
}

// Sure reports whether the flow has to go on.
func (f *Flow) Sure() bool {
	f.b.mu.Lock()
	defer f.b.mu.Unlock()
	return f.sure()
}

func (f *Flow) sure() bool { return f.kept != nil && f.b.page(f.service).kept[f.backend] == f.kept }

// Over reports whether nobody may answer the flow any more.
func (f *Flow) Over() bool {
	f.b.mu.Lock()
	defer f.b.mu.Unlock()
	all := f.b.page(f.service).answering[f.backend]
	return len(all) == 0 || !all[len(all)-1].end.IsZero()
}

// Goes judges the answer to a question within the flow. Datagrams of one whose backend has gone
// may go to another.
func (f *Flow) Goes(q *Question, backend string, err error) error {
	f.b.mu.Lock()
	defer f.b.mu.Unlock()
	switch {
	case err != nil && f.sure():
		return fmt.Errorf("service %s: flow to %s ended: %w", f.service, f.backend, err)
	case err != nil:
		return nil
	case backend != f.backend && f.sure():
		return fmt.Errorf("service %s: flow to %s went on with %s", f.service, f.backend, backend)
	case backend != f.backend:
		return q.mayBeChosen(backend)
	case !since(q.page.answering, backend, q.asked):
		return fmt.Errorf("service %s: flow to %s goes on, though that is gone: %s", f.service, backend, q.page.story(backend))
	}
	return nil
}
