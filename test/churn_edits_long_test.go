// SPDX-License-Identifier: Apache-2.0

//go:build long

package test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/churn"
	"github.com/fairway-project/fairway/test/harness"
)

// stirred is a service that comes and goes, with its backends, which stay.
type stirred struct {
	name string
	// port is where it is published, number that of its addresses.
	port, number int
	flags        []string
	there        bool
	// byName says that it knows its backends by their names.
	byName   bool
	backends []*server
}

// server is a sandbox that answers by its name.
type server struct {
	name, network string
	drained       bool
}

// vip is the service's address on network a.
func (s *stirred) vip(f harness.Family) string { return harness.Addr(f, numA, 200+s.number) }

// stir edits services at random.
type stir struct {
	e      *harness.Env
	random *rand.Rand
	book   *churn.Book
	all    []*stirred
	serial int
	edits  int
	counts map[string]int
}

func newStir(t *testing.T, e *harness.Env, random *rand.Rand) *stir {
	s := &stir{e: e, random: random, book: churn.New(), counts: make(map[string]int)}
	for i, flags := range [][]string{
		{"--scheduler", "maglev"},
		{"--affinity", "client-ip"},
		{"--scheduler", "random", "--health", "tcp,interval=200ms,timeout=5s"},
		{"--drain", "1s"},
	} {
		s.all = append(s.all, &stirred{name: fmt.Sprintf("svc%d", i), port: 8080 + i, number: i, flags: flags, byName: i == 3})
	}
	for _, svc := range s.all {
		for range 2 {
			s.add(t, svc)
		}
		s.create(t, svc)
	}
	return s
}

// edit is one kind of change. It reports whether it could be made.
type edit struct {
	name   string
	weight int
	make   func(t *testing.T, svc *stirred) bool
}

func (s *stir) kinds() []edit {
	return []edit{
		{"add", 6, func(t *testing.T, svc *stirred) bool {
			return len(svc.backends) < 4 && !(svc.byName && svc.there) && s.add(t, svc)
		}},
		{"replace", 5, s.replace},
		{"rm", 3, s.removeServer}, {"stop", 2, s.stopServer}, {"kill", 3, s.killServer},
		{"drain", 4, s.drain}, {"undrain", 3, s.undrain},
		{"update", 3, s.update},
		{"service rm", 2, func(t *testing.T, svc *stirred) bool { return svc.there && s.remove(t, svc) }},
		{"service create", 6, func(t *testing.T, svc *stirred) bool {
			return !svc.there && (!svc.byName || len(svc.backends) > 0) && s.create(t, svc)
		}},
		{"restart", 2, s.restart}, {"crash", 4, s.crash}, {"kill without daemon", 2, s.killWithoutDaemon},
	}
}

// stir makes an edit and says which.
func (s *stir) stir(t *testing.T) string {
	t.Helper()
	kinds := s.kinds()
	sum := 0
	for _, k := range kinds {
		sum += k.weight
	}
	for {
		draw := s.random.IntN(sum)
		i := 0
		for ; draw >= kinds[i].weight; i++ {
			draw -= kinds[i].weight
		}
		if svc := s.all[s.random.IntN(len(s.all))]; kinds[i].make(t, svc) {
			s.edits++
			s.counts[kinds[i].name]++
			return kinds[i].name + " of " + svc.name
		}
	}
}

func (s *stir) pick(of []*server) *server { return of[s.random.IntN(len(of))] }

// settle waits until the service has all its backends, as they should be.
func (s *stir) settle(t *testing.T, svc *stirred) {
	t.Helper()
	if !svc.there {
		return
	}
	var active, draining []string
	for _, b := range svc.backends {
		if b.drained {
			draining = append(draining, b.name)
		} else {
			active = append(active, b.name)
		}
	}
	of := s.e.InspectService(t, svc.name)
	of.Become(t, "active", active...)
	of.Become(t, "draining", draining...)
	for _, b := range svc.backends {
		if !b.drained {
			s.book.Serves(svc.name, b.name)
		}
	}
}

