// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const sysctls = "/proc/sys"

// makeSysctlsWritable undoes what container runtimes do to /proc/sys where the
// daemon is a container of its own, as in Docker's managed plugin: the host's
// namespace is its to configure. Nobody else sees that mount.
func makeSysctlsWritable() error {
	if os.Getpid() != 1 {
		return nil
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(sysctls, &fs); err != nil || fs.Flags&unix.ST_RDONLY == 0 {
		return nil
	}
	const keep = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("", sysctls, "", unix.MS_REMOUNT|unix.MS_BIND|keep, ""); err != nil {
		return fmt.Errorf("%s is read-only, and can't be mounted otherwise: %w", sysctls, err)
	}
	return nil
}
