// SPDX-License-Identifier: Apache-2.0

package child

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// Process is a child. Its methods are for one goroutine at a time.
type Process struct {
	name    string
	place   Place
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	answers *json.Decoder
	stderr  bytes.Buffer
	exited  sync.Once
	status  error
}

// Start starts this program as the role of that name, with env added to the
// environment. The caller closes the process.
func Start(p Place, role string, env ...string) (*Process, error) {
	c := &Process{name: role, place: p, cmd: exec.Command("/proc/self/exe", role)}
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.Stderr = &c.stderr
	stdin, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, stdin.Close())
	}
	c.stdin, c.answers = stdin, json.NewDecoder(stdout)
	if err := Command(p, c.cmd); err != nil {
		return nil, fmt.Errorf("%s: %w", c, errors.Join(err, stdin.Close(), stdout.Close()))
	}
	return c, nil
}

func (c *Process) String() string { return c.name + " in " + c.place.String() }

// PID of the process.
func (c *Process) PID() int { return c.cmd.Process.Pid }

// Send sends one request.
func (c *Process) Send(request any) error {
	line, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if _, err := c.stdin.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("%s: %w", c, errors.Join(err, c.Close()))
	}
	return nil
}

// Receive waits for one answer. A child that doesn't give it in time is killed.
func (c *Process) Receive(ctx context.Context, answer any) error {
	stop := context.AfterFunc(ctx, func() { _ = c.cmd.Process.Kill() })
	defer stop()
	if err := c.answers.Decode(answer); err != nil {
		return fmt.Errorf("%s: %w", c, errors.Join(ctx.Err(), err, c.Close()))
	}
	return nil
}

// patience is how long a child may take to end.
const patience = 30 * time.Second

// Close ends the process. Closing twice is no error.
func (c *Process) Close() error {
	err := c.stdin.Close()
	if errors.Is(err, os.ErrClosed) {
		err = nil
	}
	timer := time.AfterFunc(patience, func() { _ = c.cmd.Process.Kill() })
	defer timer.Stop()
	c.exited.Do(func() { c.status = c.cmd.Wait() })
	if c.status != nil {
		return errors.Join(err, fmt.Errorf("%s: %w\n%s", c, c.status, c.stderr.String()))
	}
	return err
}
