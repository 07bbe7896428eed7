// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"net/netip"
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
