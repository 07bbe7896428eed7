// SPDX-License-Identifier: Apache-2.0

package netns

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// namespaces returns a prepared directory and checks in the end that nothing is
// left of it.
func namespaces(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "netns")
	if err := PrepareDir(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := RemoveDir(dir); err != nil {
			t.Error(err)
		}
		if mounted(t, dir) {
			t.Errorf("%s or something in it is still mounted", dir)
		}
	})
	return dir
}

func mounted(t *testing.T, path string) bool {
	t.Helper()
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(info), path)
}

func create(t *testing.T, path string) {
	t.Helper()
	if err := Create(path); err != nil {
		t.Fatal(err)
	}
}

func TestCreateMakesANamespaceWithLoopback(t *testing.T) {
	path := filepath.Join(namespaces(t), "a")
	create(t, path)
	var addrs []net.Addr
	err := Do(path, func() (err error) {
		addrs, err = net.InterfaceAddrs()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, a := range addrs {
		got[a.String()] = true
	}
	if !got["127.0.0.1/8"] || !got["::1/128"] || len(got) != 2 {
		t.Fatalf("addresses are %v, want 127.0.0.1/8 and ::1/128", addrs)
	}
}

func TestCreateRefusesWhatIsThere(t *testing.T) {
	dir := namespaces(t)
	path := filepath.Join(dir, "a")
	create(t, path)
	before, err := idOf(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := Create(path); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("got %v, want fs.ErrExist", err)
	}
	if after, err := idOf(path); err != nil || after != before {
		t.Fatalf("namespace is %v, %v, want the old one %v", after, err, before)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Create(file); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("got %v, want fs.ErrExist", err)
	}
	if content, err := os.ReadFile(file); err != nil || string(content) != "mine" {
		t.Fatalf("file holds %q, %v", content, err)
	}
}

// A file without a mount is what a reboot leaves where /run is on a disk.
func TestCreateReplacesLeftoverFile(t *testing.T) {
	path := filepath.Join(namespaces(t), "a")
	if err := os.WriteFile(path, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := Check(path); !errors.Is(err, ErrNotNetns) {
		t.Fatalf("got %v, want ErrNotNetns", err)
	}
	create(t, path)
	if err := Check(path); err != nil {
		t.Fatal(err)
	}
}

func TestDeleteIsIdempotent(t *testing.T) {
	path := filepath.Join(namespaces(t), "a")
	create(t, path)
	for range 2 {
		if err := Delete(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := Check(path); !errors.Is(err, ErrNotExist) {
		t.Fatalf("got %v, want ErrNotExist", err)
	}
}

// A mount namespace that was copied while the name existed must not keep the
// namespace alive.
func TestDeleteReachesOtherMountNamespaces(t *testing.T) {
	path := filepath.Join(namespaces(t), "a")
	create(t, path)
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	other := filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), "mountinfo")
	for !ownMounts(t, cmd.Process.Pid) {
		runtime.Gosched()
	}
	if info, err := os.ReadFile(other); err != nil || !strings.Contains(string(info), path) {
		t.Fatalf("the copy doesn't have the mount (%v): the test shows nothing", err)
	}
	if err := Delete(path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.ReadFile(other); err != nil || strings.Contains(string(info), path) {
		t.Fatalf("the copy still has the mount (%v)", err)
	}
}

func ownMounts(t *testing.T, pid int) bool {
	t.Helper()
	mine, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "ns/mnt"))
	if err != nil {
		t.Fatal(err)
	}
	return mine != theirs
}

func TestPrepareDirIsIdempotentAndKeepsNamespaces(t *testing.T) {
	dir := namespaces(t)
	path := filepath.Join(dir, "a")
	create(t, path)
	if err := PrepareDir(dir); err != nil {
		t.Fatal(err)
	}
	if err := Check(path); err != nil {
		t.Fatal(err)
	}
	if err := RemoveDir(filepath.Join(dir, "missing")); err != nil {
		t.Fatal(err)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		path string
		want error
		text string
	}{
		{filepath.Join(dir, "missing"), ErrNotExist, "missing"},
		{"/proc/4194305/ns/net", ErrNotExist, "no process with PID 4194305"},
		{dir, ErrNotNetns, "not a network namespace"},
		{"/proc/self/ns/mnt", ErrNotNetns, "/proc/self/ns/mnt: not a network namespace"},
		{"/dev/null", ErrNotNetns, "not a network namespace"},
	} {
		err := Check(c.path)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %v, want %q", c.path, err, c.text)
		}
	}
}

func TestDoRunsInsideAndComesBack(t *testing.T) {
	path := filepath.Join(namespaces(t), "a")
	create(t, path)
	want, err := idOf(path)
	if err != nil {
		t.Fatal(err)
	}
	home, err := idOf("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	wrong := errors.New("from inside")
	err = Do(path, func() error {
		if is, err := idOf("/proc/thread-self/ns/net"); err != nil || is != want {
			t.Errorf("inside: %v, %v, want %v", is, err, want)
		}
		return wrong
	})
	if !errors.Is(err, wrong) {
		t.Fatalf("got %v, want the function's error", err)
	}
	tasks, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil || len(tasks) == 0 {
		t.Fatal(tasks, err)
	}
	for _, task := range tasks {
		if is, err := idOf(task); err == nil && is != home {
			t.Errorf("%s is still %v", task, is)
		}
	}
}

// What reads /proc/self/ns/net or /proc/net meanwhile has to see the process's own
// namespace. There are more calls at once than idle threads, so that every thread
// that can be taken is.
func TestFirstThreadStays(t *testing.T) {
	path := filepath.Join(namespaces(t), "a")
	create(t, path)
	const calls = 64
	var inside, done sync.WaitGroup
	inside.Add(calls)
	for range calls {
		done.Go(func() {
			err := Do(path, func() error {
				if isFirstThread() {
					t.Error("the first thread is in the namespace")
				}
				inside.Done()
				inside.Wait()
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
}

func TestDoSurvivesGoexit(t *testing.T) {
	path := filepath.Join(namespaces(t), "a")
	create(t, path)
	if err := Do(path, func() error { runtime.Goexit(); return nil }); err == nil {
		t.Fatal("got no error")
	}
}

func TestCookie(t *testing.T) {
	dir := namespaces(t)
	seen := map[uint64]string{}
	for _, name := range []string{"a", "b"} {
		path := filepath.Join(dir, name)
		create(t, path)
		cookie, err := Cookie(path)
		if err != nil || cookie == 0 {
			t.Fatalf("cookie %d, %v", cookie, err)
		}
		if again, err := Cookie(path); err != nil || again != cookie {
			t.Fatalf("cookie %d, %v the second time, %d the first", again, err, cookie)
		}
		if other, ok := seen[cookie]; ok {
			t.Fatalf("%s and %s have the same cookie", name, other)
		}
		seen[cookie] = name
	}
}

func TestHandleWorksInside(t *testing.T) {
	path := filepath.Join(namespaces(t), "a")
	create(t, path)
	ns, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	h, err := ns.Handle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if _, err := h.LinkByName("eth0"); err == nil {
		t.Fatal("a fresh namespace has eth0")
	}
	if _, err := h.LinkByName("lo"); err != nil {
		t.Fatal(err)
	}
}

func idOf(path string) (ID, error) {
	ns, err := Open(path)
	if err != nil {
		return ID{}, err
	}
	defer ns.Close()
	return ns.ID()
}

// A path is asked for what it names without opening it: neither a file that
// isn't a namespace nor a gone one is an error.
func TestIDIs(t *testing.T) {
	dir := namespaces(t)
	one, two, file := filepath.Join(dir, "one"), filepath.Join(dir, "two"), filepath.Join(t.TempDir(), "file")
	create(t, one)
	create(t, two)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ns, err := Open(one)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	id, err := ns.ID()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{one: true, two: false, file: false, filepath.Join(dir, "gone"): false} {
		if got := id.Is(path); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}

// A connection is the namespace's, and a wait for who doesn't answer ends with the
// context.
func TestDial(t *testing.T) {
	path := filepath.Join(namespaces(t), "a")
	create(t, path)
	ns, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	var l net.Listener
	if err := ns.Do(func() (err error) { l, err = net.Listen("tcp", "[::1]:0"); return err }); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := netip.MustParseAddrPort(l.Addr().String())
	c, err := ns.Dial(t.Context(), unix.SOCK_STREAM, at)
	if err != nil || c.RemoteAddr().String() != at.String() {
		t.Fatalf("connected to %v, %v, want %s", c, err, at)
	}
	c.Close()
	l.Close()
	if _, err := ns.Dial(t.Context(), unix.SOCK_STREAM, at); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("nobody listens: %v, want ECONNREFUSED", err)
	}
	if _, err := ns.Dial(t.Context(), unix.SOCK_DGRAM, netip.MustParseAddrPort("192.0.2.1:53")); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("no route: %v, want ENETUNREACH", err)
	}
}
