// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// lines passes on what is written.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

// A socket that fails once, as all do in a process without file descriptors to
// spare, goes on afterwards.
func TestProxyOutlivesFailures(t *testing.T) {
	w := newWorld(t, "nft")
	log := make(lines, 100)
	w.d.proxy.log = slog.New(slog.NewTextHandler(log, nil))
	c := w.container(w.network(1, func(n *datapath.Network) { n.IPv6 = nil }), 2)
	w.publish(c, publish(c, 8080, 80, model.TCP), publish(c, 5353, 53, model.UDP))
	serveTCP(t, c.ns, "c", 80)
	serveUDP(t, c.ns, "c", 53)
	sockets := []interface{ SetDeadline(time.Time) error }{w.d.proxy.tcp}
	for _, r := range w.d.proxy.relays[c.ID] {
		if r.udp != nil {
			sockets = append(sockets, r.udp.conn)
		}
	}
	for _, s := range sockets {
		must(t, s.SetDeadline(time.Unix(1, 0)))
		select {
		case line := <-log:
			if !strings.Contains(line, os.ErrDeadlineExceeded.Error()) {
				t.Errorf("log: %s", line)
			}
		case <-time.After(patience):
			t.Error("the failure isn't logged")
		}
		must(t, s.SetDeadline(time.Time{}))
	}
	reaches(t, w.host, "tcp", "::1", 8080, "c 10.9.1.1")
	reaches(t, w.host, "udp", "::1", 5353, "c 10.9.1.1")
}

// Clients of a container that doesn't answer wait without a thread each.
func TestDialOccupiesNoThreads(t *testing.T) {
	w := newWorld(t, "nft")
	const dead = "198.51.100.99"
	w.run(w.host, "ip neigh add "+dead+" lladdr 02:00:00:00:00:99 dev eth0 nud permanent")
	const dials = 50
	before := threads(t)
	var all sync.WaitGroup
	for range dials {
		all.Go(func() {
			if c, err := w.d.proxy.dial(unix.SOCK_STREAM, netip.MustParseAddrPort(dead+":80")); err == nil {
				t.Errorf("connected to %s", c.RemoteAddr())
				c.Close()
			}
		})
	}
	for deadline := time.Now().Add(patience); strings.Count(w.run(w.host, "ss -Htn state syn-sent"), dead) < dials; {
		if time.Now().After(deadline) {
			t.Fatal("no connections are under way")
		}
	}
	if now := threads(t); now > before+dials/2 {
		t.Errorf("%d threads with %d connections under way, %d before", now, dials, before)
	}
	w.d.proxy.stop()
	all.Wait()
}

func threads(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	must(t, err)
	return len(tasks)
}
