// SPDX-License-Identifier: Apache-2.0

package services

import (
	"context"
	"fmt"
	"time"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// replace replaces half of the backends, one after another.
type replace struct{ crowd }

func (r *replace) start(ctx context.Context) error {
	return r.fill(ctx, request.ServiceSpec{}, r.backends)
}

// Slice implements plan.Instance.
func (r *replace) Slice(ctx context.Context, _ time.Duration) (plan.Sample, error) {
	answered, failed, err := r.under(ctx, func() error {
		for range r.backends / 2 {
			if err := r.one(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return plan.Sample{}, fmt.Errorf("%s: %w", r.arm, err)
	}
	return plan.Sample{Values: []float64{float64(failed)}, Ops: answered + failed}, nil
}

// one replaces the oldest backend: another is there first.
func (r *replace) one(ctx context.Context) error {
	old := r.members[0]
	name, err := r.add(ctx, r.server)
	if err != nil {
		return err
	}
	if err := r.await(ctx, model.BackendActive, name); err != nil {
		return err
	}
	if err := r.world.Client().DrainService(ctx, service, request.ServiceDrain{Backend: old}); err != nil {
		return err
	}
	if err := r.idle(ctx, old); err != nil {
		return err
	}
	return r.remove(ctx, old)
}
