// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"context"
	"errors"
	"path/filepath"
	"slices"

	"github.com/fairway-project/fairway/bench/load"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/step"
	"github.com/fairway-project/fairway/bench/world"
)

// host is a world with what the operations need in it.
type host struct {
	env            plan.Env
	arm            plan.Arm
	world          *world.World
	datapath       *step.Datapath
	ends           world.Ends
	client, server *load.Side
	before         world.Counters
	traffic        world.Traffic
}

// firstPort of those that are tried.
const firstPort = 1000

// build makes a world, whose datapath can be told ports if it is Fairway's.
func (h *host) build(ctx context.Context, containers ...world.Container) (err error) {
	o := world.Options{Arm: h.arm, Containers: containers}
	own := slices.Contains(fairways(), h.arm)
	if own {
		if h.env.Fairway, err = step.Program(h.env.Dir); err != nil {
			return err
		}
		o.DaemonArgs = step.DaemonArgs()
	}
	if h.world, err = world.New(ctx, h.env, o); err != nil {
		return err
	}
	if own {
		if h.datapath, err = step.Open(filepath.Join(h.env.Dir, "run"), h.world.Client()); err != nil {
			return err
		}
	}
	if err := h.world.Meet(ctx, plan.IPv4); err != nil {
		return err
	}
	if h.ends, err = h.world.Ends(plan.LANToPublished, plan.IPv4); err != nil {
		return err
	}
	h.traffic.Walk = plan.LANToPublished
	h.before, err = h.world.Counters(ctx)
	return err
}

// publish tells the datapath all ports of a container.
func (h *host) publish(ctx context.Context, container string, ranges ...step.Range) (step.Took, error) {
	e, err := h.datapath.Endpoint(ctx, container)
	if err != nil {
		return step.Took{}, err
	}
	return h.datapath.Publish(ctx, e, ranges...)
}

// Prove implements plan.Instance.
func (h *host) Prove(ctx context.Context) (plan.Proof, error) {
	return h.world.Prove(ctx, h.before, h.traffic)
}

// Close implements plan.Instance, and removes what there is of a host that was
// never finished.
func (h *host) Close() error {
	var errs []error
	for _, s := range []*load.Side{h.client, h.server} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	if h.datapath != nil {
		errs = append(errs, h.datapath.Close())
	}
	if h.world != nil {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		errs = append(errs, h.world.DropRules(ctx))
		errs = append(errs, h.world.Close())
	}
	return errors.Join(errs...)
}
