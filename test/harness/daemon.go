// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Daemon is one fairway daemon with directories of its own.
type Daemon struct {
	// Root, RunDir and BPFFS are its directories, Socket is where it listens.
	Root, RunDir, BPFFS, Socket string
	// Mode may be changed between two starts; empty leaves it to the daemon.
	Mode Mode
	// Args follow the harness's own arguments.
	Args []string
	// Binary is started instead of the one under test: an older version's. It may be
	// changed between two starts.
	Binary string
	// Under is a command that runs what follows it in its own place, with limits of its
	// own: prlimit(1), setpriv(1).
	Under []string

	netns   *Netns
	logPath string
	// logged is what earlier tests had it write.
	logged int
	cmd    *exec.Cmd
	exited chan struct{}
	// last is how the last one ended.
	last *os.ProcessState
}

// smallTables are for tests to which the size of the tables doesn't matter: to make full
// ones takes longer than all else at a daemon's start. Arguments of a test's own win, and a file of its own does without.
var smallTables = []string{"--flow-table-size", "8192"}

// NewDaemon prepares a daemon for the namespace n and doesn't start it.
func (e *Env) NewDaemon(t testing.TB, n *Netns, args ...string) *Daemon {
	t.Helper()
	dir, err := os.MkdirTemp(e.dir, "d")
	if err != nil {
		t.Fatal(err)
	}
	d := &Daemon{
		Root: filepath.Join(dir, "root"), RunDir: filepath.Join(dir, "run"),
		BPFFS: filepath.Join("/sys/fs/bpf", e.ID+"-"+filepath.Base(dir)),
		Mode:  e.Mode, Args: args, netns: n, logPath: filepath.Join(dir, "log"),
	}
	d.Socket = filepath.Join(d.RunDir, "fairway.sock")
	t.Cleanup(func() {
		d.end(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("daemon's log:\n%s", d.Log())
		}
	})
	return d
}

// Dirs are the arguments that name the daemon's directories.
func (d *Daemon) Dirs() []string {
	return []string{"--root", d.Root, "--run-dir", d.RunDir, "--bpffs", d.BPFFS}
}

// Start starts the daemon and waits until it answers.
func (d *Daemon) Start(t testing.TB) {
	t.Helper()
	if err := d.TryStart(); err != nil {
		t.Fatalf("start of the daemon: %v\n%s", err, d.Log())
	}
}

// TryStart is Start for daemons that may refuse to.
func (d *Daemon) TryStart() error {
	if err := d.launch(); err != nil {
		return err
	}
	return d.ready()
}

// KillStarting starts the daemon and kills it after that time, ready or not.
func (d *Daemon) KillStarting(t testing.TB, after time.Duration) {
	t.Helper()
	if err := d.launch(); err != nil {
		t.Fatalf("start of the daemon: %v", err)
	}
	select {
	case <-time.After(after):
	case <-d.exited:
	}
	d.Kill(t)
}

func (d *Daemon) launch() error {
	logFile, err := os.OpenFile(d.logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer logFile.Close()
	args := append([]string{"daemon"}, d.Dirs()...)
	if !slices.Contains(d.Args, "--config") {
		args = append(args, smallTables...)
	}
	if d.Mode != "" {
		args = append(args, "--datapath", string(d.Mode))
	}
	binary := cmp.Or(d.Binary, os.Getenv(EnvBinary))
	line := append(append(slices.Clone(d.Under), binary), append(args, d.Args...)...)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	// A signal to the test's group must not end what the test wants to end itself.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.netns.Start(cmd); err != nil {
		return err
	}
	d.cmd, d.exited = cmd, make(chan struct{})
	go func() { _ = cmd.Wait(); close(d.exited) }()
	return nil
}

func (d *Daemon) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for {
		if d.listens() {
			return nil
		}
		select {
		case <-d.exited:
			return fmt.Errorf("daemon ended: %s", d.cmd.ProcessState)
		case <-ctx.Done():
			return errors.New("daemon doesn't listen")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// listens says whether this daemon is who answers at the socket. For some microseconds after
// a daemon was killed that can be a child of its which hasn't called exec yet, and which has
// the listening socket until then.
func (d *Daemon) listens() bool {
	conn, err := net.Dial("unix", d.Socket)
	if err != nil {
		return false
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return false
	}
	var peer *unix.Ucred
	err = raw.Control(func(fd uintptr) { peer, _ = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return err == nil && peer != nil && int(peer.Pid) == d.cmd.Process.Pid
}

// Pid of the running daemon; 0 if it doesn't run.
func (d *Daemon) Pid() int {
	if d.cmd == nil {
		return 0
	}
	return d.cmd.Process.Pid
}

// Kill ends the daemon with SIGKILL, so that it can't tidy up.
func (d *Daemon) Kill(t testing.TB) { t.Helper(); d.end(syscall.SIGKILL) }

// Stop ends the daemon as an init system does and demands exit code 0.
func (d *Daemon) Stop(t testing.TB) {
	t.Helper()
	cmd := d.cmd
	if d.end(syscall.SIGTERM); cmd != nil && cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("daemon after SIGTERM: %s", cmd.ProcessState)
	}
}

func (d *Daemon) end(sig syscall.Signal) {
	if d.cmd == nil {
		return
	}
	_ = d.cmd.Process.Signal(sig)
	// One that is stopped would hear of it never.
	_ = d.cmd.Process.Signal(syscall.SIGCONT)
	select {
	case <-d.exited:
	case <-time.After(Patience):
		_ = d.cmd.Process.Kill()
		<-d.exited
	}
	d.last = d.cmd.ProcessState
	d.cmd = nil
}

// ExitCode is that of the last daemon that ended, -1 for one that a signal ended.
func (d *Daemon) ExitCode() int { return d.last.ExitCode() }

// endsBySelf waits for the end of a daemon that was told to uninstall.
func (d *Daemon) endsBySelf() bool {
	if d.cmd == nil {
		return true
	}
	select {
	case <-d.exited:
		d.cmd = nil
		return true
	case <-time.After(Patience):
		return false
	}
}

// cgroup is the name of the control group that the daemon's sandboxes are below.
func (d *Daemon) cgroup() string {
	sum := sha256.Sum256([]byte(d.RunDir))
	return hex.EncodeToString(sum[:6])
}

// Log returns what the daemon wrote so far.
func (d *Daemon) Log() string {
	raw, _ := os.ReadFile(d.logPath)
	return strings.TrimSpace(string(raw[min(d.logged, len(raw)):]))
}

// forgetLog leaves out of Log what was written so far.
func (d *Daemon) forgetLog() {
	raw, _ := os.ReadFile(d.logPath)
	d.logged = len(raw)
}

// Signal sends a signal to the running daemon.
func (d *Daemon) Signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := d.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}
