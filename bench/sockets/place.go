// SPDX-License-Identifier: Apache-2.0

package sockets

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/userspace/netns"
)

// cpus are where the client and the server run.
func (i *instance) cpus() (client, server int, err error) {
	if i.subject.Case.Value(keyCPU) != split {
		return i.env.CPU, i.env.CPU, nil
	}
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return 0, 0, fmt.Errorf("CPU affinity: %w", err)
	}
	for other := range len(allowed) * 64 {
		if other != i.env.CPU && allowed.IsSet(other) {
			return i.env.CPU, other, nil
		}
	}
	return 0, 0, fmt.Errorf("%w: two CPUs", plan.ErrUnavailable)
}

// manyPorts lets a client begin again with tuples of connections that are in
// TIME_WAIT, which the kernel by default does on loopback only, and lets tools that
// leave the choice to the kernel have as many ports as the others. Without, they
// spend their time on looking for a port, and don't say so.
func manyPorts(path string) error {
	return netns.Do(path, func() error {
		return errors.Join(
			os.WriteFile("/proc/sys/net/ipv4/tcp_tw_reuse", []byte("1"), 0o644),
			os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("1024 65535"), 0o644))
	})
}
