// SPDX-License-Identifier: Apache-2.0

package services

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/fairway-project/fairway/bench/load"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// kill kills the process of the last backend.
type kill struct {
	crowd
	health string
	victim *load.Side
	name   string
}

func (k *kill) start(ctx context.Context) error {
	var spec request.ServiceSpec
	if k.health == healthHTTP {
		spec.Health = fmt.Sprintf("http:/,port=%d,interval=1s,timeout=1s,rise=1,fall=1", healthPort)
	}
	if err := k.fill(ctx, spec, k.backends-1); err != nil {
		return err
	}
	if err := k.revive(); err != nil {
		return err
	}
	var err error
	if k.name, err = k.add(ctx, k.victim); err != nil {
		return err
	}
	return k.await(ctx, model.BackendActive, k.name)
}

// revive starts the process that is to be killed.
func (k *kill) revive() (err error) {
	k.victim, err = load.Start(load.Place{CPU: k.env.CPU})
	return err
}

// Slice implements plan.Instance: one death, and d of load after it.
func (k *kill) Slice(ctx context.Context, d time.Duration) (plan.Sample, error) {
	answered, failed, err := k.under(ctx, func() error {
		if err := k.murder(); err != nil {
			return err
		}
		over := time.After(d)
		if k.health == healthHTTP {
			if err := k.await(ctx, model.BackendDown, k.name); err != nil {
				return err
			}
		}
		<-over
		return nil
	})
	if err == nil {
		err = k.replaceVictim(ctx)
	}
	if err != nil {
		return plan.Sample{}, fmt.Errorf("%s: %w", k.arm, err)
	}
	share := float64(requestsSec) / float64(k.backends)
	return plan.Sample{Values: []float64{float64(failed), float64(failed) / share}, Ops: answered + failed}, nil
}

// murder kills the process. That it ended so is no error.
func (k *kill) murder() error {
	if err := syscall.Kill(k.victim.PID(), syscall.SIGKILL); err != nil {
		return err
	}
	err := k.victim.Close()
	k.victim = nil
	if err == nil {
		return errors.New("the process that was killed has ended by itself")
	}
	return nil
}

func (k *kill) replaceVictim(ctx context.Context) error {
	if err := k.revive(); err != nil {
		return err
	}
	if err := k.serve(ctx, k.victim, k.name); err != nil {
		return err
	}
	if err := k.await(ctx, model.BackendActive, k.name); err != nil {
		return err
	}
	// What the datapath passes over comes back when it is tried. What is lost by that was
	// counted at its death.
	return until(ctx, "requests at "+k.name, func() (bool, error) {
		var answered, failed uint64
		if err := k.round(ctx, &answered, &failed); err != nil {
			return false, err
		}
		counts, err := k.victim.Counts(ctx)
		return counts.Accepted > 0, err
	})
}

// Close implements plan.Instance.
func (k *kill) Close() error {
	var err error
	if k.victim != nil {
		err = k.victim.Close()
	}
	return errors.Join(err, k.crowd.Close())
}
