// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/fairway-project/fairway/userspace/model"
)

// portRange is first to last, both included; the zero value is any port.
type portRange struct{ first, last int }

func (r portRange) any() bool { return r.first == 0 }

func (r portRange) len() int { return r.last - r.first + 1 }

func (r portRange) String() string {
	if r.first == r.last {
		return strconv.Itoa(r.first)
	}
	return fmt.Sprintf("%d-%d", r.first, r.last)
}

// parseRange parses 80 or 8000-8010.
func parseRange(s string) (portRange, error) {
	from, to, isRange := strings.Cut(s, "-")
	first, err := parseNum(from, s)
	if err != nil {
		return portRange{}, err
	}
	if !isRange {
		return portRange{first, first}, nil
	}
	last, err := parseNum(to, s)
	if err != nil {
		return portRange{}, err
	}
	if last < first {
		return portRange{}, fmt.Errorf("%q: the range ends before it begins, want %d-%d", s, last, first)
	}
	return portRange{first, last}, nil
}

func parseNum(s, whole string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q: want a number from 1 to 65535 or a range like 8000-8010", whole)
	}
	return int(n), nil
}

// ParseExpose parses one argument of --expose: port[-end][/tcp|/udp|/sctp].
func ParseExpose(s string) ([]model.Port, error) {
	ports, err := parsePorts(s)
	if err != nil {
		return nil, fmt.Errorf("expose %q: %w", s, err)
	}
	return ports, nil
}

func parsePorts(s string) ([]model.Port, error) {
	rest, proto, err := cutProto(s)
	if err != nil {
		return nil, err
	}
	r, err := parseRange(rest)
	if err != nil {
		return nil, fmt.Errorf("port %w", err)
	}
	ports := make([]model.Port, 0, r.len())
	for num := r.first; num <= r.last; num++ {
		ports = append(ports, model.Port{Num: uint16(num), Proto: proto})
	}
	return ports, nil
}
