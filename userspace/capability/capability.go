// SPDX-License-Identifier: Apache-2.0

// Package capability tells what a process may not do.
package capability

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// NetAdmin is for devices, routes and the firewall's rules, BPF for programs and maps,
// SysAdmin for namespaces and mounts (capabilities(7)).
const (
	NetAdmin = "CAP_NET_ADMIN"
	BPF      = "CAP_BPF"
	SysAdmin = "CAP_SYS_ADMIN"
)

// Missing returns those of the three that this process lacks.
func Missing() ([]string, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return nil, fmt.Errorf("capabilities: %w", err)
	}
	var missing []string
	for _, c := range []struct {
		bit  uint
		name string
	}{{unix.CAP_NET_ADMIN, NetAdmin}, {unix.CAP_BPF, BPF}, {unix.CAP_SYS_ADMIN, SysAdmin}} {
		if data[c.bit/32].Effective&(1<<(c.bit%32)) == 0 {
			missing = append(missing, c.name)
		}
	}
	return missing, nil
}
