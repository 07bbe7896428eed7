// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// mountSys mounts a sysfs that shows the network devices of the namespace the
// thread is in, and puts back what is mounted below: cgroups, bpffs, tracing.
func mountSys() error {
	return mountKeeping("/sys", func() error {
		flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
		if err := unix.Mount("sysfs", "/sys", "sysfs", flags, ""); err != nil {
			return fmt.Errorf("mount /sys: %w", err)
		}
		return nil
	})
}

// hide takes a mount point away with all that is mounted below it.
func hide(point string) error {
	if point == "" {
		return nil
	}
	err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", point, err)
	}
	return nil
}

// mountFiles makes the files appear in /etc.
func mountFiles(f Files) error {
	targets := []struct{ source, target string }{
		{f.Hosts, "/etc/hosts"}, {f.ResolvConf, "/etc/resolv.conf"}, {f.Hostname, "/etc/hostname"},
	}
	if f.Hosts == "" && f.ResolvConf == "" && f.Hostname == "" {
		return nil
	}
	own, err := mountEtc(f.Etc)
	if err != nil {
		return err
	}
	for _, t := range targets {
		if t.source == "" {
			continue
		}
		if own {
			if err := makePlainFile(t.target); err != nil {
				return err
			}
		}
		if err := unix.Mount(t.source, t.target, "", unix.MS_BIND, ""); err != nil {
			return mountError(t.target, err)
		}
	}
	return nil
}

func mountError(target string, err error) error {
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("mount %s: the host has no such file, and without overlayfs none can be made up for the sandbox: %w", target, err)
	}
	return fmt.Errorf("mount %s: %w", target, err)
}

// mountEtc mounts a copy-on-write view of /etc on it, kept in memory. It
// reports false where the kernel can't do that.
func mountEtc(staging string) (bool, error) {
	if staging == "" {
		return false, nil
	}
	if err := unix.Mount("tmpfs", staging, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return false, fmt.Errorf("mount %s: %w", staging, err)
	}
	err := mountKeeping("/etc", func() error { return mountOverlay(staging) })
	// The overlay holds what it needs of it.
	err = errors.Join(err, os.Chdir("/"), unix.Unmount(staging, unix.MNT_DETACH))
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ELOOP):
		// No overlayfs at all, or /etc is on something it can't be put upon.
		return false, nil
	}
	return false, err
}

func mountOverlay(staging string) error {
	for _, dir := range []string{"upper", "work"} {
		if err := os.Mkdir(filepath.Join(staging, dir), 0o755); err != nil {
			return err
		}
	}
	// Relative paths need no escapes in the options.
	if err := os.Chdir(staging); err != nil {
		return err
	}
	if err := unix.Mount("overlay", "/etc", "overlay", 0, "lowerdir=/etc,upperdir=upper,workdir=work"); err != nil {
		return fmt.Errorf("mount overlay on /etc: %w", err)
	}
	return nil
}

// makePlainFile makes path something to mount a file on. The host's may be
// missing, or a link to a file that the host replaces now and then.
func makePlainFile(path string) error {
	st, err := os.Lstat(path)
	if err == nil && st.Mode().IsRegular() {
		return nil
	}
	if err == nil {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// mountKeeping runs mount, which mounts something on dir, and moves the mounts
// that are below dir now onto the new one, where it has their directories.
func mountKeeping(dir string, mount func() error) error {
	all, err := mounts()
	if err != nil {
		return err
	}
	kept := map[string]int{}
	defer func() {
		for _, fd := range kept {
			unix.Close(fd)
		}
	}()
	for _, point := range below(dir, all) {
		fd, err := cloneMount(point)
		if err != nil {
			return err
		}
		if fd >= 0 {
			kept[point] = fd
		}
	}
	if err := mount(); err != nil {
		return err
	}
	for point, fd := range kept {
		err := unix.MoveMount(fd, "", unix.AT_FDCWD, point, unix.MOVE_MOUNT_F_EMPTY_PATH)
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("mount %s again: %w", point, err)
		}
	}
	return nil
}

// cloneMount returns a detached copy of the mount at point with all below it, or
// -1 if another mount hides it.
func cloneMount(point string) (int, error) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, point, unix.AT_NO_AUTOMOUNT|unix.AT_SYMLINK_NOFOLLOW, 0, &st)
	if err != nil || st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return -1, nil
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, point, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return -1, fmt.Errorf("copy mount %s: %w", point, err)
	}
	return fd, nil
}
