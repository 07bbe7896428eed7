// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// maxSize of a state file in bytes; 10,000 endpoints take about 10 MiB.
const maxSize = 1 << 30

// openChecked opens the file for bbolt once it is locked and found sound. bbolt
// locks the same open file description again, which succeeds.
func openChecked(path string, flag int, perm fs.FileMode) (*os.File, error) {
	// Without O_CREATE, and not waiting for the other end of a named pipe.
	f, err := os.OpenFile(path, flag&^os.O_CREATE|unix.O_NONBLOCK, perm)
	if err != nil {
		return nil, err
	}
	if err := checkFile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func checkFile(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: %s instead of a regular file", ErrForeign, info.Mode().Type())
	}
	if err := lock(f, lockTimeout); err != nil {
		return err
	}
	// Under the lock, the size is final.
	if info, err = f.Stat(); err != nil {
		return err
	}
	if info.Size() > maxSize {
		return fmt.Errorf("%w: %d bytes, more than networks can need", ErrForeign, info.Size())
	}
	content := make([]byte, info.Size())
	if _, err := io.ReadFull(f, content); err != nil {
		return err
	}
	return checkImage(content)
}

// lock takes the lock that bbolt takes, trying until the timeout.
func lock(f *os.File, timeout time.Duration) error {
	for deadline := time.Now().Add(timeout); ; time.Sleep(20 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			return fmt.Errorf("lock: %w", err)
		}
		if time.Now().After(deadline) {
			return ErrLocked
		}
	}
}

// place gives a new file its name; if another daemon was faster, its file stays.
func place(tmp, path string) error {
	err := unix.Renameat2(unix.AT_FDCWD, tmp, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		err = os.Rename(tmp, path)
	}
	if errors.Is(err, fs.ErrExist) {
		return os.Remove(tmp)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// guard runs f, which works in bbolt's memory map, and makes an error of a
// panic: of bbolt's own, and of the fault that follows when somebody truncates
// the file while it is mapped.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, r)
		}
	}()
	return f()
}