// run starts a server that answers, with the labels of the service if it selects by those.
func (s *stir) run(t *testing.T, svc *stirred) *server {
	t.Helper()
	s.serial++
	b := &server{name: fmt.Sprintf("%s-%d", svc.name, s.serial), network: []string{"a", "b"}[s.random.IntN(2)]}
	s.e.Must(t, s.runArgs(svc, b)...)
	s.awaitServer(t, b)
	return b
}

func (s *stir) runArgs(svc *stirred, b *server) []string {
	return []string{"run", "-d", "--name", b.name, "--network", b.network, "--label", "app=" + svc.name, "--",
		os.Getenv(harness.EnvPeer), "serve", "8000", b.name}
}

func (s *stir) awaitServer(t *testing.T, b *server) {
	t.Helper()
	in := s.e.Inspect(t, b.name).NetworkSettings.Networks[b.network]
	for _, addr := range []string{in.IPAddress, in.GlobalIPv6Address} {
		harness.Eventually(t, b.name+" to answer", func() error {
			r, err := harness.GetTCP(s.e.Host, at(addr, 8000))
			if err == nil && r.Tag != b.name {
				err = fmt.Errorf("answered by %s", r.Tag)
			}
			return err
		})
	}
}

func (s *stir) add(t *testing.T, svc *stirred) bool {
	t.Helper()
	done := s.book.Edit(svc.name)
	defer done()
	if svc.there && !svc.byName {
		s.book.Comes(svc.name, fmt.Sprintf("%s-%d", svc.name, s.serial+1))
	}
	svc.backends = append(svc.backends, s.run(t, svc))
	s.settle(t, svc)
	return true
}

// forget takes a server that is gone, or about to be, off the list.
func (svc *stirred) forget(b *server) {
	svc.backends = slices.DeleteFunc(svc.backends, func(o *server) bool { return o == b })
}

// end has a server end in some way.
func (s *stir) end(t *testing.T, svc *stirred, way func(b *server)) bool {
	t.Helper()
	if len(svc.backends) == 0 || svc.byName && svc.there {
		return false
	}
	done := s.book.Edit(svc.name)
	defer done()
	b := s.pick(svc.backends)
	s.book.Leaves(svc.name, b.name)
	svc.forget(b)
	way(b)
	s.settle(t, svc)
	s.book.Gone(svc.name, b.name)
	s.e.Fairway(t, "rm", "-f", b.name)
	return true
}

func (s *stir) removeServer(t *testing.T, svc *stirred) bool {
	return s.end(t, svc, func(b *server) { s.e.Must(t, "rm", "-f", b.name) })
}

func (s *stir) stopServer(t *testing.T, svc *stirred) bool {
	return s.end(t, svc, func(b *server) { s.e.Must(t, "stop", "-t", "1", b.name) })
}

func (s *stir) killServer(t *testing.T, svc *stirred) bool {
	return s.end(t, svc, func(b *server) { s.kill(t, s.e.Inspect(t, b.name).State.Pid) })
}

func (s *stir) kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("kill of process %d: %v", pid, err)
	}
}

// killWithoutDaemon has a server end with nobody there to see it.
func (s *stir) killWithoutDaemon(t *testing.T, svc *stirred) bool {
	return s.end(t, svc, func(b *server) {
		pid := s.e.Inspect(t, b.name).State.Pid
		s.e.Daemon.Kill(t)
		s.kill(t, pid)
		s.e.Daemon.Start(t)
	})
}

// replace gives a service that knows its backends by name another one for its oldest.
func (s *stir) replace(t *testing.T, svc *stirred) bool {
	t.Helper()
	if !svc.byName || !svc.there || len(svc.backends) == 0 {
		return false
	}
	done := s.book.Edit(svc.name)
	defer done()
	fresh, old := s.run(t, svc), svc.backends[0]
	s.book.Comes(svc.name, fresh.name)
	s.book.Leaves(svc.name, old.name)
	svc.backends = append(svc.backends[1:], fresh)
	s.e.Must(t, append(append([]string{"service", "update"}, svc.backendFlags(s.random)...), svc.name)...)
	s.book.Drains(svc.name, old.name)
	harness.Eventually(t, old.name+" to have left "+svc.name, func() error {
		for _, b := range s.e.InspectService(t, svc.name).Backends {
			if b.Sandbox == old.name {
				return fmt.Errorf("it is %s", b.State)
			}
		}
		return nil
	})
	s.settle(t, svc)
	s.book.Gone(svc.name, old.name)
	s.e.Must(t, "rm", "-f", old.name)
	return true
}

