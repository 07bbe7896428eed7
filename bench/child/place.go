// SPDX-License-Identifier: Apache-2.0

package child

import (
	"errors"
	"fmt"
	"os/exec"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/netns"
)

// AnyCPU leaves the choice to the scheduler.
const AnyCPU = -1

// Place is where a process runs.
type Place struct {
	// Netns is a path; "" is the namespace of the caller.
	Netns string
	// CPU or AnyCPU.
	CPU int
}

// String names the place in errors.
func (p Place) String() string {
	name := p.Netns
	if name == "" {
		name = "this namespace"
	}
	if p.CPU == AnyCPU {
		return name
	}
	return fmt.Sprintf("%s on CPU %d", name, p.CPU)
}

// Command starts cmd in a place: the first thread of the new process has the
// namespace and the CPU already, so all others have.
func Command(p Place, cmd *exec.Cmd) error {
	path := p.Netns
	if path == "" {
		path = "/proc/self/ns/net"
	}
	return netns.Do(path, func() error { return p.pinned(cmd.Start) })
}

// pinned runs f with the calling thread, which the caller has locked, on the CPU.
func (p Place) pinned(f func() error) (err error) {
	if p.CPU == AnyCPU {
		return f()
	}
	var before, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("CPU affinity: %w", err)
	}
	set.Set(p.CPU)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin to CPU %d: %w", p.CPU, err)
	}
	defer func() { err = errors.Join(err, unix.SchedSetaffinity(0, &before)) }()
	return f()
}
