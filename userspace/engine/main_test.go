// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/sandbox"
)

// inHost marks the run of the tests in a network namespace of their own.
const inHost = "FAIRWAY_ENGINE_TEST_HOST"

// TestMain runs the tests in a network namespace that plays the host: every
// thread of the process has to be in it, as in a daemon.
func TestMain(m *testing.M) {
	sandbox.Init(os.Args)
	if os.Getenv(inHost) != "" {
		if err := prepareHost(); err != nil {
			fmt.Fprintln(os.Stderr, "prepare the namespace:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inHost+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests need root:", err)
		os.Exit(1)
	}
}

func prepareHost() error {
	box, err := link.OpenSandbox("/proc/self/ns/net")
	if err != nil {
		return err
	}
	defer box.Close()
	return box.LoopbackUp()
}
