// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/fairway-project/fairway/userspace/pace"
)

// DefaultProbes is how many probes run at a time where Config doesn't say. With answers
// within 1 ms it is enough for far more than 10,000 targets and an interval of 1 s.
const DefaultProbes = 64

// Config is what a Checker works with.
type Config struct {
	// Tell is called when there is news of a target: from any goroutine, for one target
	// one after the other, and perhaps once after the target is gone. What it does holds
	// up the checks.
	Tell func(Verdict)
	// Probes replaces DefaultProbes if it isn't zero; at least 2.
	Probes int
	// Probe replaces how a target is asked; ctx ends when its time is over. Random
	// replaces what pauses are varied with, numbers from 0 to 1. Both may be nil.
	Probe  func(ctx context.Context, t Target) error
	Random func() float64
}

// Checker asks targets again and again until Close.
type Checker struct {
	Config
	// mu guards what follows.
	mu     sync.Mutex
	groups map[string]map[string]*check
	// quick are those that answered the last time, slow those that didn't in time.
	quick, slow queue
	// running counts the probes under way, runningSlow those of slow ones.
	running, runningSlow int

	wake       pace.Signal
	stop       context.CancelFunc
	background sync.WaitGroup
}

// New returns a Checker without targets. The caller closes it.
func New(c Config) *Checker {
	if c.Probes == 0 {
		c.Probes = DefaultProbes
	}
	if c.Probe == nil {
		c.Probe = newProber().probe
	}
	if c.Random == nil {
		c.Random = rand.Float64
	}
	k := &Checker{Config: c, groups: make(map[string]map[string]*check), wake: pace.NewSignal()}
	ctx, stop := context.WithCancel(context.Background())
	k.stop = stop
	k.background.Go(func() { k.run(ctx) })
	return k
}

// Close ends all checks and waits for them.
func (c *Checker) Close() {
	c.stop()
	c.background.Wait()
}

// Set replaces the targets of a group, by name; those that stay keep what is known of
// them, and are asked at once if how they are asked has changed. Without targets the group
// is forgotten.
func (c *Checker) Set(group string, targets map[string]Target) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.wake.Raise()
	have := c.groups[group]
	for name, k := range have {
		if _, stays := targets[name]; !stays {
			c.take(k)
			k.gone = true
			delete(have, name)
		}
	}
	if len(targets) == 0 {
		delete(c.groups, group)
		return
	}
	if have == nil {
		have = make(map[string]*check, len(targets))
		c.groups[group] = have
	}
	now := time.Now()
	for name, t := range targets {
		was := have[name]
		if was != nil && was.target.same(t) {
			continue
		}
		if was != nil {
			c.take(was)
			was.gone = true
			t.Before = was.state
		}
		k := newCheck(group, name, t, now, c.Random())
		if was != nil {
			k.due, k.reason = now, was.reason
			if was.eager > 0 {
				k.eager = firstPause
			}
		}
		have[name] = k
		c.put(k)
	}
}

// Of returns what is known of the targets of a group, by name.
func (c *Checker) Of(group string) map[string]Verdict {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string]Verdict, len(c.groups[group]))
	for name, k := range c.groups[group] {
		out[name] = k.verdict()
	}
	return out
}

func (k *check) verdict() Verdict {
	return Verdict{Group: k.group, Target: k.name, Healthy: k.state == Healthy, Reason: k.reason}
}

// put queues a check, and take takes it out of its queue. Both need mu.
func (c *Checker) put(k *check) { c.queueOf(k).add(k) }

func (c *Checker) take(k *check) {
	if k.place >= 0 {
		c.queueOf(k).remove(k)
	}
}

func (c *Checker) queueOf(k *check) *queue {
	if k.slow {
		return &c.slow
	}
	return &c.quick
}

// run begins what is due until ctx ends.
func (c *Checker) run(ctx context.Context) {
	for {
		var timer <-chan time.Time
		if wait, any := c.begin(ctx); any {
			timer = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		case <-timer:
		}
	}
}

// begin starts the probes that are due as far as there is room. It returns how long it is
// until the next one is due, if something other than the end of a probe makes it so.
func (c *Checker) begin(ctx context.Context) (wait time.Duration, any bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.running < c.Probes {
		k := c.next()
		if k == nil {
			return 0, false
		}
		if wait := time.Until(k.due); wait > 0 {
			return wait, true
		}
		c.take(k)
		c.running++
		if k.slow {
			c.runningSlow++
		}
		slow, target := k.slow, k.target
		c.background.Go(func() { c.probe(ctx, k, target, slow) })
	}
	return 0, false
}

// next is the check that is due first of those that there is room for. It needs mu.
func (c *Checker) next() *check {
	quick, slow := c.quick.head(), c.slow.head()
	switch {
	case slow == nil || c.runningSlow >= c.Probes/2:
		return quick
	case quick == nil || slow.due.Before(quick.due):
		return slow
	}
	return quick
}

// probe asks once, and tells what there is to tell before the target is asked again.
func (c *Checker) probe(ctx context.Context, k *check, t Target, slow bool) {
	limited, cancel := context.WithTimeout(ctx, t.Check.Timeout)
	err := c.Probe(limited, t)
	cancel()
	c.mu.Lock()
	c.running--
	if slow {
		c.runningSlow--
	}
	if k.gone || ctx.Err() != nil {
		c.mu.Unlock()
		c.wake.Raise()
		return
	}
	news, v := k.judge(err), k.verdict()
	c.mu.Unlock()
	if news && c.Tell != nil {
		c.Tell(v)
	}
	c.mu.Lock()
	if !k.gone {
		k.due = time.Now().Add(k.pause(c.Random()))
		c.put(k)
	}
	c.mu.Unlock()
	c.wake.Raise()
}
