// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"context"
	"fmt"
	"time"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/world"
)

// restart ends a daemon and starts it again. Its ports are published as users do
// it, reserved and stored.
type restart struct {
	host
	present int
}

func (r *restart) start(ctx context.Context) (err error) {
	r.world, err = world.New(ctx, r.env, world.Options{Arm: r.arm, Containers: []world.Container{{
		Name: "c0", Publish: []world.Port{{Proto: "tcp", Host: firstPort, Container: firstPort, Count: r.present}},
	}}})
	return err
}

// Slice implements plan.Instance: one start.
func (r *restart) Slice(ctx context.Context, _ time.Duration) (plan.Sample, error) {
	took, err := r.world.Restart(ctx)
	if err != nil {
		return plan.Sample{}, err
	}
	return plan.Sample{Values: []float64{float64(took.Nanoseconds())}, Ops: 1}, nil
}

// Prove implements plan.Instance: the daemon has all of its ports.
func (r *restart) Prove(ctx context.Context) (plan.Proof, error) {
	ports, err := r.world.Client().Ports(ctx, "c0")
	if err != nil {
		return plan.Proof{}, err
	}
	text := fmt.Sprintf("the daemon knows %d published ports of %d, at one address or two", len(ports), r.present)
	if len(ports) < r.present {
		return plan.Proof{}, fmt.Errorf("%w: %s", plan.ErrWrongWay, text)
	}
	return plan.Proof{Text: text}, nil
}
