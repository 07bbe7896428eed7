// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"context"
	"log/slog"
	"slices"
)

// Workload is one kind of traffic or work. It is a value without state: what runs
// is in its instances. One that keeps something from case to case is an io.Closer
// too: the engine closes it after its last case.
type Workload interface {
	// Name on the command line, one word.
	Name() string
	// About is one line for --list.
	About() string
	// Arms that it has, the one that the others are compared to first.
	Arms() []Arm
	// Cases returns what s selects, in the order of the report. The engine
	// drops what --match doesn't name.
	Cases(s Selection) []Case
	// Start sets up a subject of a case that Cases returned, on one of s.Arms.
	// On an error nothing is left. The instance may use ctx until Close: it ends
	// when the run is interrupted.
	Start(ctx context.Context, env Env, s Subject) (Instance, error)
}

// Selection is what the user asked for.
type Selection struct {
	// Arms in the user's order; those of the workload if the user named none.
	Arms []Arm
	// Flows and Families are empty if the user named none: the workload has its
	// own list then.
	Flows    []int
	Families []Family
	// Short selects the few cases of bench-check, which take seconds.
	Short bool
	// CrossCheck adds cases that well-known tools measure.
	CrossCheck bool
}

// FlowsOr returns the user's flows or the workload's own.
func (s Selection) FlowsOr(own ...int) []int {
	if len(s.Flows) > 0 {
		return s.Flows
	}
	return own
}

// FamiliesOr returns the user's families or the workload's own.
func (s Selection) FamiliesOr(own ...Family) []Family {
	if len(s.Families) > 0 {
		return s.Families
	}
	return own
}

// Has reports whether the user wants the arm.
func (s Selection) Has(a Arm) bool { return slices.Contains(s.Arms, a) }

// Env is what the engine gives an instance.
type Env struct {
	// Dir exists, is the instance's own and is removed after Close.
	Dir string
	// Netns is a directory, prepared by netns.PrepareDir, whose names are
	// the instance's own: netns.Create(filepath.Join(env.Netns, "host")).
	Netns string
	// BPFFS is a path on a bpffs at which nothing is yet.
	BPFFS string
	// Proc is the machine's procfs; "" is /proc, which a process in a PID namespace
	// of its own has another one at.
	Proc string
	// Fairway is the program to start daemons with.
	Fairway string
	// DaemonArgs are arguments of every daemon; those of the workload win.
	DaemonArgs []string
	// CPU is where everything that a slice runs is pinned to, unless the case is
	// about several: sender, receiver and thereby the softirq between them.
	CPU int
	// Log takes what helps to find out why something fails; a run that works
	// shows none of it.
	Log *slog.Logger
}
