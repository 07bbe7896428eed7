// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"fmt"
	"slices"

	"github.com/fairway-project/fairway/bench/plan"
)

// Keys and values of parameters.
const (
	keyOp      = "op"
	keyPorts   = "ports"
	keyAt      = "at"
	keyCount   = "count"
	keyPresent = "present"

	opCRR     = "crr"
	opPublish = "publish"
	opStart   = "start"

	first  = "first"
	middle = "middle"
	last   = "last"
)

// Most ports that docker is given: what takes a second, and what takes a minute.
const (
	dockerFew  = 10
	dockerMany = 1000
)

// crowded is how many ports there are when it is said of many.
const crowded = 10000

// Pairs there are at most: a group of crr has many subjects, and publishing takes
// long in arms that are not about to be as fast.
const (
	crrPairs     = 10
	publishPairs = 6
	startPairs   = 3
)

// Cases implements plan.Workload.
func (w workload) Cases(s plan.Selection) []plan.Case {
	if s.Short {
		return nil
	}
	var cases []plan.Case
	for _, n := range []int{1, 10, 100, 1000, crowded, 60000} {
		positions := []string{last}
		if n == crowded {
			positions = []string{first, middle, last}
		}
		for _, at := range positions {
			cases = append(cases, crrCase(n, at))
		}
	}
	for _, count := range []int{1, 206, 1000} {
		for _, present := range []int{0, 1000, crowded} {
			cases = append(cases, publishCase(count, present))
		}
	}
	cases = append(cases, startCase(crowded))
	if !slices.Equal(s.Arms, w.Arms()) {
		for i := range cases {
			cases[i].Arms = w.able(cases[i])
		}
	}
	return cases
}

// able are all arms that can have a case, which who names arms gets. The others
// get those that a whole report has time for.
func (w workload) able(c plan.Case) []plan.Arm {
	if c.Value(keyOp) == opCRR && number(c, keyPorts) <= dockerMany {
		return w.Arms()
	}
	return fairways()
}

func fairways() []plan.Arm { return []plan.Arm{plan.EBPF, plan.IPTables, plan.IPTablesLegacy} }

// crrCase is up with all of its like, so that 10,000 ports compare with one.
func crrCase(n int, at string) plan.Case {
	c := plan.Case{
		Walk: plan.LANToPublished, Family: plan.IPv4, Flows: 1,
		Params:  []plan.Param{{Key: keyOp, Value: opCRR}, {Key: keyPorts, Value: fmt.Sprint(n)}, {Key: keyAt, Value: at}},
		Metrics: []plan.Metric{plan.ConnectionsSec}, Group: opCRR, Pairs: crrPairs,
		Arms: []plan.Arm{plan.EBPF, plan.IPTables},
	}
	if at == last {
		c.Axis = keyPorts
	}
	if n == crowded && at == last {
		c.Arms = fairways()
	}
	if n <= dockerFew {
		c.Arms = append(c.Arms, plan.Docker)
	}
	return c
}

// publishCase is up with those of as many ports and others present.
func publishCase(count, present int) plan.Case {
	return plan.Case{
		Params: []plan.Param{
			{Key: keyOp, Value: opPublish}, {Key: keyCount, Value: fmt.Sprint(count)}, {Key: keyPresent, Value: fmt.Sprint(present)},
		},
		Metrics: []plan.Metric{plan.NsPerOp}, Axis: keyPresent, Arms: []plan.Arm{plan.EBPF, plan.IPTables},
		Group: fmt.Sprintf("%s-%d", opPublish, count), Pairs: publishPairs,
	}
}

func startCase(present int) plan.Case {
	return plan.Case{
		Params:  []plan.Param{{Key: keyOp, Value: opStart}, {Key: keyPresent, Value: fmt.Sprint(present)}},
		Metrics: []plan.Metric{plan.NsPerOp}, Arms: []plan.Arm{plan.EBPF, plan.IPTables}, Pairs: startPairs,
	}
}
