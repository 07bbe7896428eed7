// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/harness"
)

// load asks a service again and again, from several clients at a time, until end.
type load struct {
	stop    context.CancelFunc
	clients sync.WaitGroup

	mu     sync.Mutex
	asked  int
	failed []string
}

func (d *engine) load(from *harness.Netns, to string) *load {
	ctx, stop := context.WithCancel(context.Background())
	l := &load{stop: stop}
	for range 4 {
		l.clients.Go(func() {
			for ctx.Err() == nil {
				_, _, err := getFor(harness.Patience, from, to, "/")
				l.mu.Lock()
				if l.asked++; err != nil {
					l.failed = append(l.failed, err.Error())
				}
				l.mu.Unlock()
				// Enough to be asked all the time, and not all that the machine can.
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	return l
}

// more waits until the clients have asked so many times more.
func (l *load) more(t *testing.T, times int) {
	t.Helper()
	count := func() int { l.mu.Lock(); defer l.mu.Unlock(); return l.asked }
	want := count() + times
	harness.Eventually(t, fmt.Sprintf("%d more requests", times), func() error {
		if n := count(); n < want {
			return fmt.Errorf("%d of %d", n, want)
		}
		return nil
	})
}

// end demands that nobody asked in vain.
func (l *load) end(t *testing.T) {
	t.Helper()
	l.stop()
	l.clients.Wait()
	if len(l.failed) > 0 {
		t.Errorf("%d of %d requests failed; %s", len(l.failed), l.asked, strings.Join(l.failed[:min(3, len(l.failed))], "; "))
	}
}

// Containers that are stopped, by a smaller scale and by hand, lose no request: they get no
// new ones from the moment that they are told to end, and answer those that they have.
func TestComposeServiceStops(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		file := d.File(t, "compose.yml", strings.Replace(composeOfPage(t), "/peer web", "/peer linger", 1))
		d.compose(file, "up", "-d", "--scale", "web=5")
		const to = harness.HostIP4 + ":8080"
		d.serving("web", 5, 5)
		d.spread(d.LAN1, to, "shop_web_1", "shop_web_2", "shop_web_3", "shop_web_4", "shop_web_5")

		// Requests that containers have when they are told to end.
		var held sync.WaitGroup
		var mu sync.Mutex
		answered := make(map[string]int)
		const holds = 20
		for range holds {
			held.Go(func() {
				tag, _, err := getFor(d.limit, d.LAN1, to, "/hold")
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Errorf("a request that was open: %v", err)
				}
				answered[tag]++
			})
		}
		harness.Eventually(t, "the held requests are open", func() error {
			if open := d.Fairway(t, "service", "ls", "--counts", "--format", "{{.Open}}").Out; strings.TrimSpace(open) != fmt.Sprint(holds) {
				return fmt.Errorf("%s of %d", open, holds)
			}
			return nil
		})

		lan, host := d.load(d.LAN1, to), d.load(d.Host, "127.0.0.1:8080")
		lan.more(t, 50)
		host.more(t, 50)
		d.compose(file, "up", "-d", "--scale", "web=2")
		d.serving("web", 2, 2)
		lan.more(t, 50)
		d.docker("stop", "shop_web_1")
		d.serving("web", 1, 1)
		lan.more(t, 50)
		host.more(t, 50)
		lan.end(t)
		host.end(t)

		d.compose(file, "down")
		held.Wait()
		if len(answered) < 2 {
			t.Errorf("the held requests were all answered by one: %v", answered)
		}
	}, harness.Own())
}
