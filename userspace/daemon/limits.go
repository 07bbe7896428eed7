// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"log/slog"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// maxFiles is enough for every port of several protocols and addresses.
	maxFiles = 1 << 20
	// spareFiles are for all but published ports: the state, netlink, programs
	// and maps, clients, and three or four for each of some 500 sandboxes, their
	// process and their resolver's sockets.
	spareFiles = 2048
	// allPorts is what a protocol has.
	allPorts = 1 << 16
	// gcPercent trades a little processor time, of which a daemon that isn't in
	// the data path has plenty, for memory.
	gcPercent = 50
)

// setLimits raises the limit of open files and bounds the heap, and returns the
// limit of open files that the daemon was started with. GOMEMLIMIT and GOGC win
// where they are set.
func setLimits(log *slog.Logger) (inherited unix.Rlimit) {
	inherited = inheritedFiles()
	raiseFiles(log)
	percent := 0
	if os.Getenv("GOGC") == "" {
		percent = gcPercent
		debug.SetGCPercent(percent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		followHeap(quiet, percent)
	}
	return inherited
}

// inheritedFiles finds out the limit of open files that this process was started
// with. The Go runtime has raised its soft limit before main, keeps to itself what
// it was, and gives it back to children: one of them is asked.
func inheritedFiles() unix.Rlimit {
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); err != nil {
		return now
	}
	out, err := exec.Command("/bin/sh", "-c", "ulimit -S -n").Output()
	if err != nil {
		return now
	}
	soft, err := strconv.ParseUint(strings.TrimSpace(string(out)), 10, 64)
	if err != nil || soft > now.Max {
		soft = now.Max // "unlimited"
	}
	return unix.Rlimit{Cur: soft, Max: now.Max}
}

// raiseFiles raises the limit of open files to maxFiles, and above fs.nr_open or
// without CAP_SYS_RESOURCE as far as the hard limit.
func raiseFiles(log *slog.Logger) {
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); err != nil || now.Cur >= maxFiles {
		return
	}
	want := unix.Rlimit{Cur: maxFiles, Max: max(now.Max, maxFiles)}
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &want) == nil {
		return
	}
	want = unix.Rlimit{Cur: now.Max, Max: now.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &want); err != nil {
		log.Warn("limit of open files not raised", "limit", now.Cur, "err", err)
	}
}

// tellPortLimit says how many ports can be published where the limit of open
// files, a socket for each, is what bounds them.
func tellPortLimit(log *slog.Logger) {
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); err != nil || now.Cur >= allPorts+spareFiles {
		return
	}
	log.Info("the limit of open files bounds the published ports; LimitNOFILE= of the unit or ulimit -Hn raises it",
		"limit", now.Cur, "ports", max(now.Cur, spareFiles)-spareFiles)
}
