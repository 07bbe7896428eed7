// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const standardBPFFS = "/sys/fs/bpf"

// PrepareDir makes dir, mode 0700, on a BPF filesystem. Where none is mounted it
// mounts one: at /sys/fs/bpf if dir is below it, where it stays for everyone, else
// at dir itself.
func PrepareDir(dir string) error {
	dir = filepath.Clean(dir)
	mounted, err := OnBPFFS(dir)
	if err != nil {
		return err
	}
	if !mounted {
		if err := mountBPFFS(dir); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("bpffs directory: %w", err)
	}
	return nil
}

func mountBPFFS(dir string) error {
	at := dir
	if strings.HasPrefix(dir, standardBPFFS+"/") || dir == standardBPFFS {
		at = standardBPFFS
	} else {
		if err := os.MkdirAll(at, 0o700); err != nil {
			return fmt.Errorf("bpffs directory: %w", err)
		}
		removeEmptyBelow(at)
	}
	if err := unix.Mount("bpf", at, "bpf", 0, "mode=0700"); err != nil {
		return explain(fmt.Errorf("bpffs not mounted, and it can't be (mount -t bpf bpf %s): %w", at, err))
	}
	return nil
}

// removeEmptyBelow removes the directories that were made below dir while its BPF
// filesystem was unmounted: under another one they would be in the way of removing dir.
func removeEmptyBelow(dir string) {
	var dirs []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != dir {
			dirs = append(dirs, path)
		}
		return nil
	})
	for _, d := range slices.Backward(dirs) {
		_ = os.Remove(d) // one that isn't empty stays
	}
}

// OnBPFFS reports whether dir, or where it would be made, is on a BPF filesystem.
func OnBPFFS(dir string) (bool, error) {
	for {
		var st unix.Statfs_t
		err := unix.Statfs(dir, &st)
		if err == nil {
			return st.Type == unix.BPF_FS_MAGIC, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return false, fmt.Errorf("bpffs directory %s: %w", dir, err)
		}
		dir = filepath.Dir(dir)
	}
}

// removeDir undoes PrepareDir, but for a mount at /sys/fs/bpf.
func removeDir(dir string) error {
	if err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil &&
		!errors.Is(err, unix.EINVAL) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("bpffs directory %s: unmount: %w", dir, err)
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("bpffs directory: %w", err)
	}
	return nil
}

// UnmountStandard undoes the mount of PrepareDir at /sys/fs/bpf for a dir below it,
// unless somebody else uses it by now.
func UnmountStandard(dir string) error {
	if !strings.HasPrefix(filepath.Clean(dir), standardBPFFS+"/") {
		return nil
	}
	err := unix.Unmount(standardBPFFS, unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("bpffs: unmount %s: %w", standardBPFFS, err)
	}
	return nil
}
