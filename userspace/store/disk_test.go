// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/test/root"
	"github.com/fairway-project/fairway/userspace/model"
)

// onTmpfs runs f on a thread whose mount namespace alone has a tmpfs of size
// bytes at dir. The thread ends with f, and the mount with the thread.
func onTmpfs(t *testing.T, size int, f func(dir string)) {
	t.Helper()
	dir := t.TempDir()
	done := make(chan struct{})
	go func() {
		defer close(done) // also when f ends in t.Fatal
		// Never unlocked: the runtime ends a thread that isn't as it was.
		runtime.LockOSThread()
		err := errors.Join(
			unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS),
			unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", size)))
		if err != nil {
			t.Errorf("tmpfs in a mount namespace of its own: %v", err)
			return
		}
		f(dir)
	}()
	<-done
}

// fill takes the rest of the file system.
func fill(t *testing.T, dir string) (path string) {
	path = filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Error(err)
		return path
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("fill the disk: %v", err)
	}
	return path
}

func TestFullDiskAtUpdate(t *testing.T) {
	root.Need(t)
	onTmpfs(t, 1<<20, func(dir string) {
		s, err := Open(filepath.Join(dir, "state.db"))
		if err != nil {
			t.Error(err)
			return
		}
		defer s.Close()
		if err := s.Update(func(tx *Tx) error { return put(tx, sample()) }); err != nil {
			t.Error(err)
		}
		filler := fill(t, dir)
		many := func(tx *Tx) error {
			for i := range 500 {
				if err := tx.PutNetwork(&model.Network{ID: fmt.Sprintf("%064d", i), Name: "x"}); err != nil {
					return err
				}
			}
			return nil
		}
		if err := s.Update(many); !errors.Is(err, ErrFull) {
			t.Errorf("got %v, want %v", err, ErrFull)
		}
		checkState(t, s, sample())
		if err := os.Remove(filler); err != nil {
			t.Error(err)
		}
		if err := s.Update(many); err != nil {
			t.Errorf("with room again: %v", err)
		}
	})
}

func TestFullDiskAtOpen(t *testing.T) {
	root.Need(t)
	onTmpfs(t, 1<<20, func(dir string) {
		path := filepath.Join(dir, "state.db")
		fill(t, dir)
		if _, err := Open(path); !errors.Is(err, ErrFull) {
			t.Errorf("new file: got %v, want %v", err, ErrFull)
		}
		names, err := filepath.Glob(filepath.Join(dir, "state*"))
		if err != nil || len(names) > 0 {
			t.Errorf("left behind: %v, %v", names, err)
		}
	})
}

func TestReadOnlyFileSystem(t *testing.T) {
	root.Need(t)
	onTmpfs(t, 1<<20, func(dir string) {
		path := filepath.Join(dir, "state.db")
		s, err := Open(path)
		if err != nil {
			t.Error(err)
			return
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Error(err)
			return
		}
		checkRefused(t, path, ErrReadOnly)
		if _, err := Open(filepath.Join(dir, "other.db")); !errors.Is(err, ErrReadOnly) {
			t.Errorf("new file: got %v, want %v", err, ErrReadOnly)
		}
	})
}

// TestPermission works on a thread without the capabilities that let root
// ignore file modes.
func TestPermission(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	mustOpen(t, path).Close()
	if err := os.Chmod(path, 0o000); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked, as above
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			t.Errorf("drop capabilities: %v", err)
			return
		}
		if _, err := Open(path); !errors.Is(err, ErrPermission) {
			t.Errorf("got %v, want %v", err, ErrPermission)
		}
	}()
	<-done
}
