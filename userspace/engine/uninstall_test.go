// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// waitFor returns when done is true.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// What is being made when an uninstall begins is made and then removed; what comes
// later is refused.
func TestUninstallRefusesWhatIsNew(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.run(request.SandboxConfig{Name: "old"})
	w.fake.mu.Lock()
	made := make(chan error, 1)
	go func() {
		_, _, err := w.Run(ctx, request.Run{SandboxConfig: request.SandboxConfig{Name: "begun"}, Command: []string{"sleep", "1000"}}, nil)
		made <- err
	}()
	waitFor(t, "the sandbox that is being made", func() bool {
		sb, err := w.state.findSandbox("begun")
		return err == nil && sb.State.Status == model.StatusCreated
	})
	var removed []string
	done := make(chan error, 1)
	go func() { done <- w.Uninstall(ctx, false, func(line string) { removed = append(removed, line) }) }()
	waitFor(t, "the uninstall", func() bool {
		w.gate.mu.Lock()
		defer w.gate.mu.Unlock()
		return w.gate.shut
	})
	_, _, run := w.Run(ctx, request.Run{SandboxConfig: request.SandboxConfig{Name: "late"}, Command: []string{"true"}}, nil)
	_, add := w.Add(ctx, request.Add{SandboxConfig: request.SandboxConfig{Name: "late"}, Netns: "/proc/self/ns/net"})
	_, create := w.CreateNetwork(ctx, request.NetworkCreate{Name: "late"})
	connect := w.Connect(ctx, "old", request.EndpointSettings{Network: "bridge"})
	for name, err := range map[string]error{"run": run, "add": add, "network create": create, "connect": connect} {
		if !errors.Is(err, request.ErrUnavailable) || !strings.Contains(err.Error(), "being uninstalled") {
			t.Errorf("%s: got %v, want ErrUnavailable", name, err)
		}
	}
	if err := w.Uninstall(ctx, false, func(string) {}); !errors.Is(err, request.ErrConflict) {
		t.Errorf("a second uninstall: got %v, want ErrConflict", err)
	}
	w.fake.mu.Unlock()
	must(t, <-made)
	must(t, <-done)
	all := strings.Join(removed, "\n")
	for _, want := range []string{"sandbox old", "sandbox begun", "network bridge", "datapath"} {
		if !strings.Contains(all, want) {
			t.Errorf("removed %q, without %s", removed, want)
		}
	}
	w.gate.open() // for the world's own uninstall
}

// All are taken, many at a time but not more than the bound, until one fails.
func TestAbreast(t *testing.T) {
	items := make([]int, 5*width)
	for i := range items {
		items[i] = i
	}
	inside, reached := make(chan struct{}, width), make(chan struct{})
	var once sync.Once
	var done [5 * width]bool
	must(t, abreast(items, func(i int) error {
		select {
		case inside <- struct{}{}:
		default:
			t.Errorf("more than %d at a time", width)
			return nil
		}
		if i < width {
			if len(inside) == width {
				once.Do(func() { close(reached) })
			}
			select {
			case <-reached:
			case <-time.After(time.Minute):
				t.Errorf("not %d at a time", width)
			}
		}
		done[i] = true
		<-inside
		return nil
	}))
	for i := range done {
		if !done[i] {
			t.Errorf("item %d was left out", i)
		}
	}
	failure := errors.New("no")
	begun := make(chan int, len(items))
	err := abreast(items, func(i int) error { begun <- i; return failure })
	if !errors.Is(err, failure) || len(begun) > width {
		t.Errorf("got %v after %d items", err, len(begun))
	}
}
