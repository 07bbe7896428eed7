// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// packetSocket sends and receives whole frames at a device of a namespace (packet(7)).
type packetSocket struct {
	*os.File
	fd  int
	dev *net.Interface
}

// openPacket opens one for the calling thread's namespace, which the caller closes. It
// receives nothing before it is bound to a protocol, so that nothing slips past a filter.
func openPacket(dev string, flags int) (*packetSocket, error) {
	iface, err := net.InterfaceByName(dev)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|flags, 0)
	if err != nil {
		return nil, err
	}
	return &packetSocket{os.NewFile(uintptr(fd), "packet socket"), fd, iface}, nil
}

// send sends one frame out of the device.
func (s *packetSocket) send(frame []byte) error {
	return unix.Sendto(s.fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: s.dev.Index})
}

// withPacketSocket runs f with one at a device of the namespace. What f sends may have any
// sender, which others remember until the test is over.
func withPacketSocket(t testing.TB, n *Netns, dev string, f func(s *packetSocket) error) {
	t.Helper()
	err := n.Do(func() error {
		s, err := openPacket(dev, 0)
		if err != nil {
			return err
		}
		defer s.Close()
		return f(s)
	})
	if err != nil {
		t.Fatalf("frames into %s of %s: %v", dev, n.Name, err)
	}
}
