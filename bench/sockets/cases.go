// SPDX-License-Identifier: Apache-2.0

package sockets

import (
	"fmt"
	"slices"

	"github.com/fairway-project/fairway/bench/load"
	"github.com/fairway-project/fairway/bench/plan"
)

// Keys of parameters.
const (
	keyLoad = "load"
	keyCPU  = "cpu"
	keyTool = "tool"
)

// split is the value of keyCPU.
const split = "split"

// openFlows is how many transactions of an open loop may be under way.
const openFlows = 16

// retransmits is beside the figures of TCP: segments sent again per transaction
// are time that the path isn't to blame for.
var retransmits = plan.Metric{Unit: "retransmits", Better: plan.Neutral}

func walks() []plan.Walk {
	return []plan.Walk{plan.LANToPublished, plan.ContainerToLAN, plan.ContainerToContainer, plan.LoopbackToPublished, plan.Hairpin}
}

// Cases implements plan.Workload.
func (w workload) Cases(s plan.Selection) []plan.Case {
	if s.Short {
		return nil
	}
	var cases []plan.Case
	if len(s.Flows) > 0 || len(s.Families) > 0 {
		cases = w.all(s)
	} else {
		cases = w.star()
	}
	if s.CrossCheck {
		cases = append(cases, w.checks()...)
	}
	for i := range cases {
		w.finish(&cases[i])
		if !slices.Equal(s.Arms, w.Arms()) {
			// The user named arms; what a case can't have is unavailable.
			cases[i].Arms = nil
		}
	}
	return cases
}

// star is the middle and what differs from it in one thing.
func (w workload) star() []plan.Case {
	var cases []plan.Case
	for _, flows := range []int{1, 16, 128} {
		cases = append(cases, plan.Case{Walk: plan.LANToPublished, Family: plan.IPv4, Flows: flows})
	}
	for _, walk := range walks()[1:] {
		cases = append(cases, plan.Case{Walk: walk, Family: plan.IPv4, Flows: 1})
	}
	return append(append(cases, plan.Case{Walk: plan.LANToPublished, Family: plan.IPv6, Flows: 1}),
		w.variants(plan.LANToPublished, plan.IPv4, []int{1})...)
}

func (w workload) all(s plan.Selection) []plan.Case {
	var cases []plan.Case
	for _, walk := range walks() {
		for _, family := range s.FamiliesOr(plan.IPv4, plan.IPv6) {
			flows := s.FlowsOr(1, 16, 128)
			for _, n := range flows {
				cases = append(cases, plan.Case{Walk: walk, Family: family, Flows: n})
			}
			cases = append(cases, w.variants(walk, family, flows)...)
		}
	}
	return cases
}

// variants of a walk: with the server elsewhere, and by a schedule.
func (w workload) variants(walk plan.Walk, family plan.Family, flows []int) []plan.Case {
	var cases []plan.Case
	for _, n := range flows {
		cases = append(cases, plan.Case{Walk: walk, Family: family, Flows: n, Params: []plan.Param{{Key: keyCPU, Value: split}}})
	}
	if w.kind == load.Stream {
		return cases
	}
	for _, percent := range []int{50, 80} {
		cases = append(cases, plan.Case{
			Walk: walk, Family: family, Flows: openFlows,
			Params: []plan.Param{{Key: keyLoad, Value: fmt.Sprint(percent)}},
		})
	}
	return cases
}

// finish fills in what follows from the rest. The middle is for every arm, the
// others for those that the comparison is about.
func (w workload) finish(c *plan.Case) {
	c.Metrics = []plan.Metric{w.metric}
	if w.kind != load.UDPRR && c.Value(keyTool) == "" {
		c.Metrics = append(c.Metrics, retransmits)
	}
	if len(c.Params) == 0 {
		c.Axis = "flows"
	}
	switch {
	case c.Walk == plan.LANToPublished && c.Family == plan.IPv4 && c.Flows == 1 && len(c.Params) == 0:
		c.Arms = w.Arms()
	case c.Walk == plan.LoopbackToPublished:
		c.Arms = []plan.Arm{plan.EBPF, plan.IPTables, plan.Docker, plan.DockerNoProxy}
	case c.Walk == plan.Hairpin:
		c.Arms = []plan.Arm{plan.EBPF, plan.IPTables, plan.Docker}
	case c.Walk == plan.LANToPublished && len(c.Params) == 0:
		c.Arms = append([]plan.Arm{plan.EBPF, plan.XDP, plan.IPTables, plan.Redirect, plan.Veth}, w.vethXDP()...)
	default:
		c.Arms = []plan.Arm{plan.EBPF, plan.IPTables, plan.Redirect, plan.Veth}
	}
}
