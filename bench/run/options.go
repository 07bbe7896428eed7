// SPDX-License-Identifier: Apache-2.0

package run

import (
	"log/slog"
	"regexp"
	"time"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/quiet"
)

// Options of a run.
type Options struct {
	// Selection of cases; its Arms may be empty.
	Selection plan.Selection
	// Match is what the full name of a case has to match; nil matches all.
	Match *regexp.Regexp
	// Pairs is the number of blocks, Slice the length of a slice; 0 leaves the
	// length to the cases, DefaultSlice for those that don't say.
	Pairs int
	Slice time.Duration
	// Budget is how long the run may take, 0 for as long as it takes. Cases get
	// fewer pairs then, but never so few that nothing could be claimed of them:
	// a budget is missed rather than kept by a report that says nothing.
	Budget time.Duration
	// Seed of the order of slices.
	Seed uint64
	// AllowBusy counts slices in which the machine was busy. The report says so.
	AllowBusy bool
	// Pause is the longest wait for the machine to become quiet again, between
	// two slices; it begins with a fortieth of it.
	Pause    time.Duration
	Meter    Meter
	Progress Progress
	Place    Place
}

// DefaultSlice is long enough for caches to be warm for most of it.
const DefaultSlice = 200 * time.Millisecond

// Meter reads how busy the machine is; quiet.Meter is the real one.
type Meter interface {
	Read() (quiet.Reading, error)
}

// Place is where instances keep what they make.
type Place struct {
	// Dir exists; the engine makes directories in it and removes them. BPFFS is a
	// directory on a bpffs.
	Dir, BPFFS string
	// Proc is the machine's procfs; "" is /proc.
	Proc string
	// Fairway is the program to start daemons with.
	Fairway string
	// CPU to pin to.
	CPU int
	Log *slog.Logger
}

// Progress is told what happens. Its methods are called by one goroutine.
type Progress interface {
	// Begin is called once, with the number of slices that there will be if none
	// is discarded.
	Begin(slices int)
	// Fewer is called when so many slices of the first number are saved.
	Fewer(slices int)
	// Case is called before a case is set up, Slice before each slice.
	Case(name string)
	Slice(s plan.Subject, block, blocks int)
	// Counted is called after a slice that counts.
	Counted()
	// Note is a line for the user: an arm that is missing, a discarded slice.
	Note(text string)
	// End is called once, also after an error.
	End()
}
