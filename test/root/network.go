// SPDX-License-Identifier: Apache-2.0

package root

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
)

// inNetwork marks the process that runs the tests.
const inNetwork = "FAIRWAY_TEST_IN_NETWORK"

// InNetwork is Main for a package whose tests take the process's network namespace for a
// host: it runs them in one of their own, which every thread of the process is in, with
// its loopback device up.
func InNetwork(m *testing.M) int {
	if os.Getenv(inNetwork) != "" {
		if err := loopbackUp(); err != nil {
			fmt.Fprintln(os.Stderr, "loopback device:", err)
			return 1
		}
		return m.Run()
	}
	if !Here() {
		return Main(m)
	}
	// The kernel ends the process when the thread that started it does.
	runtime.LockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inNetwork+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests in a network namespace of their own:", err)
		return 1
	}
	return 0
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}
