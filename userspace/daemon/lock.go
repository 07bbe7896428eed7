// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrRunning is returned where another daemon has the directory.
var ErrRunning = errors.New("another fairway daemon runs with it")

const (
	lockName    = "lock"
	lockTimeout = time.Second
	lockPause   = 20 * time.Millisecond
)

// locks keep other daemons away from the directories of this one.
type locks []lock

// lock is the locked file of a directory.
type lock struct {
	*os.File
	// fresh says that the file wasn't there before; made are the directories that
	// weren't, the deepest last.
	fresh bool
	made  []string
}

// lockDirs makes the directories with the modes that the daemon's files need
// and locks both. The kernel lets go of the locks when the process ends.
func lockDirs(c Config) (l locks, err error) {
	for _, d := range []struct {
		kind, dir string
		mode      os.FileMode
	}{{"root", c.Root, 0o711}, {"run-dir", c.RunDir, 0o750}} {
		if len(l) > 0 && c.Root == c.RunDir {
			break
		}
		made, err := makeDir(d.dir, d.mode)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", d.kind, err), removeEmptyDirs(made), l.discard())
		}
		path := filepath.Join(d.dir, lockName)
		_, missing := os.Lstat(path)
		f, err := lockFile(path)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s %s: %w", d.kind, d.dir, err), l.discard())
		}
		l = append(l, lock{f, errors.Is(missing, fs.ErrNotExist), made})
	}
	return l, nil
}

// makeDir makes a directory with this mode, whatever the umask, and returns those that
// it made. One that exists, which may be /run or /tmp, stays as it is.
func makeDir(dir string, mode os.FileMode) (made []string, err error) {
	absent := missingDirs(dir)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, err
	}
	err = os.Mkdir(dir, mode)
	if errors.Is(err, fs.ErrExist) {
		return nil, checkDir(dir)
	}
	if err != nil {
		return absent, err
	}
	return absent, os.Chmod(dir, mode)
}

func checkDir(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s: not a directory", path)
	}
	return err
}

// missingDirs returns dir and those above it that don't exist, the deepest last.
func missingDirs(dir string) (missing []string) {
	for {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			slices.Reverse(missing)
			return missing
		}
		missing = append(missing, dir)
		dir = filepath.Dir(dir)
	}
}

// removeEmptyDirs removes directories, the last first, but those in which something is.
func removeEmptyDirs(dirs []string) error {
	var errs []error
	for _, dir := range slices.Backward(dirs) {
		err := os.Remove(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EBUSY) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = flock(f)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrRunning
		if pid := holder(f); pid != "" {
			err = fmt.Errorf("%w (PID %s)", ErrRunning, pid)
		}
	}
	if err == nil {
		err = errors.Join(f.Truncate(0), writePid(f))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// lockNamespace takes the network namespace that the daemon works in, for the
// daemon's life, and returns nil where another one has it. The lock is on the
// namespace itself, which anybody may open and lock as well: it isn't there to
// keep daemons apart, but to know that what is marked as Fairway's is nobody's.
func lockNamespace() (*os.File, error) {
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	err = flock(f)
	if err != nil {
		f.Close()
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("network namespace: lock: %w", err)
	}
	return f, nil
}

// flock takes the lock, or fails with EWOULDBLOCK when somebody has it for
// longer than it takes a daemon with many sockets to die.
func flock(f *os.File) error {
	for deadline := time.Now().Add(lockTimeout); ; time.Sleep(lockPause) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			return err
		}
	}
}

func writePid(f *os.File) error {
	_, err := f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return err
}

// holder reads the PID that the lock's owner left in the file.
func holder(f *os.File) string {
	b := make([]byte, 16)
	n, _ := f.ReadAt(b, 0)
	return strings.TrimSpace(string(b[:n]))
}

func (l locks) release() error {
	var errs []error
	for _, f := range l {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// discard is release for a start that was refused: the locks' files and directories
// go, if they are new.
func (l locks) discard() error {
	var errs []error
	for _, one := range slices.Backward(l) {
		if one.fresh {
			errs = append(errs, os.Remove(one.Name()))
		}
		errs = append(errs, removeEmptyDirs(one.made), one.Close())
	}
	return errors.Join(errs...)
}
