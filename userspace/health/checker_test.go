// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairway-project/fairway/userspace/model"
)

// backends play those that are asked, in virtual time.
type backends struct {
	mu sync.Mutex
	// broken have an error, silent don't answer.
	broken map[netip.AddrPort]error
	silent map[netip.AddrPort]bool
	// asked are the times of checks since the start, by target.
	asked map[netip.AddrPort][]time.Duration
	begun time.Time
	// inside are the checks under way, most how many there were at once.
	inside, most int
	told         []string
}

func newBackends() *backends {
	return &backends{
		broken: make(map[netip.AddrPort]error), silent: make(map[netip.AddrPort]bool),
		asked: make(map[netip.AddrPort][]time.Duration), begun: time.Now(),
	}
}

func (b *backends) probe(ctx context.Context, t Target) error {
	b.mu.Lock()
	b.inside++
	b.most = max(b.most, b.inside)
	b.asked[t.Addr] = append(b.asked[t.Addr], time.Since(b.begun))
	err, silent := b.broken[t.Addr], b.silent[t.Addr]
	b.mu.Unlock()
	if silent {
		<-ctx.Done()
		err = os.ErrDeadlineExceeded
	} else {
		time.Sleep(time.Millisecond)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inside--
	return err
}

func (b *backends) set(a netip.AddrPort, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken[a] = err
}

func (b *backends) tell(v Verdict) {
	b.mu.Lock()
	defer b.mu.Unlock()
	word := "down"
	if v.Healthy {
		word = "up"
	}
	b.told = append(b.told, strings.TrimSpace(fmt.Sprintf("%s/%s %s %s", v.Group, v.Target, word, v.Reason)))
}

// take returns what was told since the last time.
func (b *backends) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	told := strings.Join(b.told, ", ")
	b.told = nil
	return told
}

func (b *backends) count(a netip.AddrPort) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.asked[a])
}

func (b *backends) checker(probes int) *Checker {
	return New(Config{Tell: b.tell, Probes: probes, Probe: b.probe, Random: rand.New(rand.NewPCG(1, 2)).Float64})
}

func at(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 80)
}

func target(n int, before State) Target {
	return Target{Addr: at(n), Before: before, Check: model.Health{
		Kind: model.HealthTCP, Interval: 10 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3,
	}}
}

// step lets virtual time pass until everybody waits again.
func step(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

var errRefused = errors.New("refused")

// A new target isn't healthy until its first success, is asked often until then, and
// needs Fall failures and Rise successes in a row after that.
func TestRiseAndFall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackends()
		c := b.checker(4)
		defer c.Close()
		said := func(what, want string) {
			t.Helper()
			synctest.Wait()
			if got := b.take(); got != want {
				t.Errorf("%s: told %q, want %q", what, got, want)
			}
		}
		b.set(at(1), errRefused)
		c.Set("web", map[string]Target{"a": target(1, Unknown)})
		step(5 * time.Second)
		said("before it listens", "web/a down refused")
		if n := b.count(at(1)); n < 5 {
			t.Errorf("asked %d times in its first 5 s", n)
		}
		b.set(at(1), nil)
		step(10 * time.Second)
		said("it listens", "web/a up")

		b.set(at(1), errRefused)
		step(15 * time.Second)
		said("it fails once or twice", "web/a up refused")
		step(20 * time.Second)
		said("it has failed three times", "web/a down refused")
		b.set(at(1), nil)
		for before := b.count(at(1)); b.count(at(1)) == before; {
			step(time.Second)
		}
		said("it answers once", "web/a down")
		step(12 * time.Second)
		said("it answers twice", "web/a up")

		c.Set("web", nil)
		before := b.count(at(1))
		step(time.Minute)
		if b.count(at(1)) != before || len(c.Of("web")) != 0 {
			t.Error("asked though nobody wants it")
		}
		said("nobody wants it", "")
	})
}

