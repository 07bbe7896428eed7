// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/root"
	"github.com/fairway-project/fairway/userspace/netns"
	"golang.org/x/sys/unix"
)

const testID = "0123456789abcdef"

// TestMain lets the test binary be the program that the manager starts again,
// and the daemon that is killed.
func TestMain(m *testing.M) {
	Init(os.Args)
	if root := os.Getenv("FAIRWAY_TEST_DAEMON"); root != "" {
		testDaemon(root)
	}
	os.Exit(root.Main(m))
}

// newManager returns a manager and checks in the end that it leaves nothing.
func newManager(t *testing.T) *Manager {
	t.Helper()
	dir := t.TempDir()
	m, err := New(filepath.Join(dir, "root"), filepath.Join(dir, "run"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.RemoveAll(); err != nil {
			t.Error(err)
		}
		if info, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(info), dir) {
			t.Errorf("something of %s is mounted on the host (%v)", dir, err)
		}
		if m.cgroup != nil {
			if _, err := os.Stat(m.cgroup.path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("cgroup %s is left: %v", m.cgroup.path, err)
			}
		}
	})
	return m
}

func newNetns(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "netns")
	if err := netns.PrepareDir(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.RemoveDir(dir); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "a")
	if err := netns.Create(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// newSpec returns a sandbox with files and a namespace, which runs script.
func newSpec(t *testing.T, m *Manager, script string) Spec {
	t.Helper()
	files, err := m.Create(testID)
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{files.Hosts: "172.30.0.2 box\n", files.ResolvConf: "nameserver 127.0.0.11\n", files.Hostname: "box\n"} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Spec{ID: testID, Command: []string{"sh", "-c", script}, Netns: newNetns(t), Hostname: "box", Files: files}
}

func start(t *testing.T, m *Manager, spec Spec) *Process {
	t.Helper()
	p, err := m.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// output runs a script in the foreground and returns what it wrote and its code.
func output(t *testing.T, run func(Spec) (*Process, error), spec Spec) (string, int) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	spec.Stdio = &[3]*os.File{null, w, w}
	p, err := run(spec)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	exit := wait(t, p)
	if !exit.Known {
		t.Fatal("the exit code isn't known")
	}
	return string(text), exit.Code
}

func wait(t *testing.T, p *Process) Exit {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	exit, err := p.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return exit
}

// eventually waits for what another process does.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting for: %s", what)
		}
	}
}

func logHas(spec Spec, text string) func() bool {
	return func() bool {
		content, err := os.ReadFile(spec.Files.Log)
		return err == nil && bytes.Contains(content, []byte(text))
	}
}

func TestProcessSeesItsSandbox(t *testing.T) {
	m := newManager(t)
	spec := newSpec(t, m, `cat /etc/hosts /etc/resolv.conf /etc/hostname; hostname; ls /sys/class/net
		echo $0 $PATH $HOSTNAME $HOME $EXTRA; pwd; grep -c . /etc/passwd >/dev/null && echo passwd; umask`)
	spec.Env = []string{"EXTRA=more", "HOME=/nowhere"}
	spec.Dir = "/usr"
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	got, code := output(t, m.Start, spec)
	want := "172.30.0.2 box\nnameserver 127.0.0.11\nbox\nbox\nlo\nsh " + DefaultPath + " box /nowhere more\n/usr\npasswd\n0022\n"
	if got != want || code != 0 {
		t.Errorf("exit code %d, output:\n%s\nwant:\n%s", code, got, want)
	}
	if now, err := os.Hostname(); err != nil || now != host {
		t.Errorf("the host is called %q now, %v", now, err)
	}
	if content, err := os.ReadFile("/etc/hosts"); err == nil && bytes.Contains(content, []byte("172.30.0.2 box")) {
		t.Error("the host sees the sandbox's /etc/hosts")
	}
}

func TestProcessHasItsNamespacesAndSession(t *testing.T) {
	m := newManager(t)
	spec := newSpec(t, m, "exec sleep 1000")
	p := start(t, m, spec)
	dir := filepath.Join("/proc", strconv.Itoa(p.Pid))
	want, err := os.Stat(spec.Netns)
	if err != nil {
		t.Fatal(err)
	}
	if is, err := os.Stat(filepath.Join(dir, "ns/net")); err != nil || !os.SameFile(is, want) {
		t.Errorf("network namespace differs (%v)", err)
	}
	for _, kind := range []string{"mnt", "uts"} {
		mine, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			t.Fatal(err)
		}
		if is, err := os.Readlink(filepath.Join(dir, "ns", kind)); err != nil || is == mine {
			t.Errorf("%s namespace is the host's (%v)", kind, err)
		}
	}
	if sid, err := unix.Getsid(p.Pid); err != nil || sid != p.Pid {
		t.Errorf("session is %d, %v, want %d", sid, err, p.Pid)
	}
	fds, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil || len(fds) != 3 {
		t.Errorf("open descriptors are %v, %v, want three", fds, err)
	}
	if m.cgroup == nil {
		t.Fatal("no cgroup2 mount on this machine")
	}
	procs, err := os.ReadFile(filepath.Join(m.cgroup.path, testID, "cgroup.procs"))
	if err != nil || strings.TrimSpace(string(procs)) != strconv.Itoa(p.Pid) {
		t.Errorf("cgroup holds %q, %v, want %d", procs, err, p.Pid)
	}
	if started, err := startTime(p.Pid); err != nil || started != p.StartTime {
		t.Errorf("start time is %d, %v, want %d", started, err, p.StartTime)
	}
}

