// SPDX-License-Identifier: Apache-2.0

package command

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fairway-project/fairway/bench"
	"github.com/fairway-project/fairway/bench/plan"
)

// Options are what to measure and where to report.
type Options struct {
	// Workloads by name; none are all.
	Workloads []string
	// List only lists the workloads.
	List bool
	// Arms, the one that is compared to the others first; none are all.
	Arms []string
	// Flows and Families are empty for the workloads' own.
	Flows    []int
	Families []string
	// Match is a regular expression for names of cases, "" for all.
	Match string
	Pairs int
	// Slice is 0 for the length that suits each case.
	Slice time.Duration
	// Budget is how long all of it may take, 0 for as long as it takes.
	Budget time.Duration
	// Seed of the order of slices; 0 chooses one.
	Seed uint64
	// CPU that everything is pinned to.
	CPU int
	// Out is a directory for the reports, "" for none.
	Out  string
	JSON bool
	// Wait lets another run end first.
	Wait bool
	// AllowBusy counts slices in which others used the machine.
	AllowBusy bool
	// CrossCheck runs well-known tools beside the own load.
	CrossCheck bool
	// Check compares with the figures in a file, Update writes them.
	Check, Update string
	// Fairway is the program whose daemons are measured, "" for the installed one.
	Fairway string

	Stdout, Stderr io.Writer
	// Terminal says whether Stderr is one.
	Terminal bool
}

// UsageError is a command line that can't be understood.
type UsageError struct{ text string }

func (e *UsageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &UsageError{fmt.Sprintf(format, args...)} }

// workloads returns those that the options name.
func (o Options) workloads() ([]plan.Workload, error) {
	all := bench.Workloads()
	if len(o.Workloads) == 0 {
		return all, nil
	}
	var named []plan.Workload
	for _, name := range o.Workloads {
		i := slices.IndexFunc(all, func(w plan.Workload) bool { return w.Name() == name })
		if i < 0 {
			return nil, usagef("no workload %q: there are %s", name, strings.Join(names(all), ", "))
		}
		named = append(named, all[i])
	}
	return named, nil
}

func names(all []plan.Workload) []string {
	var list []string
	for _, w := range all {
		list = append(list, w.Name())
	}
	return list
}

// selection checks arms, families and flows.
func (o Options) selection() (plan.Selection, error) {
	s := plan.Selection{Flows: o.Flows, Short: o.short(), CrossCheck: o.CrossCheck}
	for _, name := range o.Arms {
		if !plan.Arm(name).Known() {
			return s, usagef("no arm %q: there are %v", name, plan.Arms())
		}
		if slices.Contains(s.Arms, plan.Arm(name)) {
			return s, usagef("arm %q twice: the first arm's A/A is always measured", name)
		}
		s.Arms = append(s.Arms, plan.Arm(name))
	}
	for _, name := range o.Families {
		family, ok := map[string]plan.Family{"4": plan.IPv4, "ipv4": plan.IPv4, "6": plan.IPv6, "ipv6": plan.IPv6}[name]
		if !ok {
			return s, usagef("no family %q: there are ipv4 and ipv6", name)
		}
		s.Families = append(s.Families, family)
	}
	for _, n := range o.Flows {
		if n < 1 {
			return s, usagef("%d flows: want at least 1", n)
		}
	}
	return s, nil
}

// short is for a check that is run at every change.
func (o Options) short() bool { return o.Check != "" }

func (o Options) match() (*regexp.Regexp, error) {
	if o.Match == "" {
		return nil, nil
	}
	re, err := regexp.Compile(o.Match)
	if err != nil {
		return nil, usagef("--match: %v", err)
	}
	return re, nil
}

// checkNumbers refuses what nothing can be measured with.
func (o Options) checkNumbers() error {
	switch {
	case o.Pairs < 1:
		return usagef("%d pairs: want at least 1", o.Pairs)
	case o.Slice < 0:
		return usagef("slice of %v: want more than 0", o.Slice)
	case o.Budget < 0:
		return usagef("budget of %v: want more than 0", o.Budget)
	case o.CPU < 0:
		return usagef("CPU %d: want 0 or more", o.CPU)
	case o.Check != "" && o.Update != "":
		return usagef("either check the figures or update them")
	}
	return nil
}
