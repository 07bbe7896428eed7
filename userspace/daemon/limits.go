// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"log/slog"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

const (
	// maxFiles is enough for a socket per published port and family.
	maxFiles = 1 << 20
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
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); err == nil && now.Cur < maxFiles {
		want := unix.Rlimit{Cur: maxFiles, Max: max(now.Max, maxFiles)}
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &want) != nil {
			// Above fs.nr_open or without CAP_SYS_RESOURCE: what the limit allows.
			want = unix.Rlimit{Cur: now.Max, Max: now.Max}
			if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &want); err != nil {
				log.Warn("limit of open files not raised", "limit", now.Cur, "err", err)
			}
		}
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
