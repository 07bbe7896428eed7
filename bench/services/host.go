// SPDX-License-Identifier: Apache-2.0

package services

import (
	"context"
	"errors"

	"github.com/fairway-project/fairway/bench/load"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/world"
)

// host is a world with the two ends of a load.
type host struct {
	env            plan.Env
	arm            plan.Arm
	world          *world.World
	ends           world.Ends
	client, server *load.Side
	before         world.Counters
	traffic        world.Traffic
}

// build makes a world, and the ends of a walk through it.
func (h *host) build(ctx context.Context, walk plan.Walk, containers ...world.Container) (err error) {
	if h.world, err = world.New(ctx, h.env, world.Options{Arm: h.arm, Containers: containers}); err != nil {
		return err
	}
	h.traffic.Walk = walk
	if h.ends, err = h.world.Ends(walk, plan.IPv4); err != nil {
		return err
	}
	if h.server, err = load.Start(load.Place{Netns: h.ends.Server.Netns, CPU: h.env.CPU}); err != nil {
		return err
	}
	h.client, err = load.Start(load.Place{Netns: h.ends.Client.Netns, CPU: h.env.CPU})
	return err
}

// ready has everybody find each other, and counts from now on.
func (h *host) ready(ctx context.Context) (err error) {
	if err := h.world.Meet(ctx, plan.IPv4); err != nil {
		return err
	}
	h.before, err = h.world.Counters(ctx)
	return err
}

// Prove implements plan.Instance.
func (h *host) Prove(ctx context.Context) (plan.Proof, error) {
	return h.world.Prove(ctx, h.before, h.traffic)
}

// Close implements plan.Instance, and removes what there is of a host that was never
// finished.
func (h *host) Close() error {
	var errs []error
	for _, s := range []*load.Side{h.client, h.server} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(append(errs, h.world.Close())...)
}
