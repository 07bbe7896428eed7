// SPDX-License-Identifier: Apache-2.0

package engine

import "net"

// listenIPv6 reports whether the host has IPv6 at all, by trying, as Docker's
// IsV6Listenable does.
func (e *Engine) listenIPv6() bool {
	l, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		return false
	}
	l.Close()
	return true
}
