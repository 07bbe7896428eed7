// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/docker/client"
	"github.com/fairway-project/fairway/userspace/docker/facts"
	"github.com/fairway-project/fairway/userspace/service"
)

// leaves is how long a container that got a signal to end gets no new flows. One that goes
// on for longer took the signal for something else.
const leaves = time.Minute

// leaving are the containers that were told to end.
type leaving struct {
	manager *service.Manager
	// mu orders what the manager is told.
	mu     sync.Mutex
	timers map[string]*time.Timer
	// signals are what containers end at by their own word, by container ID.
	signals map[string]syscall.Signal
}

func newLeaving(m *service.Manager) *leaving {
	return &leaving{manager: m, timers: make(map[string]*time.Timer), signals: make(map[string]syscall.Signal)}
}

func (l *leaving) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.timers {
		l.stop(id)
	}
}

// stop needs mu.
func (l *leaving) stop(id string) {
	if t := l.timers[id]; t != nil {
		t.Stop()
		delete(l.timers, id)
	}
}

// endsAt takes note of a container's own stop signal, as STOPSIGNAL says it.
func (l *leaving) endsAt(id, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := signalOf(text); s != 0 {
		l.signals[id] = s
	}
}

// forget drops the stop signals of containers that aren't kept.
func (l *leaving) forget(kept func(id string) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.signals {
		if !kept(id) {
			delete(l.signals, id)
		}
	}
}

// signal has a container that is told to end get no new flows for a while.
func (l *leaving) signal(id, text string) {
	s := signalOf(text)
	l.mu.Lock()
	defer l.mu.Unlock()
	if s == 0 || s != l.signals[id] && !ends(s) {
		return
	}
	l.stop(id)
	var t *time.Timer
	t = time.AfterFunc(leaves, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.timers[id] == t {
			delete(l.timers, id)
			l.manager.Leaving(context.Background(), id, false)
		}
	})
	l.timers[id] = t
	l.manager.Leaving(context.Background(), id, true)
}

// begins ends what was said of a container before it was started again.
func (l *leaving) begins(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timers[id] != nil {
		l.stop(id)
		l.manager.Leaving(context.Background(), id, false)
	}
}

// ends reports whether most servers end at a signal; 37 is systemd's for halting.
func ends(s syscall.Signal) bool {
	// HUP, USR1, USR2 and WINCH have most of them read their files again, or end workers.
	return slices.Contains([]syscall.Signal{unix.SIGINT, unix.SIGQUIT, unix.SIGKILL, unix.SIGTERM, 37}, s)
}

// signalOf reads a signal as Docker writes it: 15, TERM, SIGTERM, RTMIN+3; 0 for none.
func signalOf(text string) syscall.Signal {
	if n, err := strconv.Atoi(text); err == nil {
		return syscall.Signal(n)
	}
	name := strings.TrimPrefix(strings.ToUpper(text), "SIG")
	for prefix, from := range map[string]int{"RTMIN": 34, "RTMAX": 64} {
		if rest, is := strings.CutPrefix(name, prefix); is {
			n, err := strconv.Atoi(rest)
			if err != nil && rest != "" {
				return 0
			}
			return syscall.Signal(from + n)
		}
	}
	return unix.SignalNum("SIG" + name)
}

// noteSignal is about the event of a signal.
func (w *Watcher) noteSignal(e client.Event) {
	if e.Actor.Attributes[facts.ServiceLabel] != "" {
		w.services.leaving.signal(e.Actor.ID, e.Actor.Attributes["signal"])
	}
}