// backendFlags say who the backends are.
func (svc *stirred) backendFlags(random *rand.Rand) (flags []string) {
	if !svc.byName {
		return []string{"--select", "app=" + svc.name}
	}
	for _, b := range svc.backends {
		flags = append(flags, "--backend", fmt.Sprintf("%s,weight=%d", b.name, 1+random.IntN(4)))
	}
	return flags
}

func (s *stir) drain(t *testing.T, svc *stirred) bool {
	return s.setDrained(t, svc, true)
}

func (s *stir) undrain(t *testing.T, svc *stirred) bool {
	return s.setDrained(t, svc, false)
}

func (s *stir) setDrained(t *testing.T, svc *stirred, drained bool) bool {
	t.Helper()
	can := slices.DeleteFunc(slices.Clone(svc.backends), func(b *server) bool { return b.drained == drained })
	if len(can) == 0 || !svc.there {
		return false
	}
	done := s.book.Edit(svc.name)
	defer done()
	b := s.pick(can)
	args := []string{"service", "drain", svc.name, b.name}
	if !drained {
		s.book.Comes(svc.name, b.name)
		args = []string{"service", "drain", "--undo", svc.name, b.name}
	}
	s.e.Must(t, args...)
	b.drained = drained
	s.settle(t, svc)
	if drained {
		s.book.Drains(svc.name, b.name)
	}
	return true
}

// update changes how a backend is chosen. Open flows don't mind.
func (s *stir) update(t *testing.T, svc *stirred) bool {
	t.Helper()
	if !svc.there {
		return false
	}
	ways := [][]string{{"--scheduler", "maglev"}, {"--scheduler", "random"}, {"--affinity", "none"}, {"--affinity", "client-ip,timeout=5s"},
		{"--source-range", "0.0.0.0/0", "--source-range", "::/0"}, {"--source-range", ""}}
	done := s.book.Edit(svc.name)
	defer done()
	s.e.Must(t, append(append([]string{"service", "update"}, ways[s.random.IntN(len(ways))]...), svc.name)...)
	s.settle(t, svc)
	return true
}

func (s *stir) create(t *testing.T, svc *stirred) bool {
	t.Helper()
	done := s.book.Edit(svc.name)
	defer done()
	for _, b := range svc.backends {
		b.drained = false
		s.book.Comes(svc.name, b.name)
	}
	s.e.Must(t, s.createArgs(svc)...)
	svc.there = true
	s.settle(t, svc)
	return true
}

func (s *stir) createArgs(svc *stirred) []string {
	args := []string{"service", "create", "--network", "a,b", "--ip", svc.vip(harness.V4()), "--ip6", svc.vip(harness.V6())}
	for _, proto := range []string{"tcp", "udp"} {
		args = append(args, "--port", "80:8000/"+proto, "--publish", fmt.Sprintf("%d:80/%s", svc.port, proto))
	}
	return append(append(append(args, svc.flags...), svc.backendFlags(s.random)...), svc.name)
}

func (s *stir) remove(t *testing.T, svc *stirred) bool {
	t.Helper()
	done := s.book.Edit(svc.name)
	defer done()
	s.leave(svc)
	s.e.Must(t, "service", "rm", svc.name)
	s.removed(svc)
	return true
}

// leave is said before a service goes, and removed after it.
func (s *stir) leave(svc *stirred) {
	for _, b := range svc.backends {
		s.book.Leaves(svc.name, b.name)
	}
}

func (s *stir) removed(svc *stirred) {
	svc.there = false
	for _, b := range svc.backends {
		s.book.Gone(svc.name, b.name)
	}
}

// restart kills the daemon and starts it again. To clients nothing happens.
func (s *stir) restart(t *testing.T, _ *stirred) bool {
	t.Helper()
	s.e.Daemon.Kill(t)
	s.e.Daemon.Start(t)
	for _, svc := range s.all {
		s.settle(t, svc)
	}
	return true
}

