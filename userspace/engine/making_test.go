// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/model"
)

// A sandbox that is being made is removed once it is made, with its process.
func TestForcedRemovalWaitsForTheMaking(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.fake.mu.Lock()
	type made struct {
		process api.Process
		err     error
	}
	done := make(chan made, 1)
	go func() {
		_, p, err := w.Run(ctx, api.Run{SandboxConfig: api.SandboxConfig{Name: "a"}, Command: []string{"sleep", "1000"}}, nil)
		done <- made{p, err}
	}()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		sb, err := w.state.findSandbox("a")
		if err == nil && sb.State.Status == model.StatusCreated {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the sandbox doesn't show: %v", err)
		}
	}
	removed := make(chan error, 1)
	go func() { removed <- w.Remove(ctx, "a", true) }()
	w.fake.mu.Unlock()
	run := <-done
	must(t, run.err)
	must(t, <-removed)
	if code, err := run.process.Wait(ctx); err != nil || code != 137 {
		t.Errorf("the process ended with %d, %v, want 137", code, err)
	}
	if _, err := w.Sandbox(ctx, "a"); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}
