// SPDX-License-Identifier: Apache-2.0

package services

import (
	"context"
	"errors"
	"strconv"

	"github.com/fairway-project/fairway/bench/plan"
)

// Workload returns the workload.
func Workload() plan.Workload { return workload{} }

type workload struct{}

func (workload) Name() string { return "services" }
func (workload) About() string {
	return "services: connections to one of several backends, changes of who they are, memory"
}

func (workload) Arms() []plan.Arm {
	return []plan.Arm{plan.EBPF, plan.IPTables, plan.NFTables, plan.HAProxy, plan.IPVS}
}

// runner is an instance that is being set up.
type runner interface {
	plan.Instance
	start(ctx context.Context) error
}

func (workload) Start(ctx context.Context, env plan.Env, s plan.Subject) (plan.Instance, error) {
	c := s.Case
	h := host{env: env, arm: s.Arm}
	var r runner
	switch c.Value(keyOp) {
	case opFollow:
		r = &follow{host: h, backends: number(c, keyBackends)}
	case opReplace:
		r = &replace{crowd: crowd{host: h, backends: number(c, keyBackends)}}
	case opKill:
		r = &kill{crowd: crowd{host: h, backends: number(c, keyBackends)}, health: c.Value(keyHealth)}
	case opMemory:
		r = &memory{host: h, services: number(c, keyServices), backends: number(c, keyBackends)}
	default:
		r = &reach{host: h, subject: s}
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
