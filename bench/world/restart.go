// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/fairway-project/fairway/bench/plan"
)

// Restart ends the daemon of an arm that is Fairway's, starts it again, and returns
// how long it took from then on until it answered.
func (w *World) Restart(ctx context.Context) (time.Duration, error) {
	c, ok := w.carrier.(*fairway)
	if !ok {
		return 0, fmt.Errorf("%w: arm %s: no daemon of Fairway's", plan.ErrUnavailable, w.Arm)
	}
	if err := c.daemon.stop(); err != nil {
		return 0, fmt.Errorf("arm %s: %w", w.Arm, err)
	}
	c.client.Close()
	begun := time.Now()
	err := c.launch(ctx)
	if err != nil {
		return 0, fmt.Errorf("arm %s: start again: %w", w.Arm, err)
	}
	return time.Since(begun), nil
}

// launch starts the daemon and waits until it answers.
func (c *fairway) launch(ctx context.Context) (err error) {
	var environ []string
	if c.firewall != nil {
		environ = c.firewall.env
	}
	args := append([]string{"daemon"}, c.args()...)
	c.daemon, err = startService(c.w.host, filepath.Join(c.w.env.Dir, "log"), environ, c.w.env.Fairway, args...)
	if err != nil {
		return err
	}
	return c.daemon.ready(ctx, func() error {
		_, err := c.client.Version(ctx)
		return err
	})
}
