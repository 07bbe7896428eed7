// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"context"
	"errors"
	"strconv"

	"github.com/fairway-project/fairway/bench/plan"
)

// Workload returns the workload.
func Workload() plan.Workload { return workload{} }

type workload struct{}

func (workload) Name() string { return "ports" }
func (workload) About() string {
	return "published ports: many of them, publishing them, starting with them"
}

func (workload) Arms() []plan.Arm {
	return []plan.Arm{plan.EBPF, plan.IPTables, plan.IPTablesLegacy, plan.Docker, plan.DockerNoProxy}
}

// runner is an instance that is being set up.
type runner interface {
	plan.Instance
	start(ctx context.Context) error
}

func (workload) Start(ctx context.Context, env plan.Env, s plan.Subject) (plan.Instance, error) {
	var r runner
	switch s.Case.Value(keyOp) {
	case opCRR:
		r = &reach{host: host{env: env, arm: s.Arm}, subject: s}
	case opPublish:
		r = &publish{host: host{env: env, arm: s.Arm}, count: number(s.Case, keyCount), present: number(s.Case, keyPresent)}
	default:
		r = &restart{host: host{env: env, arm: s.Arm}, present: number(s.Case, keyPresent)}
	}
	if err := r.start(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// number is the value of a parameter of a case of this package.
func number(c plan.Case, key string) int {
	n, _ := strconv.Atoi(c.Value(key))
	return n
}
