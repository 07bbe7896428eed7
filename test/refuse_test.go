// SPDX-License-Identifier: Apache-2.0

package test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
	"github.com/fairway-project/fairway/userspace/docker/setup"
	"github.com/fairway-project/fairway/userspace/store"
)

// A start that is refused leaves nothing, wherever it was refused, and its exit code
// says whether another one may succeed.
func TestRefusedStartLeavesNothing(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		d := e.Daemon
		// Not on a BPF filesystem: one is mounted there.
		d.BPFFS = filepath.Join(e.Dir(t, "above"), "deep", "pins")
		before := harness.LookAtHost(t, e)
		taken := listenOn(t, e.Host, "tcp", "127.0.0.1:9420")
		defer taken.Close()
		socket := func() { mkdir(t, d.Socket) }
		for _, c := range []struct {
			what    string
			code    int
			args    []string
			prepare func()
			only    harness.Mode
		}{
			{what: "wrong value", code: 78, args: []string{"--xdp", "bogus"}},
			{what: "unknown flag", code: 78, args: []string{"--bogus"}},
			{what: "one argument too many", code: 78, args: []string{"bogus"}},
			{what: "unparsable flag", code: 78, args: []string{"--masquerade-ports", "many"}},
			{what: "unknown key", code: 78, args: []string{"--config", e.File(t, "bad.yaml", "rooot: /x\n")}},
			{what: "no configuration file", code: 78, args: []string{"--config", "/nowhere"}},
			{what: "address without port", code: 78, args: []string{"--metrics", "localhost"}},
			{what: "address that is taken", code: 1, args: []string{"--metrics", "127.0.0.1:9420"}},
			{what: "driver without XDP", code: 1, args: []string{"--uplink", "brx", "--xdp", "native"}, only: harness.EBPF},
			// Found out last of all, with everything made.
			{what: "socket that can't be", code: 1, prepare: socket},
		} {
			if c.only != "" && c.only != e.Mode {
				continue
			}
			if c.prepare != nil {
				c.prepare()
			}
			d.Args = c.args
			refuses(t, d, c.what, func() error { return nil })
			if code := d.ExitCode(); code != c.code {
				t.Errorf("%s: exit code %d, want %d", c.what, code, c.code)
			}
			if c.prepare != nil {
				if err := errors.Join(os.Remove(d.Socket), os.Remove(d.RunDir)); err != nil {
					t.Errorf("%s: %v", c.what, err)
				}
			}
			gone(t, c.what, d.Root, d.RunDir, filepath.Dir(d.BPFFS))
			if diff := before.Diff(harness.LookAtHost(t, e)); diff != "" {
				t.Errorf("%s leaves:\n%s", c.what, diff)
			}
		}
		d.Args = nil
		d.Start(t)
	}, harness.NoDaemon(), harness.Prepare(func(t testing.TB, w *harness.Topology) { w.Host.IP(t, "link add brx type bridge") }))
}

// After a setup of a Docker Engine the first start finds a state file, which stays. However
// often a start is refused then, nothing else is left.
func TestRefusedStartAfterSetupLeavesNothing(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		d := e.Daemon
		if err := (setup.AtRest{Root: d.Root}).Keep(t.Context(), []byte("{}")); err != nil {
			t.Fatal(err)
		}
		before := harness.LookAtHost(t, e)
		for range 2 {
			// Found out last of all, with everything made.
			refuses(t, d, "socket that can't be", func() error { return os.MkdirAll(d.Socket, 0o700) })
			if diff := before.Diff(harness.LookAtHost(t, e)); diff != "" {
				t.Errorf("left:\n%s", diff)
			}
			state, err := store.Open(filepath.Join(d.Root, store.FileName))
			if err != nil {
				t.Fatal(err)
			}
			bare, err := state.Bare()
			if err := errors.Join(err, state.Close()); err != nil || !bare {
				t.Errorf("the state has networks (%v)", err)
			}
		}
		if err := errors.Join(os.Remove(d.Socket), (setup.AtRest{Root: d.Root}).Forget(t.Context())); err != nil {
			t.Fatal(err)
		}
		d.Start(t)
	}, harness.NoDaemon())
}

// A start that is refused beside a state takes nothing from it, nor from what goes on.
func TestRefusedStartTakesNothing(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		serve(t, c1.Netns, 80, "c1")
		before := harness.Look(t, e)
		e.Daemon.Kill(t)
		refuses(t, e.Daemon, "socket that can't be", func() error { return errors.Join(os.Remove(e.Daemon.Socket), os.Mkdir(e.Daemon.Socket, 0o700)) })
		if e.Mode == harness.EBPF {
			harness.Reaches(t, e.LAN1, harness.HostIP4, 8080, "c1")
		}
		if err := os.Remove(e.Daemon.Socket); err != nil {
			t.Fatal(err)
		}
		e.Daemon.Start(t)
		harness.Reaches(t, e.LAN1, harness.HostIP4, 8080, "c1")
		if diff := before.Diff(harness.Look(t, e)); diff != "" {
			t.Errorf("after a start that was refused:\n%s", diff)
		}
	}, harness.Restarts())
}

// With a mistyped root a start finds another state's sandboxes and rules in its way: it is
// refused and leaves them what they are, whether a sandbox runs or not.
func TestRefusedStartWithAnotherRoot(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		d, root := e.Daemon, e.Daemon.Root
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		serve(t, c1.Netns, 80, "c1")
		refused := func(words ...string) {
			t.Helper()
			d.Kill(t)
			before := harness.LookAtHost(t, e)
			d.Root = filepath.Join(e.Dir(t, "mistyped"), "root")
			refuses(t, d, "another root", func() error { return nil }, words...)
			gone(t, "another root", d.Root)
			if diff := before.Diff(harness.LookAtHost(t, e)); diff != "" {
				t.Errorf("after a start that was refused:\n%s", diff)
			}
			d.Root = root
			d.Start(t)
		}
		refused(d.RunDir, "sandboxes of another root", "fairway uninstall --root")
		harness.Reaches(t, e.LAN1, harness.HostIP4, 8080, "c1")
		e.Fairway(t, "rm", "-f", "c1")
		refused("fairway0")
	}, harness.Restarts())
}

// gone demands that nothing is at these paths.
func gone(t *testing.T, what string, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			list, _ := filepath.Glob(filepath.Join(path, "*"))
			t.Errorf("%s leaves %s (%v): %s", what, path, err, strings.Join(list, " "))
		}
	}
}

func mkdir(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}

// listenOn takes an address in a namespace.
func listenOn(t *testing.T, n *harness.Netns, network, address string) (l net.Listener) {
	t.Helper()
	err := n.Do(func() (err error) { l, err = net.Listen(network, address); return err })
	if err != nil {
		t.Fatal(err)
	}
	return l
}
