// SPDX-License-Identifier: Apache-2.0

package wanted

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
)

// Pauses between two attempts at what failed.
const (
	minPause = 10 * time.Millisecond
	maxPause = 2 * time.Second
)

// mend is what puts something right. A later one of the same subject is another.
type mend struct{ do func(context.Context) error }

// ErrUnderWay is what Mend returns while an earlier attempt at the subject is under way.
var ErrUnderWay = errors.New("another attempt is under way")

// Report notes that something isn't as it should be, and why, or with nil that it is. It
// is in the status until then, and in the log once. While something is being mended the
// attempt's own answer counts, so that what it does may report that all is well.
func (o *Owner) Report(subject string, err error) {
	o.state.mu.Lock()
	defer o.state.mu.Unlock()
	o.report(subject, err)
	if err == nil && o.running[subject] == nil {
		delete(o.mends, subject)
	}
}

// Note is Report for what the owner logs itself. It tells whether that is news.
func (o *Owner) Note(subject string, err error) (news bool) {
	o.state.mu.Lock()
	defer o.state.mu.Unlock()
	return o.note(subject, err)
}

// report needs state.mu.
func (o *Owner) report(subject string, err error) {
	switch news := o.note(subject, err); {
	case news && err == nil:
		o.state.Log.Info(o.prefix+"mended", "what", subject)
	case news:
		o.state.Log.Warn(o.prefix+"not carried out", "what", subject, "err", err)
	}
}

// note needs state.mu.
func (o *Owner) note(subject string, err error) (news bool) {
	before, was := o.troubles[subject]
	if err == nil {
		delete(o.troubles, subject)
		return was
	}
	o.troubles[subject] = strings.TrimSpace(err.Error())
	return o.troubles[subject] != before
}

// Mend puts something right by f. While f fails that is reported, and f is called again,
// ever less often, subjects in their alphabetical order. Forget ends it, and so does
// Report(nil) between two attempts; f has to know by itself what there is nothing to mend
// of any more. There is one attempt at a subject at a time: while one is under way f takes
// its place, is called later, and the answer is ErrUnderWay.
func (o *Owner) Mend(ctx context.Context, subject string, f func(context.Context) error) error {
	o.state.mu.Lock()
	o.mends[subject] = &mend{f}
	o.state.mu.Unlock()
	return o.attempt(ctx, subject)
}

// MendNow is Mend for whoever goes on with what is put right: it waits for an attempt that is
// under way, and then has f called. A caller holds no lock that attempts at the subject take.
func (o *Owner) MendNow(ctx context.Context, subject string, f func(context.Context) error) error {
	for err := o.Mend(ctx, subject, f); ; err = o.attempt(ctx, subject) {
		if !errors.Is(err, ErrUnderWay) {
			return err
		}
		o.state.mu.Lock()
		end := o.running[subject]
		o.state.mu.Unlock()
		if end == nil {
			continue
		}
		select {
		case <-end:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// MendLater reports that something failed, and has f put it right soon: it is Mend for
// whoever holds a lock that f takes, or calls this while an attempt at the subject is under
// way.
func (o *Owner) MendLater(subject string, failure error, f func(context.Context) error) {
	o.state.mu.Lock()
	defer o.state.mu.Unlock()
	o.report(subject, failure)
	o.mends[subject] = &mend{f}
	o.wake.Raise()
}

// attempt does what the subject's mend is now; without one there is nothing to do.
func (o *Owner) attempt(ctx context.Context, subject string) error {
	o.state.mu.Lock()
	m := o.mends[subject]
	if m == nil || o.running[subject] != nil {
		o.state.mu.Unlock()
		if m == nil {
			return nil
		}
		return ErrUnderWay
	}
	end := make(chan struct{})
	o.running[subject] = end
	o.state.mu.Unlock()
	err := m.do(ctx)
	o.state.mu.Lock()
	defer o.state.mu.Unlock()
	delete(o.running, subject)
	close(end)
	switch now := o.mends[subject]; {
	case now == nil:
		// Forgotten meanwhile.
	case err != nil:
		o.report(subject, err)
		o.wake.Raise()
	case now != m:
		// What was put right isn't all that is asked for by now.
		o.wake.Raise()
	default:
		o.report(subject, nil)
		delete(o.mends, subject)
	}
	return err
}

// Forget drops the troubles with the subjects that about says yes to.
func (o *Owner) Forget(about func(subject string) bool) {
	o.state.mu.Lock()
	defer o.state.mu.Unlock()
	maps.DeleteFunc(o.troubles, func(subject, _ string) bool { return about(subject) })
	maps.DeleteFunc(o.mends, func(subject string, _ *mend) bool { return about(subject) })
}

// Trouble returns what was reported of a subject, "" for nothing.
func (o *Owner) Trouble(subject string) string {
	o.state.mu.Lock()
	defer o.state.mu.Unlock()
	return o.troubles[subject]
}

// Degraded has a sentence for each thing of the owner's that isn't as it should be.
func (o *Owner) Degraded() (all []string) {
	o.state.mu.Lock()
	defer o.state.mu.Unlock()
	for _, subject := range slices.Sorted(maps.Keys(o.troubles)) {
		all = append(all, o.prefix+subject+": "+o.troubles[subject])
	}
	return all
}

// Degraded has a sentence for each thing that isn't as it should be.
func (s *State) Degraded() (all []string) {
	s.mu.Lock()
	owners := slices.Clone(s.owners)
	s.mu.Unlock()
	for _, o := range owners {
		all = append(all, o.Degraded()...)
	}
	return all
}

// run tries again what failed until ctx ends.
func (o *Owner) run(ctx context.Context) {
	pause := minPause
	var due time.Time
	for {
		wait, reason := o.next(pause)
		at := time.Now().Add(wait)
		switch {
		case reason == nothing:
			pause, due = minPause, time.Time{}
		case due.IsZero() || at.Before(due):
			due = at
		}
		var timer <-chan time.Time
		if !due.IsZero() {
			timer = time.After(time.Until(due))
		}
		select {
		case <-ctx.Done():
			return
		case <-o.wake:
			continue
		case <-timer:
		}
		due = time.Time{}
		if reason == failures {
			pause = min(2*pause, maxPause)
			o.retry(ctx)
		}
		o.settle(ctx)
	}
}

// reason is what run waits for.
type reason int

const (
	nothing reason = iota
	// leftovers are waiting for their time.
	leftovers
	// failures are to be tried again.
	failures
)

// next says how long to wait, and for what.
func (o *Owner) next(pause time.Duration) (time.Duration, reason) {
	o.state.mu.Lock()
	defer o.state.mu.Unlock()
	switch {
	case len(o.mends) > 0, o.refused, o.unpruned:
		return pause, failures
	case !o.saidAll.IsZero() && !o.done:
		return max(minPause, o.state.Patience-time.Since(o.saidAll)), leftovers
	}
	return 0, nothing
}

// retry takes up again what failed.
func (o *Owner) retry(ctx context.Context) {
	o.state.mu.Lock()
	again, subjects, stopped := o.refused, slices.Sorted(maps.Keys(o.mends)), o.state.stopped
	o.state.mu.Unlock()
	if stopped {
		return
	}
	if again {
		o.sayAgain(ctx)
	}
	for _, subject := range subjects {
		if ctx.Err() != nil {
			return
		}
		_ = o.attempt(ctx, subject)
	}
}
