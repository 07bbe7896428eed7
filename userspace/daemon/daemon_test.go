// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/root"
	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/store"
)

func testConfig(t *testing.T) Config {
	c := Default()
	c.Datapath = datapath.IPTables
	c.Root, c.RunDir = filepath.Join(t.TempDir(), "root"), filepath.Join(t.TempDir(), "run")
	return c
}

func TestSecondDaemonIsRefused(t *testing.T) {
	c := testConfig(t)
	first, err := lockDirs(c)
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]Config{
		"same root": {Root: c.Root, RunDir: t.TempDir()}, "same run-dir": {Root: t.TempDir(), RunDir: c.RunDir},
	} {
		if _, err := lockDirs(other); !errors.Is(err, ErrRunning) || !strings.Contains(err.Error(), "PID") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := first.release(); err != nil {
		t.Fatal(err)
	}
	again, err := lockDirs(c)
	if err != nil {
		t.Fatalf("after the end of the first: %v", err)
	}
	if err := again.release(); err != nil {
		t.Error(err)
	}
}

// Directories that the daemon makes are closed to others; one that was there, like
// /tmp, is as it was, the socket in it closed nevertheless.
func TestModesOfDirectories(t *testing.T) {
	shared := filepath.Join(t.TempDir(), "shared")
	const open = 0o777 | os.ModeSticky
	if err := errors.Join(os.Mkdir(shared, 0o700), os.Chmod(shared, open)); err != nil {
		t.Fatal(err)
	}
	c := testConfig(t)
	for dir, want := range map[string]os.FileMode{c.RunDir: 0o750, shared: open} {
		l, err := lockDirs(Config{Root: c.Root, RunDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		socket, err := api.Listen(filepath.Join(dir, api.SocketName))
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]os.FileMode{dir: want | os.ModeDir, socket.Addr().String(): 0o660 | os.ModeSocket, c.Root: 0o711 | os.ModeDir} {
			if info, err := os.Stat(path); err != nil || info.Mode() != want {
				t.Errorf("%s: %v, %v, want %v", path, info.Mode(), err, want)
			}
		}
		if err := errors.Join(socket.Close(), l.release()); err != nil {
			t.Error(err)
		}
	}
}

// Pinned maps are one daemon's, whatever its other directories.
func TestPinsAreOneDaemons(t *testing.T) {
	c := testConfig(t)
	c.Datapath, c.BPFFS = datapath.EBPF, filepath.Join("/sys/fs/bpf", "fairway-test-lock-"+strconv.Itoa(os.Getpid()))
	t.Cleanup(func() { _ = os.Remove(c.BPFFS) })
	first, err := lockBPFFS(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []datapath.Mode{datapath.EBPF, datapath.IPTables} {
		other := c
		other.Datapath = mode
		if f, err := lockBPFFS(other); !errors.Is(err, ErrRunning) || !strings.Contains(err.Error(), c.BPFFS) {
			t.Errorf("%s: got %v, %v", mode, f, err)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := lockBPFFS(c)
	if err != nil {
		t.Fatalf("after the end of the first: %v", err)
	}
	if err := errors.Join(again.Close(), os.Remove(c.BPFFS)); err != nil {
		t.Error(err)
	}
	c.Datapath = datapath.IPTables
	if f, err := lockBPFFS(c); f != nil || err != nil {
		t.Errorf("nothing pinned: got %v, %v", f, err)
	}
}

func TestNamespaceIsOneDaemons(t *testing.T) {
	root.Need(t)
	dir := filepath.Join(t.TempDir(), "netns")
	if err := netns.PrepareDir(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.RemoveDir(dir); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "host")
	if err := netns.Create(path); err != nil {
		t.Fatal(err)
	}
	lock := func(want bool) (f *os.File) {
		t.Helper()
		err := netns.Do(path, func() (err error) { f, err = lockNamespace(); return err })
		if err != nil || (f != nil) != want {
			t.Errorf("got %v, %v, want a lock: %v", f, err, want)
		}
		return f
	}
	first := lock(true)
	lock(false)
	first.Close()
	lock(true).Close()
}

// Where another daemon has the namespace, the datapath is told.
func TestOthersAreTold(t *testing.T) {
	for _, alone := range []bool{false, true} {
		d := &daemon{config: testConfig(t), alone: alone}
		if c := d.ebpfConfig(); c.Others == alone {
			t.Errorf("alone %t: others %t", alone, c.Others)
		}
	}
}

func TestLongSocketPathTouchesNothing(t *testing.T) {
	root.Need(t)
	c := testConfig(t)
	c.RunDir = filepath.Join(t.TempDir(), strings.Repeat("d", 100))
	if err := Run(context.Background(), c, Parts{}); err == nil || !strings.Contains(err.Error(), "--run-dir") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(c.Root); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("root was made: %v", err)
	}
}

func TestOneDirectoryForBoth(t *testing.T) {
	dir := t.TempDir()
	l, err := lockDirs(Config{Root: dir, RunDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.release(); err != nil {
		t.Error(err)
	}
}

func TestUnreadableStateTouchesNothing(t *testing.T) {
	c := testConfig(t)
	if err := os.MkdirAll(c.Root, 0o755); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(c.Root, "state.db")
	if err := os.WriteFile(state, []byte(strings.Repeat("not a state file ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	d := newDaemon(c, Parts{})
	err = errors.Join(d.open(context.Background()), d.close())
	if !errors.Is(err, store.ErrForeign) || !strings.Contains(err.Error(), state) {
		t.Errorf("got %v, want it to explain %s", err, state)
	}
	after, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	if len(before) != len(after) {
		t.Errorf("devices before %v, after %v", before, after)
	}
	if _, err := os.Stat(filepath.Join(c.Root, modeFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the datapath was noted as used: %v", err)
	}
}

func TestModesAreRemembered(t *testing.T) {
	c := testConfig(t)
	if err := os.MkdirAll(c.Root, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		mode   datapath.Mode
		others []datapath.Mode
		done   bool
	}{
		{datapath.IPTables, nil, true},
		{datapath.IPTables, nil, true},
		// Killed before the switch was over: both may have objects.
		{datapath.EBPF, []datapath.Mode{datapath.IPTables}, false},
		{datapath.IPTables, []datapath.Mode{datapath.EBPF}, true},
		{datapath.IPTables, nil, true},
	} {
		c.Datapath = step.mode
		others, err := noteSwitch(c)
		if err != nil || !slices.Equal(others, step.others) {
			t.Errorf("%s: others %v, %v, want %v", step.mode, others, err, step.others)
		}
		if step.done {
			if err := noteModes(c.Root, c.Datapath); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestNotifySystemd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	if err := notifySystemd("READY=1"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 32)
	n, err := conn.Read(got)
	if err != nil || string(got[:n]) != "READY=1" {
		t.Errorf("got %q, %v", got[:n], err)
	}
	t.Setenv("NOTIFY_SOCKET", "")
	if err := notifySystemd("READY=1"); err != nil {
		t.Errorf("nobody there: %v", err)
	}
}
