// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"errors"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// Spray sends count frames that next makes out of a device of the namespace, as fast as it
// can, and returns how many the device took: some it refuses for their length.
func Spray(t testing.TB, n *Netns, dev string, count int, next func() []byte) (taken int) {
	t.Helper()
	err := n.Do(func() error {
		iface, err := net.InterfaceByName(dev)
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		// Past the queueing discipline, as a program that floods would.
		_ = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1)
		to := &unix.SockaddrLinklayer{Ifindex: iface.Index}
		for range count {
			switch err := unix.Sendto(fd, next(), 0, to); {
			case err == nil:
				taken++
			case errors.Is(err, unix.EMSGSIZE), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOBUFS):
			default:
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("spray into %s of %s: %v", dev, n.Name, err)
	}
	return taken
}
