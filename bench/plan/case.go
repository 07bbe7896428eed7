// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Walk is where a packet comes from and where it goes.
type Walk string

// Walks. The empty one is of cases that have none.
const (
	LANToPublished       Walk = "lan-published"
	ContainerToLAN       Walk = "container-lan"
	ContainerToContainer Walk = "container-container"
	LoopbackToPublished  Walk = "loopback-published"
	Hairpin              Walk = "hairpin"
)

// Family of addresses; the zero value is of cases that have none.
type Family string

// Families.
const (
	IPv4 Family = "ipv4"
	IPv6 Family = "ipv6"
)

// Param is one more thing that tells cases apart: {"ports", "10000"}.
type Param struct{ Key, Value string }

// Case is one row of a workload's table. Its fields other than the parameters are
// for the engine and the report.
type Case struct {
	// Workload's name; the engine fills it in.
	Workload string
	Walk     Walk
	Family   Family
	// Flows is how many at once; 0 where it says nothing.
	Flows int
	// Params in the order of the case's name. Neither keys nor values have
	// spaces, slashes or equal signs.
	Params []Param

	// Arms on which the case makes sense, if not on all of the workload's:
	// nothing is published on a veth pair.
	Arms []Arm
	// Metrics of every sample, the one that the case is about first.
	Metrics []Metric
	// Axis is the parameter that plots have as their x, "flows" or a key of
	// Params with whole numbers as values; "" for a case that is in no curve.
	Axis string
	// Group names cases whose subjects are up at the same time and whose slices
	// are interleaved, so that a subject of one can be compared to a subject of
	// another ("10,000 ports over one"). "" is a group of its own.
	Group string
	// Slice is the length that suits the case where the engine's own doesn't; 0
	// where it does. A length that the user names wins.
	// Pairs is the most that there may be, for a slice that is one long operation,
	// like starting a daemon; 0 limits nothing.
	Slice time.Duration
	Pairs int
	// Single leaves A/A out of the case's group: for what takes long to set up and is
	// compared to nothing.
	Single bool
}

// Name is the case's in tables, raw data and --match: key=value, joined by
// slashes, which benchstat can group by. It does not have the workload's name.
func (c Case) Name() string {
	var parts []string
	for _, p := range c.params() {
		parts = append(parts, p.Key+"="+p.Value)
	}
	return strings.Join(parts, "/")
}

// FullName is the workload's and the case's name.
func (c Case) FullName() string {
	if name := c.Name(); name != "" {
		return c.Workload + "/" + name
	}
	return c.Workload
}

func (c Case) params() []Param {
	var all []Param
	if c.Walk != "" {
		all = append(all, Param{"walk", string(c.Walk)})
	}
	if c.Family != "" {
		all = append(all, Param{"family", string(c.Family)})
	}
	if c.Flows != 0 {
		all = append(all, Param{"flows", fmt.Sprint(c.Flows)})
	}
	return append(all, c.Params...)
}

// Value returns a parameter by its key in the case's name, "" if it has none.
func (c Case) Value(key string) string {
	for _, p := range c.params() {
		if p.Key == key {
			return p.Value
		}
	}
	return ""
}

// Without is the case's name without one parameter: what the points of a curve
// over that parameter have in common.
func (c Case) Without(key string) string {
	var parts []string
	for _, p := range c.params() {
		if p.Key != key {
			parts = append(parts, p.Key+"="+p.Value)
		}
	}
	return strings.Join(parts, "/")
}

// On reports whether the case makes sense on the arm.
func (c Case) On(a Arm) bool { return len(c.Arms) == 0 || slices.Contains(c.Arms, a) }

// Subject is a case on an arm.
type Subject struct {
	Case Case
	Arm  Arm
}
