// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	rtnl "github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// receiveBuffer in bytes; more than fits only makes one look superfluous.
const receiveBuffer = 1 << 20

// Subscribe listens to what the kernel reports of devices and addresses in the namespace
// of the calling thread. The caller closes the socket.
func Subscribe() (*rtnl.NetlinkSocket, error) {
	s, err := rtnl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return nil, fmt.Errorf("subscribe to devices and addresses: %w", err)
	}
	if err := s.SetReceiveBufferSize(receiveBuffer, true); err != nil {
		s.Close()
		return nil, fmt.Errorf("subscribe to devices and addresses: buffer of %d bytes: %w", receiveBuffer, err)
	}
	return s, nil
}

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
