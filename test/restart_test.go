// SPDX-License-Identifier: Apache-2.0

package test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
	"golang.org/x/sys/unix"
)

// killWorld is a host with networks a, b and internal i, a published c1, and
// flows over every walk.
type killWorld struct {
	*harness.Env
	c1, c2, c3, c4 *harness.Sandbox
	flows          *harness.Flows
}

func newKillWorld(t *testing.T, e *harness.Env) *killWorld {
	t.Helper()
	e.Network(t, "a", numA)
	e.Network(t, "b", numB)
	e.Network(t, "i", numI, "--internal")
	w := &killWorld{Env: e, flows: harness.NewFlows(t),
		c1: e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp", "-p", "127.0.0.1:9090:90"),
		c2: e.Sandbox(t, "c2", "--network", "a"),
		c3: e.Sandbox(t, "c3", "--network", "b"),
		c4: e.Sandbox(t, "c4", "--network", "i"),
	}
	serve(t, w.c1.Netns, 80, "c1")
	serve(t, w.c1.Netns, 90, "c1")
	serve(t, e.WAN, 80, "wan")
	routeTo(t, e.LAN2, numA)
	for _, f := range []harness.Family{harness.V4(), harness.V6()} {
		for from, dst := range w.walks(t, f) {
			w.flows.TCP(t, from, dst)
			w.flows.UDP(t, from, dst)
		}
	}
	return w
}

// walks has one destination for every namespace that may talk.
func (w *killWorld) walks(t *testing.T, f harness.Family) map[*harness.Netns]string {
	return map[*harness.Netns]string{
		w.LAN1:     at(f.Host, 8080),
		w.Host:     at(f.Host, 8080),
		w.c2.Netns: at(w.c1.IP(t, "a", f), 80),
		w.c1.Netns: at(f.WAN, 80),
		w.c3.Netns: at(f.Host, 8080),
	}
}

// forbid adds REL-03's probes: what is forbidden must not succeed for a moment.
func (w *killWorld) forbid(t *testing.T) {
	t.Helper()
	for _, f := range []harness.Family{harness.V4(), harness.V6()} {
		w.flows.Forbidden(w.LAN2, at(w.c1.IP(t, "a", f), 80))
		w.flows.Forbidden(w.c3.Netns, at(w.c1.IP(t, "a", f), 80))
		w.flows.Forbidden(w.c4.Netns, at(f.WAN, 80))
	}
}

// fresh makes new connections over every walk.
func (w *killWorld) fresh(t *testing.T, when string) {
	t.Helper()
	for _, f := range []harness.Family{harness.V4(), harness.V6()} {
		for from, dst := range w.walks(t, f) {
			for name, probe := range harness.Probes() {
				if _, err := probe(from, dst); err != nil {
					t.Errorf("%s: new %s connection %s → %s: %v", when, name, from.Name, dst, err)
				}
			}
		}
	}
	if _, err := harness.GetTCP(w.Host, "127.0.0.1:9090"); err != nil {
		t.Errorf("%s: port on loopback: %v", when, err)
	}
	if w.Daemon.Pid() == 0 {
		_, err := harness.GetTCP(w.Host, "[::1]:8080", harness.Answer(w.Protects("REL-02")))
		w.Expect(t, "REL-02", fmt.Sprintf("%s: port on ::1: %v", when, err), err == nil)
	}
}

// REL-01, REL-02, REL-03: the daemon is killed, stays dead and comes back;
// nothing is lost, everything new works, nothing forbidden ever succeeds.
func TestDaemonKilledUnderTraffic(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		w := newKillWorld(t, e)
		w.forbid(t)
		w.flows.Advance(t, 200)
		for range 2 {
			e.Daemon.Kill(t)
			w.flows.Advance(t, 400)
			w.fresh(t, "daemon dead")
			e.Daemon.Start(t)
			w.flows.Advance(t, 400)
			w.fresh(t, "daemon back")
		}
		w.flows.Stop(t)
		if in := e.Inspect(t, "c1"); !in.State.Running || in.State.Pid != w.c1.State.Pid {
			t.Errorf("c1 after two kills: %+v, was pid %d", in.State, w.c1.State.Pid)
		}
	}, harness.Restarts())
}

