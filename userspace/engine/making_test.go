// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// A sandbox that is being made is removed once it is made, with its process.
func TestForcedRemovalWaitsForTheMaking(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.fake.mu.Lock()
	type made struct {
		process request.Process
		err     error
	}
	done := make(chan made, 1)
	go func() {
		_, p, err := w.Run(ctx, request.Run{SandboxConfig: request.SandboxConfig{Name: "a"}, Command: []string{"sleep", "1000"}}, nil)
		done <- made{p, err}
	}()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
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
	if _, err := w.Sandbox(ctx, "a"); !errors.Is(err, request.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

// Of two that want the same namespace at the same time one gets it.
func TestNamespaceIsAdoptedOnce(t *testing.T) {
	w := newWorld(t)
	path := w.namespace("shared")
	results := make(chan error, 4)
	for _, name := range []string{"a", "b", "c", "d"} {
		go func() {
			_, err := w.Add(context.Background(), request.Add{SandboxConfig: request.SandboxConfig{Name: name}, Netns: path})
			results <- err
		}()
	}
	added := 0
	for range cap(results) {
		switch err := <-results; {
		case err == nil:
			added++
		case !errors.Is(err, request.ErrConflict):
			t.Error(err)
		}
	}
	if added != 1 {
		t.Errorf("%d sandboxes have the namespace, want 1", added)
	}
}