// crash kills the daemon in the middle of an edit, which is made again, or taken back, after that.
func (s *stir) crash(t *testing.T, svc *stirred) bool {
	t.Helper()
	done := s.book.Edit(svc.name)
	defer done()
	var args []string
	var after func()
	switch s.random.IntN(3) {
	case 0:
		if svc.there {
			s.leave(svc)
			args, after = []string{"service", "rm", svc.name}, func() { s.removed(svc) }
			break
		}
		if svc.byName && len(svc.backends) == 0 {
			return false
		}
		for _, b := range svc.backends {
			b.drained = false
			s.book.Comes(svc.name, b.name)
		}
		args, after = s.createArgs(svc), func() { svc.there = true }
	case 1:
		if len(svc.backends) == 0 || svc.byName && svc.there {
			return false
		}
		b := s.pick(svc.backends)
		s.book.Leaves(svc.name, b.name)
		svc.forget(b)
		args, after = []string{"rm", "-f", b.name}, func() { s.book.Gone(svc.name, b.name) }
	case 2:
		if svc.byName || len(svc.backends) >= 4 {
			return false
		}
		s.serial++
		b := &server{name: fmt.Sprintf("%s-%d", svc.name, s.serial), network: "a"}
		if svc.there {
			s.book.Comes(svc.name, b.name)
		}
		args, after = s.runArgs(svc, b), func() {
			svc.backends = append(svc.backends, b)
			s.awaitServer(t, b)
		}
	}
	s.interrupted(t, args)
	after()
	for _, other := range s.all {
		s.settle(t, other)
	}
	return true
}

// interrupted makes an edit while the daemon is killed, and then until it has been made.
func (s *stir) interrupted(t *testing.T, args []string) {
	t.Helper()
	over := make(chan harness.Result, 1)
	go func() { over <- s.e.Fairway(t, args...) }()
	// Anywhere in the edit: what comes of it isn't judged by when.
	time.Sleep(time.Duration(s.random.IntN(60)) * time.Millisecond)
	s.e.Daemon.Kill(t)
	first := <-over
	s.e.Daemon.Start(t)
	if first.Code == 0 {
		return
	}
	for attempt := 0; ; attempt++ {
		r := s.e.Fairway(t, args...)
		if r.Code == 0 || attempt > 0 && strings.Contains(r.Err, "already") || strings.Contains(r.Err, "not found") {
			return
		}
		if attempt == 3 {
			t.Fatalf("fairway %s, after a crash in the middle of it: %s", strings.Join(args, " "), r.Err)
		}
		if args[0] == "run" || args[1] == "create" {
			// It may be there, and may have ended with the daemon.
			what := []string{"rm", "-f"}
			if args[1] == "create" {
				what = []string{"service", "rm"}
			}
			s.e.Fairway(t, append(what, nameIn(args))...)
		}
	}
}

// nameIn is of the sandbox or the service that a command line makes.
func nameIn(args []string) string {
	if i := slices.Index(args, "--name"); i >= 0 {
		return args[i+1]
	}
	return args[len(args)-1]
}

// removeAll takes back all that was made.
func (s *stir) removeAll(t *testing.T) {
	t.Helper()
	for _, svc := range s.all {
		if svc.there {
			s.e.Must(t, "service", "rm", svc.name)
		}
		for _, b := range svc.backends {
			s.e.Must(t, "rm", "-f", b.name)
		}
	}
}

// mapEntries are how many entries the daemon's tables have, but those of connections.
func mapEntries(t *testing.T, e *harness.Env) map[string]uint64 {
	t.Helper()
	var status struct {
		Stats struct {
			Maps []struct {
				Map     string
				Entries uint64
			}
		}
	}
	e.JSON(t, &status, "status", "-o", "json")
	all := make(map[string]uint64)
	for _, m := range status.Stats.Maps {
		if !strings.HasPrefix(m.Map, "flows") && m.Map != "nf_conntrack" {
			all[m.Map] = m.Entries
		}
	}
	return all
}
