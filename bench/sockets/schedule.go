// SPDX-License-Identifier: Apache-2.0

package sockets

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// What the rate of an open loop is taken from: the median of some short closed
// loops, after one that warms up.
const (
	capacityRuns = 5
	capacityRun  = 100 * time.Millisecond
)

// schedule makes an open loop of the job if the case is one.
func (i *instance) schedule(ctx context.Context) error {
	text := i.subject.Case.Value(keyLoad)
	if text == "" {
		return nil
	}
	percent, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("load of %s percent: %w", text, err)
	}
	capacity, err := i.capacity(ctx)
	if err != nil {
		return fmt.Errorf("capacity: %w", err)
	}
	i.job.Rate = capacity * float64(percent) / 100
	return nil
}

// capacity is the rate of a closed loop with as many flows.
func (i *instance) capacity(ctx context.Context) (float64, error) {
	var rates []float64
	for range 1 + capacityRuns {
		r, err := i.run(ctx, i.job, capacityRun)
		if err != nil {
			return 0, err
		}
		rates = append(rates, r.Rate())
	}
	rates = rates[1:]
	slices.Sort(rates)
	return rates[len(rates)/2], nil
}