// A stop in good order changes as little.
func TestDaemonStoppedUnderTraffic(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		w := newKillWorld(t, e)
		w.flows.Advance(t, 200)
		e.Daemon.Stop(t)
		w.flows.Advance(t, 400)
		w.fresh(t, "daemon stopped")
		e.Daemon.Start(t)
		w.fresh(t, "daemon back")
		w.flows.Stop(t)
	}, harness.Restarts())
}

// A sandbox that ends while nobody watches is noticed at the next start.
func TestSandboxEndsWhileDaemonIsDead(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80")
		e.Daemon.Kill(t)
		if err := unix.Kill(c1.State.Pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, "the sandbox ends", func() error {
			if _, err := os.Stat(fmt.Sprint("/proc/", c1.State.Pid)); !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("its process is there: %v", err)
			}
			return nil
		})
		e.Daemon.Start(t)
		if in := e.Inspect(t, "c1"); in.State.Running {
			t.Errorf("c1 is said to run: %+v", in.State)
		}
		// Its port is free again.
		e.Sandbox(t, "c2", "--network", "a", "-p", "8080:80")
	}, harness.Restarts())
}

// REL-07: a state file that can't be read is named, the daemon doesn't start,
// and what is there goes on.
func TestUnreadableState(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80")
		serve(t, c1.Netns, 80, "c1")
		e.Daemon.Stop(t)
		state := filepath.Join(e.Daemon.Root, "state.db")
		good, err := os.ReadFile(state)
		if err != nil {
			t.Fatal(err)
		}
		garbled := append([]byte(strings.Repeat("garbage ", 1024)), good[8192:]...)
		for what, content := range map[string][]byte{"garbled": garbled, "truncated": good[:5000], "text": []byte("no database\n")} {
			refuses(t, e.Daemon, what, func() error { return os.WriteFile(state, content, 0o600) }, "state.db")
			if _, err := harness.GetTCP(e.LAN1, at(harness.HostIP4, 8080)); err != nil {
				t.Errorf("%s: published port: %v", what, err)
			}
		}
		if err := os.WriteFile(state, good, 0o600); err != nil {
			t.Fatal(err)
		}
		e.Daemon.Start(t)
		harness.Eventually(t, "c1", func() error { _, err := harness.GetTCP(e.LAN1, at(harness.HostIP4, 8080)); return err })
	}, harness.Restarts())
}

// refuses prepares something and demands that the daemon doesn't start and that
// its last line says why, with every one of the words.
func refuses(t *testing.T, d *harness.Daemon, what string, prepare func() error, words ...string) {
	t.Helper()
	if err := prepare(); err != nil {
		t.Fatal(err)
	}
	before := len(d.Log())
	if err := d.TryStart(); err == nil {
		d.Kill(t)
		t.Errorf("%s: the daemon starts", what)
		return
	}
	d.Kill(t)
	lines := strings.Split(strings.TrimSpace(d.Log()[before:]), "\n")
	last := lines[len(lines)-1]
	if !strings.HasPrefix(last, "fairway: ") {
		t.Errorf("%s: the daemon's last line is %q, want fairway: ...", what, last)
	}
	for _, w := range words {
		if !strings.Contains(last, w) {
			t.Errorf("%s: %q doesn't name %q", what, last, w)
		}
	}
}

// REL-07: a full disk is named too.
func TestFullDisk(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		root := e.Dir(t, "full")
		if err := unix.Mount("tmpfs", root, "tmpfs", 0, "size=4k"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(root, unix.MNT_DETACH) })
		d := e.Daemon
		good := d.Root
		d.Root = root
		refuses(t, d, "full disk", func() error { return os.WriteFile(filepath.Join(root, "fill"), make([]byte, 4096), 0o600) }, "no space left")
		d.Root = good
		d.Start(t)
	}, harness.NoDaemon())
}

// REL-15: a second daemon on the same directories refuses.
func TestSecondDaemonRefuses(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		second := e.NewDaemon(t, e.Host)
		own := *second
		second.Root, second.Socket = e.Daemon.Root, filepath.Join(second.RunDir, "fairway.sock")
		refuses(t, second, "same root", func() error { return nil }, second.Root)
		*second = own
		second.RunDir = e.Daemon.RunDir
		second.Socket = filepath.Join(second.Root, "nowhere")
		refuses(t, second, "same run directory", func() error { return nil }, second.RunDir)
		e.Must(t, "network", "ls")
	})
}
