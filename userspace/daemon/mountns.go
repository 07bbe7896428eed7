// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// hostMounts marks a process that was started again by enterHostMounts.
const hostMounts = "FAIRWAY_IN_HOST_MOUNTS"

// enterHostMounts starts the program again in the mount namespace of PID 1,
// keeping the network namespace, if it isn't there: ip netns exec gives commands
// a namespace with another /sys, in which cgroups and pinned objects don't show.
// A process with several threads can't change its own mount namespace
// (setns(2)). It returns only where there is nothing to do or an error.
func enterHostMounts() error {
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return fmt.Errorf("mount namespace: %w", err)
	}
	host, err := os.Readlink("/proc/1/ns/mnt")
	if err != nil || own == host || os.Getenv(hostMounts) != "" {
		// Where PID 1 may not be looked at there is no other place to be.
		return nil
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("mount namespace: %w", err)
	}
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		return fmt.Errorf("mount namespace: this one isn't PID 1's, and %w: start the daemon with: nsenter --net=/run/netns/NAME fairway daemon", err)
	}
	dir, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("mount namespace: %w", err)
	}
	args := append([]string{nsenter, "--mount=/proc/1/ns/mnt", "--wd=" + dir, "--", program}, os.Args[1:]...)
	env := append(os.Environ(), hostMounts+"=1")
	return fmt.Errorf("mount namespace: run %s: %w", nsenter, syscall.Exec(nsenter, args, env))
}
