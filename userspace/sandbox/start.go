// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"

	"github.com/fairway-project/fairway/userspace/netns"
	"golang.org/x/sys/unix"
)

// Start runs the sandbox's process. It returns once the command itself runs. A
// command that can't be run is a *StartError; nothing is left of it. When the
// process ends, everything else in the sandbox's cgroup is killed.
func (m *Manager) Start(spec Spec) (*Process, error) {
	return m.launch(spec, true)
}

// Exec runs another process in the sandbox, like Start. Its end ends nothing else.
func (m *Manager) Exec(spec Spec) (*Process, error) {
	return m.launch(spec, false)
}

// Reattach watches a process that an earlier daemon started, or returns an error
// that wraps ErrFinished if it is gone. Its exit code will not be known.
func (m *Manager) Reattach(id string, pid int, started uint64) (*Process, error) {
	fd, err := openPidfd(pid)
	if err != nil {
		return nil, fmt.Errorf("sandbox %s: process %d: %w", id, pid, err)
	}
	// Read after the pidfd was opened: what is true of the number now is true of
	// the process that the pidfd refers to.
	now, err := startTime(pid)
	if err == nil && now != started {
		err = ErrFinished
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sandbox %s: process %d: %w", id, pid, err), fd.close())
	}
	p := m.process(id, pid, fd, true)
	p.StartTime = started
	go p.watch(m.log, func() Exit { return Exit{} })
	return p, nil
}

func (m *Manager) launch(spec Spec, main bool) (*Process, error) {
	if err := spec.check(); err != nil {
		return nil, err
	}
	if main && m.cgroup != nil {
		// A cgroup that was killed once kills what is cloned into it later, on
		// kernels that compare its kill_seq with the parent's (seen on 6.18).
		if err := m.cgroup.removeChild(spec.ID); err != nil {
			return nil, err
		}
	}
	p, err := m.begin(spec, main)
	if err != nil && spec.Join != nil && spec.Join.ended() {
		// Whatever it was that failed, this is why.
		return nil, fmt.Errorf("sandbox %s: %w", spec.ID, ErrFinished)
	}
	return p, err
}

// begin starts the child and makes it the command.
func (m *Manager) begin(spec Spec, main bool) (*Process, error) {
	l, err := m.prepare(spec)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sandbox %s: %w", spec.ID, err), l.close())
	}
	pid, fd, err := l.fork()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sandbox %s: start: %w", spec.ID, err), l.close())
	}
	p := m.process(spec.ID, pid, fd, main)
	// The process can't be gone: it is reaped by watch at the earliest. That
	// it has become a zombie already shows in the conversation.
	p.StartTime, err = startTime(pid)
	if errors.Is(err, ErrFinished) {
		err = nil
	}
	go p.watch(m.log, func() Exit { return reap(pid) })
	err = errors.Join(err, l.closeChildEnds(), l.converse(), l.close())
	if err != nil {
		return nil, errors.Join(err, p.Kill())
	}
	return p, nil
}

func (m *Manager) process(id string, pid int, fd *pidfd, main bool) *Process {
	p := &Process{Pid: pid, pidfd: fd, main: main, done: make(chan struct{})}
	p.killGroup = func() error {
		if main && m.cgroup != nil {
			return m.cgroup.kill(id)
		}
		// The process leads a session and so a group of its own.
		if err := unix.Kill(-pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("kill process group %d: %w", pid, err)
		}
		return nil
	}
	return p
}

// launch is what the daemon holds while a process begins.
type launch struct {
	spec   Spec
	setup  setup
	child  []*os.File // descriptors 0, 1, 2... of the child
	own    map[*os.File]bool
	cgroup *os.File
	to     *os.File // the setup is written here
	from   *os.File // and the outcome read here
}

// prepare opens everything the child needs. What it returns has to be closed in
// case of an error too.
func (m *Manager) prepare(spec Spec) (*launch, error) {
	l := &launch{spec: spec, own: map[*os.File]bool{}, setup: setup{
		Command: spec.Command, Env: spec.environment(), Dir: spec.Dir, Nofile: m.nofile,
	}}
	if err := l.openStdio(); err != nil {
		return l, err
	}
	if err := l.openPipes(); err != nil {
		return l, err
	}
	if err := l.openNamespaces(); err != nil {
		return l, err
	}
	if m.cgroup != nil {
		var err error
		if l.cgroup, err = m.cgroup.child(spec.ID); err != nil {
			return l, err
		}
	}
	return l, nil
}

