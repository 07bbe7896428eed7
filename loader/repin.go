// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrPinsDeleted is returned where nothing is left to be pinned again.
var ErrPinsDeleted = errors.New("the directory of pinned objects was deleted, and what isn't in use went with it; restart the daemon")

// ErrNotMounted is returned until PinAgain where somebody unmounted the BPF filesystem:
// what is attached would end with this process.
var ErrNotMounted = errors.New("the BPF filesystem was unmounted, and nothing can be pinned there")

func (l *Loader) checkMounted() error {
	mounted, err := OnBPFFS(l.cfg.Dir)
	if err == nil && !mounted {
		err = fmt.Errorf("%s: %w", l.cfg.Dir, ErrNotMounted)
	}
	return err
}

// InPlace reports whether held, an open directory of pinned objects, is what is at dir.
// It isn't once its BPF filesystem was unmounted, which "umount -l" does although it
// is in use: what is pinned there then lasts no longer than held is open.
func InPlace(dir string, held *os.File) (bool, error) {
	var is, was unix.Stat_t
	if err := unix.Fstat(int(held.Fd()), &was); err != nil {
		return false, fmt.Errorf("bpffs directory %s: %w", dir, err)
	}
	err := unix.Stat(dir, &is)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("bpffs directory %s: %w", dir, err)
	}
	return is.Dev == was.Dev && is.Ino == was.Ino, nil
}

// PinAgain pins all objects that are pinned below held at dir too, as PrepareDir makes
// it. What is there already stays.
func PinAgain(dir string, held *os.File) error {
	if err := PrepareDir(dir); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(held.Fd()), &st); err != nil {
		return fmt.Errorf("bpffs directory %s: %w", dir, err)
	}
	if st.Nlink == 0 {
		return ErrPinsDeleted
	}
	// With the slash it is the directory and not the link to it.
	from := fmt.Sprintf("/proc/self/fd/%d/", held.Fd())
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, rel)
		if d.IsDir() {
			return os.MkdirAll(to, 0o700)
		}
		if _, err := os.Lstat(to); err == nil {
			// Each BPF filesystem has files of its own at the top.
			return nil
		}
		return pinAt(path, to)
	})
	runtime.KeepAlive(held)
	if err != nil {
		return explain(fmt.Errorf("pin again below %s: %w", dir, err))
	}
	return nil
}

// pinAt pins the object that is pinned at from, of whatever kind, at to as well.
func pinAt(from, to string) error {
	fd, err := objectCall(unix.BPF_OBJ_GET, from, 0)
	if err != nil {
		return fmt.Errorf("pinned object %s: %w", from, err)
	}
	defer unix.Close(fd)
	if _, err := objectCall(unix.BPF_OBJ_PIN, to, fd); err != nil {
		return fmt.Errorf("pin %s: %w", to, err)
	}
	return nil
}

// objectCall makes a call of bpf(2) with a path: its attributes begin with the path's
// address and a descriptor.
func objectCall(command int, path string, fd int) (int, error) {
	name, err := unix.BytePtrFromString(path)
	if err != nil {
		return 0, err
	}
	attr := struct {
		path  uint64
		fd    uint32
		flags uint32
	}{path: uint64(uintptr(unsafe.Pointer(name))), fd: uint32(fd)}
	got, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(command), uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(name)
	if errno != 0 {
		return 0, errno
	}
	return int(got), nil
}
