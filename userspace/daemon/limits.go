// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"log/slog"
	"os"
	"runtime/debug"

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
	// memoryLimit keeps the daemon below 64 MiB resident with 500 endpoints and
	// 10,000 ports: near it the garbage collector runs more often.
	memoryLimit = 40 << 20
	// gcPercent trades a little processor time, of which a daemon that isn't in
	// the data path has plenty, for memory.
	gcPercent = 50
)

// setLimits raises the limit of open files and bounds the heap. GOMEMLIMIT and
// GOGC win where they are set.
func setLimits(log *slog.Logger) {
	raiseFiles(log)
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
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
