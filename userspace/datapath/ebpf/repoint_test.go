// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
)

// inside is do for goroutines of a test.
func (w *world) inside(f func() error) {
	if err := netns.Do(w.netns, f); err != nil {
		w.t.Error(err)
	}
}

// A walk through the flow tables takes as long as it takes; edits don't wait for it.
func TestEditsDoNotWaitForWalks(t *testing.T) {
	w, e := flowWorld(t)
	through := w.connection("198.51.100.1:1", e, 80, 1)
	w.put(through[0], through[1])
	moved := publication(e, model.UDP, 53)
	moved.Port.Num = 81
	walk := make(chan error, 1)
	w.dp.collector.working.Lock() // another walk is under way
	go w.inside(func() error {
		walk <- w.dp.EnsurePorts(context.Background(), e.ID, []datapath.Port{moved})
		return nil
	})
	edits := make(chan error, 1)
	go w.inside(func() error {
		// It gets the lock once the first edit waits for the walk.
		for {
			w.dp.mu.Lock()
			begun := w.dp.ports.entries[publish.Key{Addr: moved.HostIP, Port: 53, Proto: model.UDP}].Target.Port() == 81
			w.dp.mu.Unlock()
			if begun {
				break
			}
			time.Sleep(time.Millisecond)
		}
		edits <- w.dp.EnsurePorts(context.Background(), e.ID, []datapath.Port{moved, publication(e, model.TCP, 54)})
		return nil
	})
	select {
	case err := <-edits:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("an edit waits for a walk through the flow tables")
	}
	select {
	case err := <-walk:
		t.Errorf("the first edit didn't wait for its walk: %v", err)
	default:
	}
	w.dp.collector.working.Unlock()
	if err := <-walk; err != nil {
		t.Error(err)
	}
	w.wantFlows("after the target changed")
}

// Who takes UDP ports away one by one, as Docker's proxies do, waits for no walk, and
// one walk does for all that were taken away before it.
func TestClosingPortsWaitsForNoWalk(t *testing.T) {
	w, e := flowWorld(t)
	const first, ports = 1000, 200
	all := []datapath.Port{publication(e, model.UDP, 53)}
	for i := range ports {
		all = append(all, publication(e, model.UDP, uint16(first+i)))
	}
	w.ensure(w.portsAre(e.ID, all...))
	through := w.connection("198.51.100.1:1", e, 80, 1)
	w.put(through[0], through[1])
	w.dp.collector.working.Lock() // another walk is under way
	closed := make(chan error, 1)
	go w.inside(func() error {
		var err error
		for i := range all {
			err = errors.Join(err, w.dp.EnsurePorts(context.Background(), e.ID, all[i+1:]))
		}
		closed <- err
		return nil
	})
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("closing a port waits for a walk through the flow tables")
	}
	before := w.dp.collector.passes
	w.dp.collector.working.Unlock()
	w.flowsEnd()
	w.dp.collector.working.Lock()
	walks := w.dp.collector.passes - before
	w.dp.collector.working.Unlock()
	if walks > 10 {
		t.Errorf("%d walks for %d ports", walks, ports)
	}
}

// Older programs are replaced at the end of Prune while nothing is collected. A walk that is
// under way may need the lock for edits to come to its end.
func TestPruneDoesNotWaitForWalksUnderTheLock(t *testing.T) {
	w, e := flowWorld(t)
	if err := w.dp.Close(); err != nil {
		t.Fatal(err)
	}
	w.olderLayout("resolvers")
	w.open()
	if !w.dp.programs.versions().switching {
		t.Fatal("nothing is to be replaced")
	}
	w.ensure(w.hostIs(w.host()), w.networkIs(w.network()), w.endpointIs(e))
	w.dp.collector.working.Lock() // a walk is under way
	pruned := make(chan error, 1)
	go w.inside(func() error {
		pruned <- w.dp.Prune(context.Background(), datapath.Desired{Networks: []datapath.Network{w.network()}})
		return nil
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("Prune has the lock while it waits for a walk")
		}
		if !w.dp.mu.TryLock() {
			continue
		}
		done := len(w.dp.endpoints.byID) == 0
		w.dp.mu.Unlock()
		if done {
			break
		}
	}
	w.dp.collector.working.Unlock()
	if err := <-pruned; err != nil || w.dp.programs.versions().switching {
		t.Errorf("%v, switching %t", err, w.dp.programs.versions().switching)
	}
}

// olderLayout makes a group of tables look like an earlier version's.
func (w *world) olderLayout(group string) {
	w.t.Helper()
	found, err := filepath.Glob(filepath.Join(w.cfg.BPFFS, "maps", group+"-*"))
	if err != nil || len(found) != 1 {
		w.t.Fatalf("directories of %s: %v, %v", group, found, err)
	}
	if err := os.Rename(found[0], filepath.Join(w.cfg.BPFFS, "maps", group+"-0-0123456789abcdef")); err != nil {
		w.t.Fatal(err)
	}
}

// flowsEnd waits until there are no flows.
func (w *world) flowsEnd() {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		_, halves := w.left()
		if halves == 0 {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%d halves of flows are left after 10 s", halves)
		}
	}
}

// Ports move, addresses of the host come and go, endpoints go and come back and flows
// appear, all at the same time. In the end every flow leads where its port does.
func TestFlowsFollowUnderChurn(t *testing.T) {
	w, e := flowWorld(t)
	ctx := context.Background()
	other := w.endpoint(2)
	const rounds = 40
	var group sync.WaitGroup
	churn := func(f func(i int) error) {
		group.Go(func() {
			w.inside(func() error {
				for i := range rounds {
					if err := f(i); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
	at := func(target uint16) error {
		p := publication(e, model.UDP, 53)
		p.Port.Num = target
		return w.dp.EnsurePorts(ctx, e.ID, []datapath.Port{p})
	}
	churn(func(i int) error { return at(uint16(80 + i%3)) })
	churn(func(i int) error { return at(uint16(90 + i%2)) })
	churn(func(i int) error {
		h := w.host()
		if i%2 == 0 {
			h.Addresses = h.Addresses[:0]
		}
		return w.dp.EnsureHost(ctx, h)
	})
	churn(func(i int) error {
		if i%2 == 0 {
			return w.dp.EnsureEndpoint(ctx, other)
		}
		return w.dp.DeleteEndpoint(ctx, other.ID)
	})
	churn(func(i int) error {
		for _, h := range w.connection(fmt.Sprintf("198.51.100.%d:7", i), e, uint16(80+i%3), 1) {
			if err := w.dp.meter.flows.Put(h); err != nil {
				return err
			}
		}
		_, err := w.dp.Stats(ctx)
		return err
	})
	group.Wait()
	w.ensure(w.hostIs(w.host()), func(context.Context) error { return at(99) }, func(context.Context) error { return at(80) })
	for h, err := range w.dp.meter.flows.All() {
		if err != nil {
			t.Fatal(err)
		}
		if h.Origin() && h.NATDst.Port() != 80 {
			t.Errorf("flow %s goes to port %d", h.Src, h.NATDst.Port())
		}
	}
}
