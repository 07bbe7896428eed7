// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// killTimeout bounds the wait for processes that were killed: only one that is
// stuck in the kernel takes longer.
const killTimeout = 10 * time.Second

// cgroupDir is the cgroup2 directory that holds one child per sandbox.
type cgroupDir struct {
	path string
}

// findCgroup returns the directory fairway/NAME in the host's cgroup2 mount. It
// is made with the first sandbox: a daemon that ends before leaves nothing.
func findCgroup(name string) (*cgroupDir, error) {
	mount, err := cgroup2Mount()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(mount, "fairway", name)
	if err := unix.Access(mount, unix.W_OK); err != nil {
		return nil, fmt.Errorf("cgroup2 mount %s: %w", mount, err)
	}
	return &cgroupDir{path: path}, nil
}

// cgroup2Mount reads /proc/self/mountinfo (proc(5)) for a cgroup2 mount.
func cgroup2Mount() (string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		mount, super, ok := strings.Cut(s.Text(), " - ")
		fields := strings.Fields(mount)
		if ok && strings.HasPrefix(super, "cgroup2 ") && len(fields) >= 5 {
			return unescape(fields[4]), nil
		}
	}
	return "", errors.New("no cgroup2 mount")
}

// child makes the sandbox's cgroup and opens it for CLONE_INTO_CGROUP.
func (c *cgroupDir) child(id string) (*os.File, error) {
	path := filepath.Join(c.path, id)
	err := os.MkdirAll(path, 0o755)
	if errors.Is(err, fs.ErrNotExist) {
		// Another daemon has just removed the parent, which was empty.
		err = os.MkdirAll(path, 0o755)
	}
	if err != nil {
		return nil, fmt.Errorf("cgroup of sandbox %s: %w", id, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cgroup of sandbox %s: %w", id, err)
	}
	return f, nil
}

func (c *cgroupDir) children() ([]string, error) {
	entries, err := os.ReadDir(c.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cgroup %s: %w", c.path, err)
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

// kill ends every process in the sandbox's cgroup, also those that fork
// meanwhile (cgroup.kill, Linux 5.14).
func (c *cgroupDir) kill(id string) error {
	err := os.WriteFile(filepath.Join(c.path, id, "cgroup.kill"), []byte("1"), 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("kill processes of sandbox %s: %w", id, err)
	}
	return nil
}

// removeChild kills what is in the sandbox's cgroup and removes it.
func (c *cgroupDir) removeChild(id string) error {
	if err := c.kill(id); err != nil {
		return err
	}
	if err := c.waitEmpty(id); err != nil {
		return err
	}
	return removeDir(filepath.Join(c.path, id))
}

// waitEmpty returns when no process is left. The kernel makes cgroup.events
// readable for POLLPRI on every change.
func (c *cgroupDir) waitEmpty(id string) error {
	f, err := os.Open(filepath.Join(c.path, id, "cgroup.events"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cgroup of sandbox %s: %w", id, err)
	}
	defer f.Close()
	buf := make([]byte, 256)
	for deadline := time.Now().Add(killTimeout); ; {
		n, err := f.ReadAt(buf, 0)
		if errors.Is(err, unix.ENODEV) {
			return nil
		}
		if strings.Contains(string(buf[:n]), "populated 0") {
			return nil
		}
		left := time.Until(deadline)
		if left <= 0 {
			return fmt.Errorf("sandbox %s: processes still there %s after they were killed", id, killTimeout)
		}
		fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLPRI}}
		if _, err := unix.Poll(fds, int(left.Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("cgroup of sandbox %s: poll: %w", id, err)
		}
	}
}

// remove removes the directory, and its parent if no other daemon uses it.
func (c *cgroupDir) remove() error {
	if err := removeDir(c.path); err != nil {
		return err
	}
	err := removeDir(filepath.Dir(c.path))
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOTEMPTY) {
		return nil
	}
	return err
}

func removeDir(path string) error {
	if err := unix.Rmdir(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cgroup %s: remove: %w", path, err)
	}
	return nil
}
