// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// DefaultPath is the PATH of processes that are given none, as in Docker.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Exit codes for a command that didn't start, as in Docker and chroot(1).
const (
	CodeSetup         = 125
	CodeNotExecutable = 126
	CodeNotFound      = 127
)

// ErrFinished is returned for a process that has ended.
var ErrFinished = errors.New("process has finished")

// StartError says why a command didn't start.
type StartError struct {
	// Code is CodeSetup, CodeNotExecutable or CodeNotFound.
	Code    int
	Message string
}

func (e *StartError) Error() string { return e.Message }

// Spec describes a process to start in a sandbox.
type Spec struct {
	// ID of the sandbox, whose cgroup the process joins.
	ID string
	// Command and its arguments; looked up in PATH of Env, in the sandbox.
	Command []string
	// Env holds NAME=VALUE entries beside PATH, HOME and HOSTNAME, or instead of them.
	Env []string
	// Dir is the working directory; / if empty.
	Dir string
	// Stdio are standard input, output and error; the caller closes them. Without
	// them input is /dev/null and the rest is appended to Files.Log.
	Stdio *[3]*os.File
	// TTY makes standard input the process's controlling terminal, which it is then
	// the session leader of.
	TTY bool

	// Netns is the path of the network namespace; empty for the daemon's own.
	Netns string
	// Hide is a mount point that the process doesn't see, nor what is mounted below:
	// the directory of all sandboxes' namespaces, of which each process would hold
	// a copy otherwise. Empty, or not a mount point, for nothing.
	Hide string
	// Hostname in the UTS namespace made for the process; empty for the host's.
	Hostname string
	// Files are mounted over those in /etc where a path is not empty.
	Files Files

	// Join makes the process enter the network, mount and UTS namespaces of
	// this one instead of what the three fields above say.
	Join *Process
}

func (s *Spec) check() error {
	if s.ID == "" || strings.ContainsAny(s.ID, "/\x00") || s.ID[0] == '.' {
		return fmt.Errorf("sandbox id %q: not a name", s.ID)
	}
	if len(s.Command) == 0 || s.Command[0] == "" {
		return errors.New("no command given")
	}
	if s.Stdio == nil && s.Files.Log == "" {
		return errors.New("neither standard streams nor a log given")
	}
	return nil
}

// environment returns the process's environment: Docker's three, then the given.
func (s *Spec) environment() []string {
	env := []string{"PATH=" + DefaultPath, "HOME=/root"}
	if s.Hostname != "" {
		env = append(env, "HOSTNAME="+s.Hostname)
	}
	for _, e := range s.Env {
		env = setEnv(env, e)
	}
	return env
}

// setEnv replaces the entry with e's name, since the first of two would count.
func setEnv(env []string, e string) []string {
	name, _, _ := strings.Cut(e, "=")
	for i := range env {
		if strings.HasPrefix(env[i], name+"=") {
			env[i] = e
			return env
		}
	}
	return append(env, e)
}