// What was known before stays until checks say otherwise as often as is asked for, and
// its first check comes within the interval.
func TestKnownBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackends()
		c := b.checker(4)
		defer c.Close()
		b.set(at(1), errRefused)
		c.Set("web", map[string]Target{"a": target(1, Healthy), "b": target(2, Unhealthy), "c": target(3, Unhealthy)})
		b.set(at(3), errRefused)
		if of := c.Of("web"); !of["a"].Healthy || of["b"].Healthy {
			t.Errorf("at first: %v", of)
		}
		step(10 * time.Second)
		if of := c.Of("web"); !of["a"].Healthy || of["a"].Reason != "refused" || of["b"].Healthy {
			t.Errorf("after one check: %v", of)
		}
		step(30 * time.Second)
		if of := c.Of("web"); of["a"].Healthy || !of["b"].Healthy || of["c"].Healthy {
			t.Errorf("after four: %v", of)
		}
	})
}

// Another way of asking takes effect at once, and what is known stays meanwhile.
func TestChangedTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackends()
		c := b.checker(4)
		defer c.Close()
		b.mu.Lock()
		b.silent[at(1)] = true
		b.mu.Unlock()
		c.Set("web", map[string]Target{"a": target(1, Healthy)})
		for b.count(at(1)) == 0 {
			step(time.Second / 2)
		}
		// While a check is under way whose answer says nothing of the new target.
		c.Set("web", map[string]Target{"a": target(2, Unknown)})
		step(3 * time.Second)
		if of := c.Of("web"); !of["a"].Healthy || b.count(at(2)) != 1 {
			t.Errorf("after the change: %v, asked %d times", of, b.count(at(2)))
		}
		before := b.count(at(1))
		step(time.Minute)
		if b.count(at(1)) != before {
			t.Error("the earlier one is asked still")
		}
	})
}

// Ten thousand checks that come together are spread over their interval, and no more
// than the limit run at a time.
func TestSpread(t *testing.T) {
	for _, before := range []State{Unknown, Healthy} {
		synctest.Test(t, func(t *testing.T) {
			b := newBackends()
			c := b.checker(64)
			defer c.Close()
			const all = 10_000
			targets := make(map[string]Target, all)
			for i := range all {
				targets[fmt.Sprint(i)] = target(i, before)
			}
			c.Set("web", targets)
			time.Sleep(65 * time.Second)
			c.Close()
			if b.most > 64 {
				t.Errorf("%d checks at once", b.most)
			}
			perSecond := make(map[int]int)
			for _, times := range b.asked {
				for _, at := range times {
					perSecond[int(at/time.Second)]++
				}
				for i := 1; i < len(times); i++ {
					if p := times[i] - times[i-1]; p > 12*time.Second {
						t.Fatalf("%s from one check to the next", p)
					}
				}
			}
			for second := 20; second < 60; second++ {
				if n := perSecond[second]; n < 800 || n > 1200 {
					t.Errorf("state %d: %d checks in second %d: %v", before, n, second, slices.Sorted(maps.Keys(perSecond)))
				}
			}
		})
	}
}

// Backends that don't answer hold up no other's checks for long, however many they are.
func TestSilentMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackends()
		c := b.checker(8)
		defer c.Close()
		targets := make(map[string]Target)
		for i := range 400 {
			b.silent[at(i)] = true
			targets[fmt.Sprint(i)] = target(i, Unhealthy)
		}
		c.Set("dead", targets)
		step(5 * time.Minute)
		c.Set("web", map[string]Target{"a": target(1000, Unknown)})
		step(time.Second)
		if !c.Of("web")["a"].Healthy {
			t.Error("a new one waits for dead ones")
		}
		step(10 * time.Minute)
		b.mu.Lock()
		defer b.mu.Unlock()
		times := b.asked[at(1000)]
		for i := 1; i < len(times); i++ {
			if p := times[i] - times[i-1]; p > 12*time.Second {
				t.Errorf("%s from one check to the next", p)
			}
		}
		if b.most > 8 {
			t.Errorf("%d checks at once", b.most)
		}
		for i := range 400 {
			if len(b.asked[at(i)]) < 3 {
				t.Errorf("silent %d was asked %d times", i, len(b.asked[at(i)]))
			}
		}
	})
}
