// SPDX-License-Identifier: Apache-2.0

package churn

import (
	"errors"
	"testing"
	"time"
)

var errNone = errors.New("refused")

// world has the service web with backend a, which serves; each call of its clock is a second.
func world() *Book {
	b := New()
	at := time.Time{}
	b.now = func() time.Time { at = at.Add(time.Second); return at }
	b.Comes("web", "a")
	b.Serves("web", "a")
	return b
}

func TestChoice(t *testing.T) {
	for _, c := range []struct {
		name string
		// before and during are what happens before and after the question.
		before, during func(b *Book)
		backend        string
		err            error
		fine           bool
	}{
		{name: "the one that serves", backend: "a", fine: true},
		{name: "somebody else", backend: "b"},
		{name: "nobody", err: errNone},
		{name: "nobody, where nobody serves", before: func(b *Book) { b.Gone("web", "a") }, err: errNone, fine: true},
		{name: "nobody, in an edit", before: func(b *Book) { b.Edit("web") }, err: errNone, fine: true},
		{name: "nobody, when an edit began", during: func(b *Book) { b.Edit("web") }, err: errNone, fine: true},
		{name: "nobody, when an edit came and went", during: func(b *Book) { b.Edit("web")() }, err: errNone, fine: true},
		{name: "nobody, after an edit", before: func(b *Book) { b.Edit("web")() }, err: errNone},
		{name: "nobody, in an edit of another", before: func(b *Book) { b.Edit("db") }, err: errNone},
		{name: "one that drains", before: func(b *Book) { b.Drains("web", "a") }, backend: "a"},
		{name: "one that began to drain", during: func(b *Book) { b.Drains("web", "a") }, backend: "a", fine: true},
		{name: "one that is back", before: func(b *Book) { b.Drains("web", "a"); b.Comes("web", "a") }, backend: "a", fine: true},
		{name: "one that came", during: func(b *Book) { b.Comes("web", "b") }, backend: "b", fine: true},
		{name: "another's", before: func(b *Book) { b.Comes("db", "b") }, backend: "b"},
		{name: "nobody, and one may serve", before: func(b *Book) { b.Gone("web", "a"); b.Comes("web", "b") }, err: errNone, fine: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := world()
			if c.before != nil {
				c.before(b)
			}
			q := b.Ask("web")
			if c.during != nil {
				c.during(b)
			}
			if err := q.Chosen(c.backend, c.err); err == nil != c.fine {
				t.Errorf("judged %v, want fine: %t", err, c.fine)
			}
		})
	}
}

func TestOpenFlow(t *testing.T) {
	for _, c := range []struct {
		name           string
		before, during func(b *Book)
		backend        string
		err            error
		fine           bool
	}{
		{name: "goes on", backend: "a", fine: true},
		{name: "ends", err: errNone},
		{name: "ends in an edit", before: func(b *Book) { b.Edit("web") }, err: errNone},
		{name: "moves", before: func(b *Book) { b.Comes("web", "b") }, backend: "b"},
		{name: "goes on with one that drains", before: func(b *Book) { b.Drains("web", "a") }, backend: "a", fine: true},
		{name: "ends with one that drains", before: func(b *Book) { b.Drains("web", "a") }, err: errNone},
		{name: "ends with one that leaves", before: func(b *Book) { b.Leaves("web", "a") }, err: errNone, fine: true},
		{name: "ends when one leaves", during: func(b *Book) { b.Leaves("web", "a") }, err: errNone, fine: true},
		{name: "ends though one is back", before: func(b *Book) { b.Leaves("web", "a"); b.Serves("web", "a") }, err: errNone, fine: true},
		{name: "goes on with one that leaves", before: func(b *Book) { b.Leaves("web", "a") }, backend: "a", fine: true},
		{name: "goes on with one that is gone", before: func(b *Book) { b.Gone("web", "a") }, backend: "a"},
		{name: "moves from one that is gone", before: func(b *Book) { b.Comes("web", "b"); b.Gone("web", "a") }, backend: "b", fine: true},
		{name: "moves to nobody's", before: func(b *Book) { b.Gone("web", "a") }, backend: "b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := world()
			f := b.Ask("web").Opened("a")
			if c.before != nil {
				c.before(b)
			}
			q := b.Ask("web")
			if c.during != nil {
				c.during(b)
			}
			if err := f.Goes(q, c.backend, c.err); err == nil != c.fine {
				t.Errorf("judged %v, want fine: %t", err, c.fine)
			}
		})
	}
}

func TestQuestionIsSure(t *testing.T) {
	b := world()
	q := b.Ask("web")
	if !q.Sure() {
		t.Error("somebody serves")
	}
	done := b.Edit("web")
	if q.Sure() || b.Ask("web").Sure() {
		t.Error("in an edit")
	}
	b.Gone("web", "a")
	done()
	if b.Ask("web").Sure() {
		t.Error("nobody serves")
	}
	q = b.Ask("web")
	b.Edit("web")
	b.Serves("web", "a")
	if q.Opened("a").Sure() {
		t.Error("a flow may have been opened before its backend served")
	}
}

func TestWhatAFlowMayExpect(t *testing.T) {
	b := world()
	f := b.Ask("web").Opened("a")
	if !f.Sure() || f.Over() {
		t.Errorf("at first: sure %t, over %t", f.Sure(), f.Over())
	}
	b.Leaves("web", "a")
	if f.Sure() || f.Over() {
		t.Errorf("while it leaves: sure %t, over %t", f.Sure(), f.Over())
	}
	b.Gone("web", "a")
	if f.Sure() || !f.Over() {
		t.Errorf("when it is gone: sure %t, over %t", f.Sure(), f.Over())
	}
	if f := b.Ask("web").Opened("b"); f.Sure() || !f.Over() {
		t.Errorf("of a stranger: sure %t, over %t", f.Sure(), f.Over())
	}
}
