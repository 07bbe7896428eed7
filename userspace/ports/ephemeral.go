// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Of the calling thread's network namespace.
const (
	localRangePath    = "/proc/sys/net/ipv4/ip_local_port_range"
	localReservedPath = "/proc/sys/net/ipv4/ip_local_reserved_ports"
)

// ephemeral is the range that the kernel and this package choose ports from.
type ephemeral struct {
	portRange
	reserved []portRange
}

func (e *ephemeral) isReserved(port int) bool {
	for _, r := range e.reserved {
		if r.first <= port && port <= r.last {
			return true
		}
	}
	return false
}

func readEphemeral() (*ephemeral, error) {
	var e ephemeral
	text, err := readSysctl(localRangePath)
	if err != nil {
		return nil, fmt.Errorf("ephemeral port range: %w", err)
	}
	if _, err := fmt.Sscan(string(text), &e.first, &e.last); err != nil {
		return nil, fmt.Errorf("%s: %q: %w", localRangePath, text, err)
	}
	if text, err = readSysctl(localReservedPath); err != nil {
		return nil, fmt.Errorf("reserved ports: %w", err)
	}
	for _, part := range strings.Split(strings.TrimSpace(string(text)), ",") {
		if part == "" {
			continue
		}
		r, err := parseRange(part)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", localReservedPath, err)
		}
		e.reserved = append(e.reserved, r)
	}
	return &e, nil
}

func readSysctl(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		return nil, ErrTooManyFiles
	}
	return text, err
}
