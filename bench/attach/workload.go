// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/fairway-project/fairway/bench/plan"
)

// Keys and values of parameters.
const (
	keyOp      = "op"
	keyPresent = "present"

	opAttach = "attach"
	opMemory = "memory"
)

// Workload returns the workload.
func Workload() plan.Workload { return workload{} }

type workload struct{}

func (workload) Name() string  { return "attach" }
func (workload) About() string { return "new endpoints: time until the first reply, memory" }

func (workload) Arms() []plan.Arm {
	return []plan.Arm{plan.EBPF, plan.XDP, plan.IPTables, plan.IPTablesLegacy}
}

// Cases implements plan.Workload.
func (w workload) Cases(s plan.Selection) []plan.Case {
	if s.Short {
		return nil
	}
	cases := []plan.Case{attachCase(0), attachCase(100), attachCase(500), memoryCase(200)}
	if slices.Equal(s.Arms, w.Arms()) {
		// What a whole report has time for.
		for i := range cases {
			cases[i].Arms = []plan.Arm{plan.EBPF, plan.IPTables}
		}
	}
	return cases
}

// attachCase is up with the others, so that a full host compares with an empty one.
func attachCase(present int) plan.Case {
	return plan.Case{
		Params:  []plan.Param{{Key: keyOp, Value: opAttach}, {Key: keyPresent, Value: fmt.Sprint(present)}},
		Metrics: []plan.Metric{plan.NsPerOp}, Axis: keyPresent, Group: opAttach,
	}
}

// memoryCase has few pairs: a slice starts a daemon and fills it.
func memoryCase(present int) plan.Case {
	return plan.Case{
		Params: []plan.Param{{Key: keyOp, Value: opMemory}, {Key: keyPresent, Value: fmt.Sprint(present)}},
		Metrics: []plan.Metric{
			{Unit: "daemon-B/endpoint", Better: plan.Lower}, {Unit: "kernel-B/endpoint", Better: plan.Lower},
			{Unit: "daemon-B", Better: plan.Lower},
		},
		Pairs: 3,
	}
}

// runner is an instance that is being set up.
type runner interface {
	plan.Instance
	start(ctx context.Context) error
}

func (workload) Start(ctx context.Context, env plan.Env, s plan.Subject) (plan.Instance, error) {
	present, err := strconv.Atoi(s.Case.Value(keyPresent))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Case.FullName(), err)
	}
	var r runner = &newcomer{crowd: crowd{env: env, arm: s.Arm}, present: present}
	if s.Case.Value(keyOp) == opMemory {
		r = &memory{crowd: crowd{env: env, arm: s.Arm}, present: present}
	}
	if err := r.start(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}
