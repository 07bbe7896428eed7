// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNoCgroup2 is returned where no cgroup v2 hierarchy can be had.
var ErrNoCgroup2 = errors.New("no cgroup v2 hierarchy")

// cgroupRoot returns the root of the cgroup v2 hierarchy: path if it is given,
// else where it is mounted, else a mount of its own at private.
func cgroupRoot(path, private string) (string, error) {
	if path != "" {
		return path, checkCgroup2(path)
	}
	mounts, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("cgroup v2: %w", err)
	}
	if at := cgroup2Mount(string(mounts)); at != "" && checkCgroup2(at) == nil {
		return at, nil
	}
	if err := os.MkdirAll(private, 0o700); err != nil {
		return "", fmt.Errorf("cgroup v2: %w", err)
	}
	if err := unix.Mount("cgroup2", private, "cgroup2", 0, ""); err != nil {
		return "", explain(fmt.Errorf("%w: mount at %s: %w", ErrNoCgroup2, private, err))
	}
	return private, nil
}

// cgroup2Mount returns where mountinfo has the root of a cgroup2 filesystem:
// proc_pid_mountinfo(5), "36 35 98:0 ROOT MOUNTPOINT OPTIONS ... - TYPE SOURCE ...".
func cgroup2Mount(mountinfo string) string {
	for line := range strings.Lines(mountinfo) {
		before, after, _ := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if len(fields) > 4 && fields[3] == "/" && strings.HasPrefix(after, "cgroup2 ") {
			return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\134`, `\`).Replace(fields[4])
		}
	}
	return ""
}

func checkCgroup2(path string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrNoCgroup2, path, err)
	}
	if st.Type != unix.CGROUP2_SUPER_MAGIC {
		return fmt.Errorf("%w: %s isn't one", ErrNoCgroup2, path)
	}
	return nil
}

// removePrivateCgroup undoes what cgroupRoot did at private.
func removePrivateCgroup(private string) error {
	if _, err := os.Lstat(private); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if checkCgroup2(private) == nil {
		if err := unix.Unmount(private, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("cgroup v2: unmount %s: %w", private, err)
		}
	}
	if err := os.Remove(private); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cgroup v2 %s: %w", filepath.Base(private), err)
	}
	return nil
}
