// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// SendIP sends one packet of any IP protocol; the namespace's own stack makes
// the IP header.
func SendIP(t testing.TB, n *Netns, f Family, dst string, proto int, payload string) {
	t.Helper()
	addr := netip.MustParseAddr(dst)
	err := n.Do(func() error {
		domain, to := unix.AF_INET, unix.Sockaddr(nil)
		if f.Is6() {
			domain, to = unix.AF_INET6, &unix.SockaddrInet6{Addr: addr.As16()}
		} else {
			to = &unix.SockaddrInet4{Addr: addr.As4()}
		}
		fd, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, proto)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, []byte(payload), 0, to)
	})
	if err != nil {
		t.Fatalf("%s: send protocol %d to %s: %v", n.Name, proto, dst, err)
	}
}

// IPSocket is a raw socket of one protocol: it sends, and keeps what it receives.
type IPSocket struct {
	name string
	conn net.PacketConn
	mu   sync.Mutex
	// seen has who sent a payload last.
	seen map[string]string
}

// OpenIP opens one in a namespace until the test ends.
func OpenIP(t testing.TB, n *Netns, f Family, proto int) *IPSocket {
	t.Helper()
	s := &IPSocket{name: n.Name, seen: make(map[string]string)}
	network, any := "ip4", "0.0.0.0"
	if f.Is6() {
		network, any = "ip6", "::"
	}
	err := n.Do(func() (err error) {
		s.conn, err = net.ListenPacket(fmt.Sprintf("%s:%d", network, proto), any)
		return err
	})
	if err != nil {
		t.Fatalf("%s: protocol %d: %v", n.Name, proto, err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.receive()
	}()
	t.Cleanup(func() { s.conn.Close(); <-done })
	return s
}

func (s *IPSocket) receive() {
	buf := make([]byte, 2048)
	for {
		n, peer, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.seen[string(buf[:n])] = peer.String()
		s.mu.Unlock()
	}
}

// Send sends one packet.
func (s *IPSocket) Send(dst, payload string) error {
	_, err := s.conn.WriteTo([]byte(payload), &net.IPAddr{IP: net.ParseIP(dst)})
	return err
}

// MustSend fails the test if the packet can't be sent.
func (s *IPSocket) MustSend(t testing.TB, dst, payload string) {
	t.Helper()
	if err := s.Send(dst, payload); err != nil {
		t.Fatalf("%s: send %q to %s: %v", s.name, payload, dst, err)
	}
}

// Has tells whether a payload was received.
func (s *IPSocket) Has(payload string) bool { return s.From(payload) != "" }

// From is the address that a payload was received from, "" if it wasn't.
func (s *IPSocket) From(payload string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[payload]
}

// Wait waits until all these payloads were received.
func (s *IPSocket) Wait(t testing.TB, payloads ...string) {
	t.Helper()
	Eventually(t, s.name+" to receive", func() error {
		for _, p := range payloads {
			if !s.Has(p) {
				return fmt.Errorf("no %q", p)
			}
		}
		return nil
	})
}
