// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/request"
)

// parseSignal reads TERM, SIGTERM or 15; empty is SIGTERM.
func parseSignal(s string) (syscall.Signal, error) {
	if s == "" {
		return unix.SIGTERM, nil
	}
	var n int
	if _, err := fmt.Sscanf(s+"\n", "%d\n", &n); err == nil && n > 0 && n <= 64 {
		return syscall.Signal(n), nil
	}
	for _, name := range []string{s, "SIG" + s} {
		if sig := unix.SignalNum(name); sig != 0 {
			return sig, nil
		}
	}
	return 0, request.Errorf(request.ErrInvalid, "signal %q: want a name like TERM or a number from 1 to 64", s)
}
