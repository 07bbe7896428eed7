// SPDX-License-Identifier: Apache-2.0

// Package progress shows how far a run is: one line that changes on a terminal,
// a line per case elsewhere.
package progress

import (
	"fmt"
	"io"
	"time"

	"github.com/fairway-project/fairway/bench/plan"
)

// Line writes to a terminal or a log.
type Line struct {
	w        io.Writer
	terminal bool
	now      func() time.Time

	started     time.Time
	name        string
	total, done int
	shown       time.Time
}

// New returns a Line; terminal says what w is.
func New(w io.Writer, terminal bool) *Line {
	return &Line{w: w, terminal: terminal, now: time.Now}
}

// erase goes to the line's beginning and clears it (ECMA-48).
const erase = "\r\x1b[K"

// Begin says how many slices there are.
func (l *Line) Begin(slices int) { l.started, l.total = l.now(), slices }

// Fewer says that some of them are saved.
func (l *Line) Fewer(slices int) { l.total -= slices }

// Case says what is set up.
func (l *Line) Case(name string) {
	l.name = name
	if l.terminal {
		l.show("setting up")
		return
	}
	fmt.Fprintf(l.w, "bench: %s %s\n", l.share(), name)
}

// Slice says what is measured; a terminal shows it ten times a second at most,
// because to show it takes the CPU that others measure on.
func (l *Line) Slice(s plan.Subject, block, blocks int) {
	if now := l.now(); l.terminal && now.Sub(l.shown) >= 100*time.Millisecond {
		l.name, l.shown = s.Case.FullName(), now
		l.show(fmt.Sprintf("%s %d/%d", s.Arm, block+1, blocks))
	}
}

func (l *Line) show(what string) {
	fmt.Fprintf(l.w, "%s%s %s %s", erase, l.share(), l.name, what)
}

// share is how much is done, and how long the rest takes at that speed.
func (l *Line) share() string {
	if l.total == 0 {
		return ""
	}
	share := fmt.Sprintf("%3d %%", 100*l.done/l.total)
	if l.done == 0 {
		return share
	}
	took := l.now().Sub(l.started)
	rest := took * time.Duration(l.total-l.done) / time.Duration(l.done)
	return fmt.Sprintf("%s, %s left:", share, rest.Round(time.Second))
}

// Counted is one slice more.
func (l *Line) Counted() { l.done++ }

// Note is a line of its own.
func (l *Line) Note(text string) {
	if l.terminal {
		fmt.Fprint(l.w, erase)
	}
	fmt.Fprintln(l.w, "bench: "+text)
}

// End leaves the terminal's line empty.
func (l *Line) End() {
	if l.terminal {
		fmt.Fprint(l.w, erase)
	}
}
