// SPDX-License-Identifier: Apache-2.0

package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// PrepareDir makes dir a place for namespaces: a private mount of its own, so
// that the mounts in it are neither copied into other mount namespaces nor
// taken away through them. Doing it again changes nothing.
func PrepareDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("directory for namespaces: %w", err)
	}
	mounted, err := isMountPoint(dir)
	if err != nil {
		return err
	}
	if !mounted {
		if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("directory for namespaces %s: bind mount: %w", dir, err)
		}
	}
	if err := unix.Mount("", dir, "", unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("directory for namespaces %s: make private: %w", dir, err)
	}
	return nil
}

// RemoveDir deletes every namespace in dir and undoes PrepareDir. A dir that is
// gone is not an error.
func RemoveDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("directory for namespaces: %w", err)
	}
	var errs []error
	for _, e := range entries {
		errs = append(errs, Delete(filepath.Join(dir, e.Name())))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return RemoveEmptyDir(dir)
}

// RemoveEmptyDir undoes PrepareDir for who has made no namespace there. Where something
// is in dir nothing changes, and that is no error.
func RemoveEmptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || len(entries) > 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("directory for namespaces: %w", err)
	}
	if err := unmountAll(dir); err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("directory for namespaces: %w", err)
	}
	return nil
}

// Create makes a new namespace, sets its loopback up (127.0.0.1 and, where the
// host has IPv6, ::1) and binds it to path, in a directory that exists. What an
// earlier daemon left at path is replaced if it is no namespace any more; a
// namespace there is an error that wraps fs.ErrExist. Delete undoes it.
func Create(path string) (err error) {
	if err := clearLeftover(path); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if err != nil {
		return fmt.Errorf("namespace %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, Delete(path))
		}
	}()
	if err := file.Close(); err != nil {
		return err
	}
	return onThread(func() (bool, error) {
		return andBack(func() error { return unshareTo(path) })
	})
}

// Delete takes the namespace's name away: unmounts path and removes the file. A
// path that is gone is not an error.
func Delete(path string) error {
	if err := unmountAll(path); err != nil {
		return err
	}
	// Removing the file also detaches the copies of the mount that other mount
	// namespaces may hold.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("namespace %s: %w", path, err)
	}
	return nil
}

func unshareTo(path string) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("namespace %s: unshare: %w", path, err)
	}
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("namespace %s: loopback: %w", path, err)
	}
	if err := unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("namespace %s: bind mount: %w", path, err)
	}
	return nil
}

// loopbackUp is enough: the kernel gives lo its addresses then.
func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

func clearLeftover(path string) error {
	err := Check(path)
	switch {
	case err == nil:
		return fmt.Errorf("namespace %s: %w", path, fs.ErrExist)
	case errors.Is(err, ErrNotExist):
		return nil
	case !errors.Is(err, ErrNotNetns):
		return err
	}
	st, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("namespace %s: %w", path, err)
	}
	if !st.Mode().IsRegular() || st.Size() != 0 {
		return fmt.Errorf("namespace %s: a file that isn't a namespace is in the way: %w", path, fs.ErrExist)
	}
	return os.Remove(path)
}

// unmountAll takes every mount from path: a crash between two steps or a mount
// from outside may have stacked them.
func unmountAll(path string) error {
	for {
		err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		switch {
		case err == nil:
		case errors.Is(err, unix.EINVAL), errors.Is(err, fs.ErrNotExist):
			return nil
		default:
			return fmt.Errorf("unmount %s: %w", path, err)
		}
	}
}

func isMountPoint(dir string) (bool, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, dir, 0, 0, &st); err != nil {
		return false, fmt.Errorf("directory %s: %w", dir, err)
	}
	if st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return false, fmt.Errorf("directory %s: the kernel doesn't tell mount points (needs Linux 5.8)", dir)
	}
	return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}
