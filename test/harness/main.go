// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/built"
	"github.com/fairway-project/fairway/test/cell"
	"github.com/fairway-project/fairway/test/partial"
)

// Environment variables that the harness reads.
const (
	// EnvBinary is the fairway binary under test; built from the tree if unset.
	EnvBinary = built.EnvFairway
	// EnvPeer is the helper that sandboxes run; built from the tree if unset.
	EnvPeer = built.EnvPeer
	// EnvModes restricts the modes, as in "iptables" or "ebpf,iptables".
	EnvModes = "FAIRWAY_TEST_MODES"
	// EnvFirstPacket, if not empty, makes every test one with FirstPacket.
	EnvFirstPacket = "FAIRWAY_TEST_FIRST_PACKET"
)

// gcPercent lets the heap of the tests, tens of megabytes, grow to some times of what is in
// use: to collect it took a quarter of the binary's time.
const gcPercent = 400

// Main is for TestMain: it goes into a cell, so that a run that is killed leaves nothing
// behind, builds what the tests run, and returns the exit code.
func Main(m *testing.M) int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "the end-to-end tests make network namespaces and need root")
		return 1
	}
	if _, inside := cell.Inside(); !inside {
		return cell.Run(os.Args...)
	}
	if !partial.Needs("ip", "tc", "iptables", "ip6tables", "nft", "ethtool", "nsenter") {
		return 0
	}
	dir, err := os.MkdirTemp("", "fwt-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	for _, env := range []string{EnvBinary, EnvPeer} {
		path, err := built.Program(env, dir)
		if err == nil {
			err = os.Setenv(env, path)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	flag.Parse()
	// Tests wait more than they work.
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		if err := f.Value.Set(strconv.Itoa(3 * runtime.GOMAXPROCS(0))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	// What tests allocate is packets and goes with them.
	debug.SetGCPercent(gcPercent)
	code := m.Run()
	if !shared.close() {
		code = max(code, 1)
	}
	if left := emptyCgroups(); len(left) > 0 {
		fmt.Fprintf(os.Stderr, "empty control groups are left: %v\n", left)
		code = max(code, 1)
	}
	return code
}

// emptyCgroups are those named fairway that no daemon uses. One that another
// process is about to use may be empty for a moment.
func emptyCgroups() (left []string) {
	for range 10 {
		left = nil
		for _, pattern := range []string{"/sys/fs/cgroup/fairway", "/sys/fs/cgroup/*/fairway"} {
			found, _ := filepath.Glob(pattern)
			for _, dir := range found {
				if children, _ := filepath.Glob(dir + "/*/cgroup.procs"); len(children) == 0 {
					left = append(left, dir)
				}
			}
		}
		if len(left) == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return left
}
