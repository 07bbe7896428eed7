// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
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

// tellPrivateMounts warns of a mount namespace of the daemon's own where PID 1's
// may not be entered (without CAP_SYS_PTRACE): it ends with its processes, and
// with it what is pinned and mounted for a later daemon.
func tellPrivateMounts(log *slog.Logger) {
	if _, err := os.Readlink("/proc/1/ns/mnt"); err == nil {
		return
	}
	own, host := rootMount("/proc/self/mountinfo"), rootMount("/proc/1/mountinfo")
	if own == "" || host == "" || own == host {
		return
	}
	log.Warn("this mount namespace isn't PID 1's, which may not be entered: pinned programs and namespaces end with it. " +
		"ip netns exec makes such ones; nsenter --net=/run/netns/NAME fairway daemon doesn't")
}

// rootMount returns the ID of the mount at /, which no two namespaces share
// (proc_pid_mountinfo(5)), or "" if it isn't known.
func rootMount(mountinfo string) string {
	content, err := os.ReadFile(mountinfo)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(content)) {
		if f := strings.Fields(line); len(f) > 4 && f[4] == "/" {
			return f[0]
		}
	}
	return ""
}
