// SPDX-License-Identifier: Apache-2.0

package harness

import "fmt"

// Subnet4 is the IPv4 subnet of the n-th test network.
func Subnet4(n int) string { return fmt.Sprintf("172.%d.0.0/24", n) }

// Subnet6 is the IPv6 subnet of the n-th test network.
func Subnet6(n int) string { return fmt.Sprintf("fd00:%d::/64", n) }

// Addr is the host-th address of the n-th test network.
func Addr(f Family, n, host int) string {
	if f.Is6() {
		return fmt.Sprintf("fd00:%d::%x", n, host)
	}
	return fmt.Sprintf("172.%d.0.%d", n, host)
}
