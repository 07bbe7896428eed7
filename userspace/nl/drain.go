// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"context"
	"errors"
	"syscall"

	rtnl "github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Drain hands what the kernel reports on a subscription's socket to handle, and calls
// lost after reports were lost because the socket's buffer was full. It returns the
// error with which reading ends, also when ctx does, and has closed the socket then.
func Drain(ctx context.Context, s *rtnl.NetlinkSocket, lost func(), handle func([]syscall.NetlinkMessage)) error {
	stop := context.AfterFunc(ctx, s.Close)
	defer func() {
		if stop() {
			s.Close()
		}
	}()
	for {
		messages, _, err := s.Receive()
		switch {
		case errors.Is(err, unix.ENOBUFS):
			lost()
		case err != nil:
			return err
		default:
			handle(messages)
		}
	}
}