func (l *launch) openStdio() error {
	if l.spec.Stdio != nil {
		l.child = append(l.child, l.spec.Stdio[:]...)
		return nil
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	l.give(null)
	log, err := os.OpenFile(l.spec.Files.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	l.give(log)
	l.child = append(l.child, log)
	return nil
}

func (l *launch) openPipes() error {
	setupEnd, to, err := os.Pipe()
	if err != nil {
		return err
	}
	l.to = to
	l.give(setupEnd)
	from, outcomeEnd, err := os.Pipe()
	if err != nil {
		return err
	}
	l.from = from
	l.give(outcomeEnd)
	return nil
}

// openNamespaces opens the process to join or the network namespace, as
// descriptor namespaceFd.
func (l *launch) openNamespaces() error {
	if l.spec.Join != nil {
		fd, err := l.spec.Join.pidfd.duplicate()
		if err != nil {
			return err
		}
		l.setup.Join = true
		l.give(fd)
		return nil
	}
	l.setup.Hostname, l.setup.Files, l.setup.Hide = l.spec.Hostname, l.spec.Files, l.spec.Hide
	if l.spec.Netns == "" {
		return nil
	}
	if err := netns.Check(l.spec.Netns); err != nil {
		return err
	}
	ns, err := os.Open(l.spec.Netns)
	if err != nil {
		return fmt.Errorf("namespace: %w", err)
	}
	l.setup.Netns = true
	l.give(ns)
	return nil
}

// give makes f the child's next descriptor.
func (l *launch) give(f *os.File) {
	l.child = append(l.child, f)
	l.own[f] = true
}

// fork starts this program again as the child, whose main calls Init.
func (l *launch) fork() (int, *pidfd, error) {
	attr := &syscall.ProcAttr{Env: []string{}, Sys: &syscall.SysProcAttr{Setsid: true, PidFD: new(int)}}
	if l.spec.TTY {
		attr.Sys.Setctty, attr.Sys.Ctty = true, 0
	}
	for _, f := range l.child {
		attr.Files = append(attr.Files, f.Fd())
	}
	if l.cgroup != nil {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(l.cgroup.Fd())
	}
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"fairway", InitArg}, attr)
	runtime.KeepAlive(l)
	if err != nil {
		return 0, nil, err
	}
	if *attr.Sys.PidFD < 0 {
		fd, err := openPidfd(pid)
		return pid, fd, err
	}
	fd, err := newPidfd(*attr.Sys.PidFD)
	return pid, fd, err
}

// converse tells the child what to do and returns how far it came. The child's
// end of the outcome pipe is closed by the exec that makes it the command.
func (l *launch) converse() error {
	if err := json.NewEncoder(l.to).Encode(l.setup); err != nil && !errors.Is(err, unix.EPIPE) {
		return fmt.Errorf("sandbox %s: start: %w", l.spec.ID, err)
	}
	if err := l.to.Close(); err != nil {
		return err
	}
	answer, err := io.ReadAll(l.from)
	if err != nil {
		return fmt.Errorf("sandbox %s: start: %w", l.spec.ID, err)
	}
	return outcome(answer)
}

// outcome reads what the child wrote: ready before it became the command, a
// StartError where it couldn't.
func outcome(answer []byte) error {
	if len(answer) == 0 {
		return &StartError{Code: CodeSetup, Message: "process was killed before it ran the command"}
	}
	if answer[0] == ready {
		answer = answer[1:]
	}
	if len(answer) == 0 {
		return nil
	}
	e := &StartError{}
	if err := json.Unmarshal(answer, e); err != nil {
		return &StartError{Code: CodeSetup, Message: fmt.Sprintf("process was killed before it ran the command: %q", answer)}
	}
	return e
}

// closeChildEnds closes what only the child needs now.
func (l *launch) closeChildEnds() error {
	var errs []error
	for f := range l.own {
		errs = append(errs, f.Close())
	}
	l.own = nil
	if l.cgroup != nil {
		errs = append(errs, l.cgroup.Close())
		l.cgroup = nil
	}
	return errors.Join(errs...)
}

func (l *launch) close() error {
	err := l.closeChildEnds()
	for _, f := range []*os.File{l.to, l.from} {
		if f == nil {
			continue
		}
		if closeErr := f.Close(); closeErr != nil && !errors.Is(closeErr, os.ErrClosed) {
			err = errors.Join(err, closeErr)
		}
	}
	return err
}

// reap collects a child that has ended.
func reap(pid int) Exit {
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return Exit{}
		case status.Signaled():
			return Exit{Code: 128 + int(status.Signal()), Known: true}
		default:
			return Exit{Code: status.ExitStatus(), Known: true}
		}
	}
}
