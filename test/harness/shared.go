// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/nl"
)

// A world with a daemon takes longer to make and to remove than most tests take in it.
// So a test without options gets one that another test has left, if there is one in
// which nothing is of that test any more: no sandbox, no network, nothing else at the
// host, and the same daemon. Otherwise the world is removed after the test, with all
// that is looked for then, as the last ones are after the last test.

// Kind is what worlds have beside topology and daemon, for tests that share it.
type Kind struct {
	// Name tells kinds apart.
	Name string
	// Furnish starts the daemon and all else. What it makes is removed by what it gives
	// t.Cleanup, which is called when the world is removed.
	Furnish func(t testing.TB, e *Env)
	// Enter is called when a test comes into the world, and Tidy when it leaves. Tidy
	// reports whether nothing is left that the next one would see.
	Enter func(t *testing.T, e *Env)
	Tidy  func(t testing.TB, e *Env) bool
	// Restarts says that another daemon may have come in the place of the first, with the
	// same arguments.
	Restarts bool
}

// OfKind gives the test a world of a kind.
func OfKind(k Kind) Option { return func(o *options) { o.kind = k } }

// Restarts is for tests that end the daemon and start it again as it was. They share worlds
// with each other.
func Restarts() Option { return OfKind(Kind{Name: "restarted", Restarts: true}) }

// place is where worlds may be exchanged.
type place struct {
	mode Mode
	kind string
}

// worlds are those that no test is in.
type worlds struct {
	mu   sync.Mutex
	free map[place][]*Env
}

var shared = worlds{free: map[place][]*Env{}}

// take returns a world of the place, or nil.
func (w *worlds) take(p place) *Env {
	w.mu.Lock()
	defer w.mu.Unlock()
	free := w.free[p]
	if len(free) == 0 {
		return nil
	}
	e := free[len(free)-1]
	w.free[p] = free[:len(free)-1]
	return e
}

func (w *worlds) give(e *Env) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := place{e.Mode, e.tenancy.kind.Name}
	w.free[p] = append(w.free[p], e)
}

// close removes all of them, and reports whether nothing is left of any.
func (w *worlds) close() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	ok := true
	for _, free := range w.free {
		for _, e := range free {
			after := &afterwards{}
			after.run(func() { e.retire(after) })
			ok = ok && !after.failed
		}
	}
	return ok
}

// tenancy is what a world has beyond one test.
type tenancy struct {
	kind Kind
	// owner is the test that is in it, for what was made before it came.
	owner *owner
	// pid and args are the daemon's, idle what the host looks like without a test.
	pid  int
	args []string
	idle snapshot
}

// owner passes on to the test that is in a world at the moment, and keeps what is to be
// done when the world is removed.
type owner struct {
	testing.TB
	cleanups []func()
}

// Cleanup implements testing.TB.
func (o *owner) Cleanup(f func()) { o.cleanups = append(o.cleanups, f) }

// sharedEnv returns a world with a daemon, of another test's or a new one.
func sharedEnv(t *testing.T, mode Mode, o options) *Env {
	t.Helper()
	e := shared.take(place{mode, o.kind.Name})
	if e == nil {
		e = newSharedEnv(t, mode, o.kind)
	}
	e.tenancy.owner.TB = t
	e.Daemon.forgetLog()
	t.Cleanup(func() { e.leave(t) })
	if !o.allowPrivate {
		e.guardPrivateSources(t)
	}
	if o.kind.Enter != nil {
		o.kind.Enter(t, e)
	}
	return e
}

// numFirst is the number of a network that is no test's.
const numFirst = 29

func newSharedEnv(t *testing.T, mode Mode, kind Kind) *Env {
	t.Helper()
	own := &owner{TB: t}
	e := &Env{Mode: mode, tenancy: &tenancy{kind: kind, owner: own}}
	made := false
	defer func() {
		if !made {
			e.tenancy.cleanUp()
		}
	}()
	e.dir = testDir(own)
	e.Topology = NewTopology(own)
	e.Host.compared = true
	e.before = takeSnapshot(t, e.Host)
	e.Daemon = e.NewDaemon(own, e.Host)
	own.Cleanup(func() {
		e.finish(own)
		for _, n := range e.held {
			n.close()
		}
	})
	if kind.Furnish != nil {
		kind.Furnish(own, e)
	} else {
		e.Daemon.Start(t)
	}
	// The first network of a family turns forwarding on for good.
	e.Network(t, "first", numFirst)
	e.Must(t, "network", "rm", "first")
	e.tenancy.pid, e.tenancy.args, e.tenancy.idle = e.Daemon.Pid(), slices.Clone(e.Daemon.Args), takeSnapshot(t, e.Host)
	for _, n := range e.all() {
		n.touched.Store(false)
	}
	made = true
	return e
}

// leave is the end of a test in the world.
func (e *Env) leave(t *testing.T) {
	t.Helper()
	if t.Failed() || !e.tidy(t) {
		e.retire(t)
		return
	}
	e.tenancy.owner.TB = nil
	shared.give(e)
}

