// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/userspace/netns"
)

// output runs a command in a namespace.
func output(ctx context.Context, path string, env []string, stdin, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Stdin = env, strings.NewReader(stdin)
	cmd.WaitDelay = time.Second
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := netns.Do(path, cmd.Start); err != nil {
		return "", notInstalled(name, err)
	}
	if err := cmd.Wait(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.Join(strings.Fields(errs.String()), " "))
	}
	return out.String(), nil
}

// notInstalled makes the lack of a program the lack of the arm.
func notInstalled(name string, err error) error {
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%w: %s isn't installed", plan.ErrUnavailable, name)
	}
	return err
}

// find is exec.LookPath with such an error.
func find(name string) (string, error) {
	path, err := exec.LookPath(name)
	return path, notInstalled(name, err)
}

// service is a program that runs as long as the world does.
type service struct {
	cmd     *exec.Cmd
	exited  chan struct{}
	logPath string
}

// startService starts a program in a namespace, in a process group of its own: an
// interrupt on the terminal ends the benchmark, which ends its services in order.
func startService(path, logPath string, env []string, name string, args ...string) (*service, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s := &service{cmd: exec.Command(name, args...), exited: make(chan struct{}), logPath: logPath}
	s.cmd.Env, s.cmd.Stdout, s.cmd.Stderr = env, log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := netns.Do(path, s.cmd.Start); err != nil {
		return nil, notInstalled(name, err)
	}
	go func() { _ = s.cmd.Wait(); close(s.exited) }()
	return s, nil
}

// ready waits until probe has no error.
func (s *service) ready(ctx context.Context, probe func() error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := probe()
		if err == nil {
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("%s: ended with %s: %s", filepath.Base(s.cmd.Path), s.cmd.ProcessState, s.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("%s: doesn't answer: %w: %s", filepath.Base(s.cmd.Path), err, s.lastWords())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// lastWords are the last lines of the log.
func (s *service) lastWords() string {
	raw, _ := os.ReadFile(s.logPath)
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], " | ")
}

// stop asks it to end, and makes it after a while. Its own children are its own to
// end. One that was never started is no error.
func (s *service) stop() error {
	if s == nil {
		return nil
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
		return nil
	case <-time.After(20 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.exited
		return fmt.Errorf("%s: went on after SIGTERM: %s", filepath.Base(s.cmd.Path), s.lastWords())
	}
}
