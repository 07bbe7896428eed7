// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// Spray sends count frames that next makes out of a device of the namespace, as fast as it
// can, and returns how many the device took: some it refuses for their length.
func Spray(t testing.TB, n *Netns, dev string, count int, next func() []byte) (taken int) {
	t.Helper()
	withPacketSocket(t, n, dev, func(s *packetSocket) error {
		// Past the queueing discipline, as a program that floods would.
		_ = unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1)
		for range count {
			switch err := s.send(next()); {
			case err == nil:
				taken++
			case errors.Is(err, unix.EMSGSIZE), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOBUFS):
			default:
				return err
			}
		}
		return nil
	})
	return taken
}
