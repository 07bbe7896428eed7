// SPDX-License-Identifier: Apache-2.0

package wanted

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/model"
)

// An endpoint whose device can't be removed stays guarded, though leftovers go meanwhile,
// keeps its network, and goes once it can.
func TestWithdraw(t *testing.T) {
	k := &kernel{}
	s := newState(t, k, time.Millisecond)
	own := owner(t, s, model.OwnerFairway, Options{})
	ctx := t.Context()
	if err := own.PutNetwork(ctx, network("n", "10.1.0.0/16", 1)); err != nil {
		t.Fatal(err)
	}
	if err := own.PutEndpoint(ctx, endpoint("e", "n", 5).Endpoint); err != nil {
		t.Fatal(err)
	}
	k.take()
	var removable atomic.Bool
	var gone atomic.Int32
	remove := func(context.Context) error {
		if removable.Load() {
			return nil
		}
		return errRefused
	}
	if err := own.Withdraw(ctx, "end of e", "e", remove, func() { gone.Add(1) }); err == nil {
		t.Error("withdrawn though its device is there")
	}
	own.SaidAll(ctx, false)
	eventually(t, "leftovers go", func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return len(k.pruned) > 0 && len(k.pruned[0].Endpoints) == 1
	})
	said(t, k, "while the device is there", "")
	if d := s.Degraded(); len(d) != 1 || d[0] != "end of e: no room" {
		t.Errorf("degraded: %q", d)
	}
	if err := own.DeleteNetwork(ctx, "n"); err == nil || err.Error() != "endpoint e is still there" {
		t.Errorf("its network: %v", err)
	}

	k.refuse("no endpoint e")
	removable.Store(true)
	if err := own.DeleteNetwork(ctx, "n"); err == nil || gone.Load() != 0 {
		t.Errorf("its network, while the datapath refuses: %v, gone %d times", err, gone.Load())
	}
	k.refuse()
	eventually(t, "it is withdrawn", func() bool { return len(s.Degraded()) == 0 })
	if gone.Load() != 1 {
		t.Errorf("gone %d times", gone.Load())
	}
	if err := own.DeleteNetwork(ctx, "n"); err != nil {
		t.Error(err)
	}
	said(t, k, "after all", "no endpoint e, no network n")
}

// What puts a thing right may report that it is right and fail after that: it is tried
// again, and told until it succeeds.
func TestReportInsideMend(t *testing.T) {
	s := newState(t, &kernel{}, time.Hour)
	o := owner(t, s, "cni", Options{})
	var attempts atomic.Int32
	var right atomic.Bool
	err := o.Mend(t.Context(), "a", func(context.Context) error {
		attempts.Add(1)
		o.Report("a", nil)
		if right.Load() {
			return nil
		}
		return errRefused
	})
	if err == nil || o.Trouble("a") == "" {
		t.Errorf("the first attempt: %v, told as %q", err, o.Trouble("a"))
	}
	eventually(t, "it is tried again", func() bool { return attempts.Load() > 2 })
	right.Store(true)
	eventually(t, "it is right", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(o.mends) == 0 && len(o.troubles) == 0
	})
	// Between two attempts it ends the mend: there is nothing to put right any more.
	_ = o.Mend(t.Context(), "b", func(context.Context) error { return errRefused })
	eventually(t, "the mend ends", func() bool {
		o.Report("b", nil)
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(o.mends) == 0
	})
}
