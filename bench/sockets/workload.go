// SPDX-License-Identifier: Apache-2.0

package sockets

import (
	"context"
	"errors"

	"github.com/fairway-project/fairway/bench/load"
	"github.com/fairway-project/fairway/bench/plan"
)

// Workloads returns those of this package.
func Workloads() []plan.Workload {
	return []plan.Workload{
		workload{load.RR, "TCP request/response on open connections", plan.TransactionsSec},
		workload{load.CRR, "TCP connect, request, response, close", plan.ConnectionsSec},
		workload{load.Stream, "TCP bulk", plan.BytesPerSec},
		workload{load.UDPRR, "UDP request/response", plan.TransactionsSec},
	}
}

type workload struct {
	kind   load.Kind
	about  string
	metric plan.Metric
}

func (w workload) Name() string  { return string(w.kind) }
func (w workload) About() string { return w.about }

func (w workload) Arms() []plan.Arm {
	return append([]plan.Arm{
		plan.EBPF, plan.XDP, plan.IPTables, plan.IPTablesLegacy, plan.NFTables,
		plan.Docker, plan.DockerNoProxy, plan.Redirect, plan.Route, plan.Veth,
	}, w.vethXDP()...)
}

// vethXDP is an arm where offloads are what XDP on a veth costs.
func (w workload) vethXDP() []plan.Arm {
	if w.kind == load.Stream {
		return []plan.Arm{plan.VethXDP}
	}
	return nil
}

func (w workload) Start(ctx context.Context, env plan.Env, s plan.Subject) (plan.Instance, error) {
	i := &instance{kind: w.kind, env: env, subject: s}
	if err := i.start(ctx); err != nil {
		return nil, errors.Join(err, i.Close())
	}
	return i, nil
}
