// SPDX-License-Identifier: Apache-2.0

package testrun

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Tap sees what comes in on a device of the world, as programs send it there. The caller
// closes it.
type Tap struct{ fd int }

// Tap opens one.
func (h *Host) Tap(device string) (t *Tap, err error) {
	h.Do(func() { t, err = newTap(h.Index[device]) })
	return t, wrap(err, "tap", device)
}

func newTap(index int) (*Tap, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: everything, Ifindex: index}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &Tap{fd}, nil
}

// everything is ETH_P_ALL in network byte order.
const everything = unix.ETH_P_ALL << 8

// Next returns the next frame, or nil if none comes within the time.
func (t *Tap) Next(within time.Duration) ([]byte, error) {
	buf := make([]byte, 1<<16)
	deadline := time.Now().Add(within)
	for {
		left := max(0, time.Until(deadline))
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(t.fd), Events: unix.POLLIN}}, int(left.Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if err != nil || ready == 0 {
			return nil, err
		}
		n, from, err := unix.Recvfrom(t.fd, buf, unix.MSG_DONTWAIT)
		if err != nil {
			return nil, fmt.Errorf("tap: %w", err)
		}
		if sll, ok := from.(*unix.SockaddrLinklayer); ok && sll.Pkttype != unix.PACKET_OUTGOING {
			return buf[:n:n], nil
		}
	}
}

// Close closes it.
func (t *Tap) Close() error { return unix.Close(t.fd) }
