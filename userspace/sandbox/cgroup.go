// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/loader/cgroupfs"
)

// killTimeout bounds the wait for processes that were killed: only one that is
// stuck in the kernel takes longer.
const killTimeout = 10 * time.Second

// cgroupDir is the cgroup2 directory that holds one child per sandbox.
type cgroupDir struct {
	// mount is the root of cgroup2. It stays that if it is unmounted ("umount -l"),
	// when its path leads to another directory.
	mount *os.Root
	// name is the directory's below mount, path what messages say.
	name, path string
}

// findCgroup returns the directory fairway/NAME in the host's cgroup2 mount. It
// is made with the first sandbox: a daemon that ends before leaves nothing.
func findCgroup(name string) (*cgroupDir, error) {
	mount, err := cgroupfs.Find()
	if err != nil {
		return nil, err
	}
	return openCgroup(mount, name)
}

func openCgroup(mount, name string) (*cgroupDir, error) {
	if err := unix.Access(mount, unix.W_OK); err != nil {
		return nil, fmt.Errorf("cgroup2 mount %s: %w", mount, err)
	}
	root, err := os.OpenRoot(mount)
	if err != nil {
		return nil, fmt.Errorf("cgroup2 mount: %w", err)
	}
	name = filepath.Join("fairway", name)
	return &cgroupDir{mount: root, name: name, path: filepath.Join(mount, name)}, nil
}

// child makes the sandbox's cgroup and opens it for CLONE_INTO_CGROUP.
func (c *cgroupDir) child(id string) (*os.File, error) {
	name := filepath.Join(c.name, id)
	err := c.mount.MkdirAll(name, 0o755)
	if errors.Is(err, fs.ErrNotExist) {
		// Another daemon has just removed the parent, which was empty.
		err = c.mount.MkdirAll(name, 0o755)
	}
	if err != nil {
		return nil, fmt.Errorf("cgroup of sandbox %s: %w", id, err)
	}
	f, err := c.mount.Open(name)
	if err != nil {
		return nil, fmt.Errorf("cgroup of sandbox %s: %w", id, err)
	}
	return f, nil
}

func (c *cgroupDir) children() ([]string, error) {
	entries, err := fs.ReadDir(c.mount.FS(), c.name)
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

// populated returns the children in which a process is.
func (c *cgroupDir) populated() (ids []string, err error) {
	children, err := c.children()
	if err != nil {
		return nil, err
	}
	for _, id := range children {
		events, err := c.mount.ReadFile(filepath.Join(c.name, id, "cgroup.events"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENODEV) {
			return nil, fmt.Errorf("cgroup of sandbox %s: %w", id, err)
		}
		if strings.Contains(string(events), "populated 1") {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// kill ends every process in the sandbox's cgroup, also those that fork
// meanwhile (cgroup.kill, Linux 5.14).
func (c *cgroupDir) kill(id string) error {
	f, err := c.mount.OpenFile(filepath.Join(c.name, id, "cgroup.kill"), os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString("1")
		err = errors.Join(err, f.Close())
	}
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
	return c.removeDir(filepath.Join(c.name, id))
}

// waitEmpty returns when no process is left. The kernel makes cgroup.events
// readable for POLLPRI on every change.
func (c *cgroupDir) waitEmpty(id string) error {
	f, err := c.mount.Open(filepath.Join(c.name, id, "cgroup.events"))
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
	if err := c.removeDir(c.name); err != nil {
		return err
	}
	err := c.removeDir(filepath.Dir(c.name))
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOTEMPTY) {
		return nil
	}
	return err
}

func (c *cgroupDir) removeDir(name string) error {
	if err := c.mount.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cgroup %s: remove: %w", name, err)
	}
	return nil
}