// tidy removes what is the test's and reports whether the world is then as it was.
func (e *Env) tidy(t testing.TB) bool {
	t.Helper()
	if e.Daemon.Mode != e.Mode || !slices.Equal(e.Daemon.Args, e.tenancy.args) {
		return false
	}
	if pid := e.Daemon.Pid(); pid == 0 || pid != e.tenancy.pid && !e.tenancy.kind.Restarts {
		return false
	}
	for _, n := range e.all() {
		if n.touched.Load() {
			return false
		}
	}
	if tidy := e.tenancy.kind.Tidy; tidy != nil && !tidy(t, e) {
		return false
	}
	if ids := strings.Fields(e.Fairway(t, "service", "ls", "-q").Out); len(ids) > 0 {
		if r := e.Fairway(t, append([]string{"service", "rm"}, ids...)...); r.Code != 0 {
			t.Errorf("remove services: exit %d: %s", r.Code, r.Err)
		}
	}
	if ids := strings.Fields(e.Fairway(t, "ps", "-aq").Out); len(ids) > 0 {
		if r := e.Fairway(t, append([]string{"rm", "-f"}, ids...)...); r.Code != 0 {
			t.Errorf("remove sandboxes: exit %d: %s", r.Code, r.Err)
		}
	}
	if r := e.Fairway(t, "network", "prune", "-f"); r.Code != 0 {
		t.Errorf("remove networks: exit %d: %s", r.Code, r.Err)
	}
	e.lookForProcessesInSandboxes(t)
	e.lookForSandboxCgroups(t)
	for _, n := range e.held {
		n.close()
	}
	e.held, e.sandbox = nil, nil
	if t.Failed() {
		return false
	}
	if now := takeSnapshot(t, e.Host); !now.sameLines(e.tenancy.idle) {
		return false
	}
	return e.forget() == nil
}

// forget makes the stacks forget their connections and neighbours, and the switch its, which
// the next test begins without.
func (e *Env) forget() error {
	for _, n := range e.all() {
		if err := errors.Join(n.Do(forgetNetwork), n.endUnacknowledged()); err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	return nil
}

func forgetNetwork() error {
	if err := netlink.ConntrackTableFlush(netlink.ConntrackTable); err != nil {
		return fmt.Errorf("tracked connections: %w", err)
	}
	all, err := nl.NeighList(nil, 0, unix.AF_UNSPEC)
	if err != nil {
		return fmt.Errorf("neighbours: %w", err)
	}
	for _, n := range all {
		if n.Family != unix.AF_INET && n.Family != unix.AF_INET6 || n.State&(unix.NUD_NOARP|unix.NUD_PERMANENT) != 0 {
			continue
		}
		// One that goes by itself meanwhile is no error.
		_ = netlink.NeighDel(&n)
	}
	if err := forgetStations(); err != nil {
		return err
	}
	// What ICMP errors taught of ways.
	for _, family := range []string{"ipv4", "ipv6"} {
		if err := os.WriteFile("/proc/sys/net/"+family+"/route/flush", []byte("1"), 0); err != nil {
			return fmt.Errorf("routes' exceptions: %w", err)
		}
	}
	return nil
}

// forgetStations makes bridges forget behind which port a MAC address was seen.
func forgetStations() error {
	all, err := nl.NeighList(nil, 0, unix.AF_BRIDGE)
	if err != nil {
		return fmt.Errorf("stations: %w", err)
	}
	for _, s := range all {
		if s.State&(unix.NUD_NOARP|unix.NUD_PERMANENT) == 0 && s.MasterIndex != 0 {
			s.Flags |= netlink.NTF_MASTER
			_ = netlink.NeighDel(&s)
		}
	}
	return nil
}

// retire removes the world and looks for what is left of it.
func (e *Env) retire(t testing.TB) {
	t.Helper()
	e.tenancy.owner.TB = t
	e.tenancy.cleanUp()
}

func (t *tenancy) cleanUp() {
	for _, f := range slices.Backward(t.owner.cleanups) {
		f()
	}
	t.owner.cleanups = nil
}

// afterwards stands for a test when all are over.
type afterwards struct {
	testing.TB
	failed bool
}

// run runs f in a goroutine, which Fatal and FailNow end.
func (a *afterwards) run(f func()) {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	<-done
}

func (*afterwards) Helper()        {}
func (*afterwards) Name() string   { return "a shared world" }
func (a *afterwards) Failed() bool { return a.failed }
func (a *afterwards) FailNow()     { a.failed = true; runtime.Goexit() }

func (a *afterwards) Log(args ...any)                 { fmt.Fprintln(os.Stderr, args...) }
func (a *afterwards) Logf(format string, args ...any) { a.Log(fmt.Sprintf(format, args...)) }

func (a *afterwards) Error(args ...any)                 { a.failed = true; a.Log(args...) }
func (a *afterwards) Errorf(format string, args ...any) { a.Error(fmt.Sprintf(format, args...)) }
func (a *afterwards) Fatal(args ...any)                 { a.Log(args...); a.FailNow() }
func (a *afterwards) Fatalf(format string, args ...any) { a.Fatal(fmt.Sprintf(format, args...)) }
