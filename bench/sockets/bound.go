// SPDX-License-Identifier: Apache-2.0

package sockets

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// awaitBound waits until a socket of the process's network namespace has the port: one that
// listens, if the protocol is TCP. A process that has ended is an error.
func awaitBound(ctx context.Context, pid int, proto string, port uint16) error {
	for {
		for _, table := range []string{proto, proto + "6"} {
			raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
			if err != nil {
				return fmt.Errorf("sockets of process %d: %w", pid, err)
			}
			if hasBound(string(raw), proto == "tcp", port) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s port %d isn't bound: %w", proto, port, ctx.Err())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// hasBound reads one of the kernel's tables of sockets (proc_pid_net(5)).
func hasBound(table string, listening bool, port uint16) bool {
	const localAddress, state, listen = 1, 3, "0A"
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) > state && strings.HasSuffix(f[localAddress], fmt.Sprintf(":%04X", port)) && (!listening || f[state] == listen) {
			return true
		}
	}
	return false
}
