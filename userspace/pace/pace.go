// SPDX-License-Identifier: Apache-2.0

// Package pace has what loops wait with until there is something to do.
package pace

import (
	"context"
	"time"
)

// Signal asks a goroutine to look again. Many that it hasn't heard are one.
type Signal chan struct{}

// NewSignal returns a Signal that nobody has raised.
func NewSignal() Signal { return make(Signal, 1) }

// Raise doesn't wait for anybody.
func (s Signal) Raise() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// Await waits until the signal is raised; it reports false if ctx ended before.
func (s Signal) Await(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-s:
		return true
	}
}

// Clear forgets that the signal was raised: for who has yet to look.
func (s Signal) Clear() {
	select {
	case <-s:
	default:
	}
}

// Sleep waits for d, or until ctx ends.
func Sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
