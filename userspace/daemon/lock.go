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
		one, err := lockDir(d.kind, d.dir, d.mode)
		if err != nil {
			return nil, errors.Join(err, l.discard())
		}
		l = append(l, one)
	}
	return l, nil
}

// lockDir makes a directory and locks it. Where a start that was refused discards the
// directory meanwhile, it is made again.
func lockDir(kind, dir string, mode os.FileMode) (l lock, err error) {
	const attempts = 10
	for n := 0; ; n++ {
		made, err := makeDir(dir, mode)
		if errors.Is(err, fs.ErrNotExist) && n < attempts {
			continue // a start that was refused removed what is above it
		}
		if err != nil {
			return lock{}, errors.Join(fmt.Errorf("%s: %w", kind, err), removeEmptyDirs(made))
		}
		if len(made) > len(l.made) {
			l.made = made
		}
		l.File, l.fresh, err = lockFile(filepath.Join(dir, lockName))
		if err == nil {
			return l, nil
		}
		if _, gone := os.Lstat(dir); !errors.Is(gone, fs.ErrNotExist) {
			return lock{}, errors.Join(fmt.Errorf("%s %s: %w", kind, dir, err), removeEmptyDirs(l.made))
		}
	}
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

// lockFile locks the file at path and writes the PID to it; fresh says that the file
// wasn't there. Whoever had the lock may have removed the file before letting go of it:
// a lock on what isn't at path any more keeps nobody away.
func lockFile(path string) (f *os.File, fresh bool, err error) {
	for {
		_, missing := os.Lstat(path)
		f, err := takeFile(path)
		if err != nil {
			return nil, false, err
		}
		there, err := isAt(path, f)
		if there {
			return f, errors.Is(missing, fs.ErrNotExist), nil
		}
		f.Close()
		if err != nil {
			return nil, false, err
		}
	}
}

// isAt reports whether f is the file at path.
func isAt(path string, f *os.File) (bool, error) {
	was, err := f.Stat()
	if err != nil {
		return false, err
	}
	is, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(was, is), err
}

// takeFile opens, locks and fills the file at path.
func takeFile(path string) (*os.File, error) {
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
