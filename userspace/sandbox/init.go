// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// InitArg as the only argument makes the program a process in a sandbox.
const InitArg = "sandbox-init"

// Descriptors that the daemon gives the child beside the standard streams.
const (
	setupFd     = 3
	outcomeFd   = 4
	namespaceFd = 5
)

// ready is what the child writes when only the command itself can still fail.
const ready = '\n'

// setup is what the child has to do, as the daemon writes it.
type setup struct {
	Command  []string `json:"command"`
	Env      []string `json:"env"`
	Dir      string   `json:"dir"`
	Hide     string   `json:"hide"`
	Hostname string   `json:"hostname"`
	Files    Files    `json:"files"`
	// Netns says that namespaceFd is a network namespace, Join that it is the
	// pidfd of a process whose namespaces to enter.
	Netns bool `json:"netns"`
	Join  bool `json:"join"`
	// Nofile is the limit of open files; nil to leave what was inherited.
	Nofile *rlimit `json:"nofile"`
}

// Init makes this process the command of a sandbox and doesn't return, if args
// (os.Args) say that the daemon started it for that. Else it does nothing. Call
// it first thing in main.
func Init(args []string) {
	if len(args) != 2 || args[1] != InitArg {
		return
	}
	// Namespaces belong to threads, and the thread that calls execve becomes
	// the process.
	runtime.LockOSThread()
	result := os.NewFile(outcomeFd, "outcome")
	// With these goes whatever the daemon itself inherited.
	err := unix.CloseRange(setupFd, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	if err == nil {
		err = become(os.NewFile(setupFd, "setup"), result)
	}
	var start *StartError
	if !errors.As(err, &start) {
		start = &StartError{Code: CodeSetup, Message: err.Error()}
	}
	// If nobody is there to read it, there is nobody to tell.
	_ = json.NewEncoder(result).Encode(start)
	os.Exit(start.Code)
}

// become returns only if it can't.
func become(from, result *os.File) error {
	var s setup
	if err := json.NewDecoder(from).Decode(&s); err != nil {
		return fmt.Errorf("read what to do: %w", err)
	}
	defaultSignals()
	if err := enter(&s); err != nil {
		return err
	}
	unix.Umask(0o022)
	if err := s.Nofile.set(unix.RLIMIT_NOFILE); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	if s.Dir == "" {
		s.Dir = "/"
	}
	if err := os.Chdir(s.Dir); err != nil {
		return fmt.Errorf("working directory: %w", err)
	}
	path, err := lookUp(s.Command[0], s.Env)
	if err != nil {
		return err
	}
	if _, err := result.Write([]byte{ready}); err != nil {
		return err
	}
	err = syscall.Exec(path, s.Command, s.Env)
	return &StartError{Code: codeOf(err), Message: fmt.Sprintf("exec %q: %v", path, err)}
}

func (l *rlimit) set(resource int) error {
	if l == nil {
		return nil
	}
	return unix.Setrlimit(resource, &unix.Rlimit{Cur: l.Soft, Max: l.Hard})
}

// defaultSignals undoes what the daemon may have inherited: a shell starts
// background commands with SIGINT and SIGQUIT ignored, nohup with SIGHUP. A
// signal with a handler becomes a default one in execve, an ignored one stays.
func defaultSignals() {
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGPIPE, unix.SIGTERM)
}

// enter puts the calling thread into the sandbox's namespaces.
func enter(s *setup) error {
	if s.Join {
		// A mount namespace can't be entered while the root directory is
		// shared with the program's other threads.
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		if err := unix.Setns(namespaceFd, unix.CLONE_NEWNET|unix.CLONE_NEWNS|unix.CLONE_NEWUTS); err != nil {
			return fmt.Errorf("enter the sandbox's namespaces: %w", err)
		}
		return nil
	}
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_FS); err != nil {
		return fmt.Errorf("new namespaces: %w", err)
	}
	// Nothing mounted from here on reaches the host; what the host unmounts
	// goes away here too, so that the sandbox doesn't keep it busy.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("mounts: %w", err)
	}
	if err := hide(s.Hide); err != nil {
		return err
	}
	if s.Netns {
		if err := unix.Setns(namespaceFd, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter the network namespace: %w", err)
		}
		if err := mountSys(); err != nil {
			return err
		}
	}
	if s.Hostname != "" {
		if err := unix.Sethostname([]byte(s.Hostname)); err != nil {
			return fmt.Errorf("host name %q: %w", s.Hostname, err)
		}
	}
	return mountFiles(s.Files)
}

// lookUp finds the command in PATH of env.
func lookUp(command string, env []string) (string, error) {
	os.Clearenv()
	for _, e := range env {
		if len(e) > 5 && e[:5] == "PATH=" {
			if err := os.Setenv("PATH", e[5:]); err != nil {
				return "", err
			}
		}
	}
	path, err := exec.LookPath(command)
	if err == nil || errors.Is(err, exec.ErrDot) {
		return path, nil
	}
	return "", &StartError{Code: codeOf(err), Message: err.Error()}
}

func codeOf(err error) int {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return CodeNotFound
	}
	return CodeNotExecutable
}
