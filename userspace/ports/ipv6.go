// SPDX-License-Identifier: Apache-2.0

package ports

import "net"

// ListensIPv6 reports whether the host can listen on IPv6, by trying, as Docker's
// IsV6Listenable does.
func ListensIPv6() bool {
	l, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		return false
	}
	l.Close()
	return true
}
