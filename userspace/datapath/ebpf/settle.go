// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/pace"
)

const (
	// calm is how long no device may have been given programs before those that are new
	// are settled: the kernel holds everybody up who changes a device meanwhile, as who
	// starts many containers does all the time.
	calm = time.Second
	// patience is how long a device waits for calm at most. Those that have waited so long
	// are settled one in every busyPause.
	patience  = time.Minute
	busyPause = 2 * time.Second
	// settleEvery is the time between two devices, of which one takes 20 to 50 ms.
	settleEvery = 250 * time.Millisecond
)

// settleAll settles devices in the network namespace ns until ctx ends, one at a time.
func (p *programs) settleAll(ctx context.Context, ns *netns.NS, fail func(error)) <-chan struct{} {
	over := make(chan struct{})
	go func() {
		defer close(over)
		for p.awaitDue(ctx) {
			index, due := p.due(time.Now())
			if !due {
				continue
			}
			if err := ns.Do(func() error { return p.settle(index) }); err != nil {
				fail(fmt.Errorf("device %d: %w", index, err))
			}
		}
	}()
	return over
}

// awaitDue waits until a device may be due; it reports false if ctx ended before. While all
// are settled nothing happens.
func (p *programs) awaitDue(ctx context.Context) bool {
	for {
		wait, some := p.untilDue(time.Now())
		if !some {
			if !p.first.Await(ctx) {
				return false
			}
			continue
		}
		pace.Sleep(ctx, max(settleEvery, wait))
		return ctx.Err() == nil
	}
}

// untilDue is how long it takes until a device is due, as far as that is known now; there
// may be none that waits.
func (p *programs) untilDue(now time.Time) (wait time.Duration, some bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.unsettled) == 0 {
		return 0, false
	}
	oldest := now
	for _, since := range p.unsettled {
		if since.Before(oldest) {
			oldest = since
		}
	}
	busy := max(oldest.Add(patience).Sub(now), p.settled.Add(busyPause).Sub(now))
	return max(0, min(p.guarded.Add(calm).Sub(now), busy)), true
}

// due returns a device that is to be settled now.
func (p *programs) due(now time.Time) (index int, due bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	calmly := now.Sub(p.guarded) >= calm
	rested := now.Sub(p.settled) >= busyPause
	for index, since := range p.unsettled {
		if calmly || rested && now.Sub(since) >= patience {
			p.settled = now
			return index, true
		}
	}
	return 0, false
}

// settle settles a device. What it has guards it as well, so it isn't tried again, but where
// nothing can be pinned for the moment.
func (p *programs) settle(index int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.loader.Switching() {
		return nil
	}
	err := p.loader.Settle(index)
	if errors.Is(err, loader.ErrNotMounted) {
		// Who pins all again tells of it.
		return nil
	}
	delete(p.unsettled, index)
	return err
}
