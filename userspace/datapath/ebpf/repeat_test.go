// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairway-project/fairway/userspace/pace"
)

// Endpoints that go one after the other are one pass every now and then, and the last of
// them isn't forgotten.
func TestPassesThatAreAskedForRest(t *testing.T) {
	const took = 10 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		c := &collector{interval: defaultInterval, wake: pace.NewSignal()}
		ctx, end := context.WithCancel(t.Context())
		var began []time.Time
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			c.repeat(ctx, func() time.Duration {
				began = append(began, time.Now())
				time.Sleep(took)
				return took
			}, func(time.Duration) time.Duration { return time.Hour })
		}()
		time.Sleep(time.Minute)
		began = nil
		asked := time.Now()
		for range 100 {
			c.wake.Raise()
			time.Sleep(20 * time.Millisecond)
		}
		last := time.Now()
		time.Sleep(time.Minute)
		end()
		<-ended
		if len(began) == 0 || !began[0].Equal(asked) {
			t.Errorf("passes at %v, want the first at once, %v", began, asked)
		}
		if most := int(last.Sub(asked)/(took*maxLoad)) + 2; len(began) > most || len(began) < 2 {
			t.Errorf("%d passes, want 2 to %d", len(began), most)
		}
		if at := began[len(began)-1]; at.Before(last.Add(-20 * time.Millisecond)) {
			t.Errorf("the last pass began at %v, and was asked for at %v", at, last)
		}
	})
}

// A pass through full tables takes long, and what is asked for waits no longer than for
// the next one that comes by itself.
func TestRestIsBounded(t *testing.T) {
	c := &collector{interval: time.Second}
	if got := c.rest(time.Minute); got != time.Second {
		t.Errorf("a rest of %v", got)
	}
	if got := c.rest(time.Millisecond); got != maxLoad*time.Millisecond {
		t.Errorf("a rest of %v", got)
	}
}
