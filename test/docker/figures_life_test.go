// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// published are the arguments that publish n ports one by one.
func published(first, n int) (args []string) {
	for port := first; port < first+n; port++ {
		args = append(args, "-p", fmt.Sprintf("%d:%d", port, port))
	}
	return args
}

// lifeTimes are the medians of how long docker run and docker rm take.
func (d *engine) lifeTimes(repeat int, args ...string) (start, remove time.Duration) {
	d.t.Helper()
	run := slices.Concat([]string{"run", "-d", "--name", "timed"}, args, []string{image, "/peer", "serve", "80", "timed"})
	var starts, removals []time.Duration
	for range repeat {
		begun := time.Now()
		d.docker(run...)
		running := time.Now()
		d.docker("rm", "-f", "timed")
		starts = append(starts, running.Sub(begun))
		removals = append(removals, time.Since(running))
	}
	slices.Sort(starts)
	slices.Sort(removals)
	return starts[repeat/2], removals[repeat/2]
}

// proxyMemory counts the proxies of a container and what memory is theirs, in KiB.
func (d *engine) proxyMemory(args ...string) (count, kib int) {
	d.t.Helper()
	d.docker(slices.Concat([]string{"run", "-d", "--name", "held"}, args, []string{image, "/peer", "serve", "80", "held"})...)
	defer d.docker("rm", "-f", "held")
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		d.t.Fatal(err)
	}
	for _, dir := range dirs {
		if !d.isProxy(dir) {
			continue
		}
		n, err := pss(dir)
		if err != nil {
			d.t.Fatal(err)
		}
		count, kib = count+1, kib+n
	}
	return count, kib
}

// isProxy reports whether a process is a docker-proxy of this engine's.
func (d *engine) isProxy(dir string) bool {
	raw, err := os.ReadFile(dir + "/cmdline")
	if err != nil {
		return false
	}
	path, _, _ := strings.Cut(string(raw), "\x00")
	var ns unix.Stat_t
	return filepath.Base(path) == "docker-proxy" && unix.Stat(dir+"/ns/net", &ns) == nil && ns.Ino == d.Host.Inode()
}

// pss is a process's proportional share of memory, in KiB.
func pss(dir string) (kib int, err error) {
	raw, err := os.ReadFile(dir + "/smaps_rollup")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if _, err := fmt.Sscanf(line, "Pss: %d kB", &kib); err == nil {
			return kib, nil
		}
	}
	return 0, fmt.Errorf("%s/smaps_rollup has no Pss", dir)
}
