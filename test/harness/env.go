// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Mode is a datapath, as --datapath names it.
type Mode string

// The modes that every test runs in.
const (
	EBPF     Mode = "ebpf"
	IPTables Mode = "iptables"
)

// Env is a topology with a daemon on its host.
type Env struct {
	*Topology
	Mode   Mode
	Daemon *Daemon
	// Kept is what the world's Kind has there.
	Kept any

	dir    string
	opts   options
	before snapshot
	// held are the sandboxes' namespaces. They stay open until the test is over,
	// so that no other namespace gets their numbers.
	held    []*Netns
	sandbox []string
	// tenancy is nil for a world that is one test's own.
	tenancy *tenancy
}

type options struct {
	daemonArgs   []string
	config       string
	noDaemon     bool
	allowPrivate bool
	modes        []Mode
	firstPacket  bool
	own          bool
	kind         Kind
	prepare      func(t testing.TB, w *Topology)
}

// shareable are worlds like those of most tests.
func (o *options) shareable() bool {
	return !o.own && !o.noDaemon && !o.firstPacket && o.config == "" && len(o.daemonArgs) == 0 && o.prepare == nil
}

// Option changes how ForEach sets up.
type Option func(*options)

// DaemonArgs adds arguments to those of the daemon.
func DaemonArgs(args ...string) Option { return func(o *options) { o.daemonArgs = args } }

// Config gives the daemon a configuration file with this content.
func Config(yaml string) Option { return func(o *options) { o.config = yaml } }

// NoDaemon leaves the start of the daemon to the test.
func NoDaemon() Option { return func(o *options) { o.noDaemon = true } }

// Shareable reports whether tests with these options take a world that others have left.
func Shareable(opts ...Option) bool {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	return o.shareable()
}

// Own is for tests that change what the harness doesn't see, or need a daemon that has
// seen no other test.
func Own() Option { return func(o *options) { o.own = true } }

// AllowPrivate is for tests of routed networks, whose container addresses are
// meant to be seen outside; all others fail when one leaves the host.
func AllowPrivate() Option { return func(o *options) { o.allowPrivate = true } }

// FirstPacket has the host forward packets, and its rules in FORWARD judge what goes
// between containers and outside, as they always do in the iptables mode.
func FirstPacket() Option { return func(o *options) { o.firstPacket = true } }

// Forwarding makes the host a router, as Docker does.
func Forwarding() Option { return Prepare(func(t testing.TB, w *Topology) { w.forward(t) }) }

// OnlyMode is for tests of what only one mode has.
func OnlyMode(m Mode) Option { return func(o *options) { o.modes = []Mode{m} } }

// Prepare changes the topology before the daemon starts; what is there then has
// to be there after it is gone.
func Prepare(fn func(t testing.TB, w *Topology)) Option {
	return func(o *options) { o.prepare = fn }
}

// ForEach runs fn once per datapath mode, each in a world that no other test is in, and
// in parallel with other tests.
func ForEach(t *testing.T, fn func(t *testing.T, e *Env), opts ...Option) {
	t.Helper()
	t.Parallel()
	o := options{modes: []Mode{EBPF, IPTables}}
	for _, opt := range opts {
		opt(&o)
	}
	for _, mode := range o.modes {
		if !modeWanted(mode) {
			continue
		}
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			fn(t, newEnv(t, mode, o))
		})
	}
}

func (w *Topology) forward(t testing.TB) {
	w.Host.Sysctl(t, "ipv4/ip_forward", "1")
	w.Host.Sysctl(t, "ipv6/conf/all/forwarding", "1")
}

func modeWanted(m Mode) bool {
	list := os.Getenv(EnvModes)
	return list == "" || slices.Contains(strings.Split(list, ","), string(m))
}

func newEnv(t *testing.T, mode Mode, o options) *Env {
	t.Helper()
	if o.shareable() && os.Getenv(EnvFirstPacket) == "" {
		return sharedEnv(t, mode, o)
	}
	dir := testDir(t)
	e := &Env{Topology: NewTopology(t), Mode: mode, dir: dir, opts: o}
	if o.firstPacket || os.Getenv(EnvFirstPacket) != "" {
		e.forward(t)
		if mode == EBPF {
			o.daemonArgs = append(slices.Clone(o.daemonArgs), "--netfilter", "first-packet")
		}
	}
	if o.prepare != nil {
		o.prepare(t, e.Topology)
	}
	if !o.allowPrivate {
		e.guardPrivateSources(t)
	}
	e.before = takeSnapshot(t, e.Host)
	e.Daemon = e.NewDaemon(t, e.Host, o.daemonArgs...)
	if o.config != "" {
		e.Daemon.Args = append(e.Daemon.Args, "--config", e.File(t, "config.yaml", o.config))
	}
	t.Cleanup(func() {
		e.finish(t)
		for _, n := range e.held {
			n.close()
		}
	})
	if !o.noDaemon {
		e.Daemon.Start(t)
	}
	return e
}

// testDir is short, because the path of a unix socket has 107 bytes at most.
func testDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fwt-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("test directory: %v", err)
		}
	})
	return dir
}

// Second turns another namespace into a host of its own: it gets a daemon and is
// checked for residue at the end as the first is.
func (e *Env) Second(t *testing.T, n *Netns, args ...string) *Env {
	t.Helper()
	w := *e.Topology
	w.Host = n
	s := &Env{Topology: &w, Mode: e.Mode, dir: testDir(t), opts: e.opts, before: takeSnapshot(t, n)}
	s.Daemon = s.NewDaemon(t, n, args...)
	t.Cleanup(func() {
		s.finish(t)
		for _, held := range s.held {
			held.close()
		}
	})
	s.Daemon.Start(t)
	return s
}

// File writes a file of the test's own.
func (e *Env) File(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(e.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// Dir makes a directory of the test's own.
func (e *Env) Dir(t testing.TB, name string) string {
	t.Helper()
	dir := filepath.Join(e.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