func TestMountsBelowSysStay(t *testing.T) {
	m := newManager(t)
	before, err := mounts()
	if err != nil {
		t.Fatal(err)
	}
	got, _ := output(t, m.Start, newSpec(t, m, `awk '{print $5}' /proc/self/mountinfo`))
	for _, point := range below("/sys", before) {
		if !strings.Contains(got, point+"\n") {
			t.Errorf("%s is gone in the sandbox", point)
		}
	}
	if strings.Count(got, "\n/sys\n") < 1 {
		t.Errorf("no sysfs of its own:\n%s", got)
	}
}

// Every process would hold a copy of every other sandbox's namespace else.
func TestNamespacesOfOthersAreHidden(t *testing.T) {
	m := newManager(t)
	spec := newSpec(t, m, `awk '{print $5}' /proc/self/mountinfo`)
	spec.Hide = filepath.Dir(spec.Netns)
	got, code := output(t, m.Start, spec)
	if code != 0 || strings.Contains(got, spec.Hide) {
		t.Errorf("exit code %d, mounts below %s in:\n%s", code, spec.Hide, got)
	}
	if err := netns.Check(spec.Netns); err != nil {
		t.Errorf("the namespace is gone from the host: %v", err)
	}
	spec.Hide = t.TempDir()
	if _, code := output(t, m.Start, spec); code != 0 {
		t.Errorf("exit code %d for a directory that is no mount point", code)
	}
}

func TestHostModeKeepsTheHostsNetwork(t *testing.T) {
	m := newManager(t)
	spec := newSpec(t, m, "readlink /proc/self/ns/net; cat /etc/hosts")
	spec.Netns = ""
	mine, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := output(t, m.Start, spec); got != mine+"\n172.30.0.2 box\n" {
		t.Errorf("got %q", got)
	}
}

func TestExitCodes(t *testing.T) {
	m := newManager(t)
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -9 $$": 137, "kill -TERM $$": 143} {
		if _, code := output(t, m.Start, newSpec(t, m, script)); code != want {
			t.Errorf("%s: exit code %d, want %d", script, code, want)
		}
	}
}

func TestStartSaysWhyNot(t *testing.T) {
	m := newManager(t)
	spec := newSpec(t, m, "")
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	odd := filepath.Join(t.TempDir(), "odd")
	if err := os.WriteFile(odd, []byte("\x00\x01"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		change func(*Spec)
		code   int
		text   string
	}{
		{func(s *Spec) { s.Command = []string{"no-such-command"} }, CodeNotFound, `exec: "no-such-command": executable file not found in $PATH`},
		{func(s *Spec) { s.Command = []string{"/no/such/command"} }, CodeNotFound, "no such file or directory"},
		{func(s *Spec) { s.Command = []string{plain} }, CodeNotExecutable, "permission denied"},
		{func(s *Spec) { s.Command = []string{odd} }, CodeNotExecutable, "exec format error"},
		{func(s *Spec) { s.Env = []string{"PATH=/nowhere"}; s.Command = []string{"sh"} }, CodeNotFound, "not found"},
		{func(s *Spec) { s.Dir = "/no/such/dir" }, CodeSetup, "working directory"},
		{func(s *Spec) { s.Hostname = strings.Repeat("x", 65) }, CodeSetup, "host name"},
	} {
		s := spec
		c.change(&s)
		_, err := m.Start(s)
		var start *StartError
		if !errors.As(err, &start) || start.Code != c.code || !strings.Contains(start.Message, c.text) {
			t.Errorf("got %v, want code %d and %q", err, c.code, c.text)
		}
	}
}

func TestStartRefusesBadSpecs(t *testing.T) {
	m := newManager(t)
	good := newSpec(t, m, "true")
	for _, c := range []struct {
		change func(*Spec)
		text   string
	}{
		{func(s *Spec) { s.Command = nil }, "no command"},
		{func(s *Spec) { s.ID = "../x" }, "not a name"},
		{func(s *Spec) { s.Netns = "/no/such/netns" }, "/no/such/netns"},
		{func(s *Spec) { s.Netns = "/etc/passwd" }, "not a network namespace"},
		{func(s *Spec) { s.Files.Log = "" }, "log"},
	} {
		s := good
		c.change(&s)
		if _, err := m.Start(s); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("got %v, want %q", err, c.text)
		}
	}
}

func TestDetachedProcessWritesItsLog(t *testing.T) {
	m := newManager(t)
	spec := newSpec(t, m, "echo out; echo err >&2; cat; exit 3")
	p, err := m.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	if exit := wait(t, p); exit.Code != 3 || exit.At.IsZero() {
		t.Errorf("got %+v", exit)
	}
	if content, err := os.ReadFile(spec.Files.Log); err != nil || string(content) != "out\nerr\n" {
		t.Errorf("log holds %q, %v", content, err)
	}
	if err := p.Signal(unix.SIGTERM); !errors.Is(err, ErrFinished) {
		t.Errorf("got %v, want ErrFinished", err)
	}
	if err := p.Stop(context.Background(), time.Second); err != nil {
		t.Error(err)
	}
}

// A daemon that has raised its limit of open files for its ports doesn't hand that on,
// which old programs close one by one: neither to the command nor to what is executed
// beside it.
func TestLimitOfOpenFiles(t *testing.T) {
	m := newManager(t)
	m.LimitFiles(unix.Rlimit{Cur: 700, Max: 900})
	spec := newSpec(t, m, "ulimit -S -n; ulimit -H -n; sleep 1000")
	p := start(t, m, spec)
	eventually(t, "the command's limits in its log", logHas(spec, "700\n900\n"))
	beside := Spec{ID: testID, Command: []string{"sh", "-c", "ulimit -S -n; ulimit -H -n"}, Join: p}
	if got, code := output(t, m.Exec, beside); got != "700\n900\n" || code != 0 {
		t.Errorf("beside it: got %q, %d", got, code)
	}
}
