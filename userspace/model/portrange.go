// SPDX-License-Identifier: Apache-2.0

package model

import (
	"fmt"
	"strconv"
	"strings"
)

// PortRange is First to Last, both included. The zero value says nothing.
type PortRange struct{ First, Last uint16 }

// ParsePortRange parses FIRST-LAST, like 1024-65535.
func ParsePortRange(s string) (PortRange, error) {
	from, to, ok := strings.Cut(s, "-")
	first, errFirst := strconv.ParseUint(from, 10, 16)
	last, errLast := strconv.ParseUint(to, 10, 16)
	if !ok || errFirst != nil || errLast != nil || first == 0 || last < first {
		return PortRange{}, fmt.Errorf("port range %q: want FIRST-LAST with numbers from 1 to 65535, like 1024-65535", s)
	}
	return PortRange{First: uint16(first), Last: uint16(last)}, nil
}

func (r PortRange) String() string {
	if r == (PortRange{}) {
		return ""
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// UnmarshalText reads what ParsePortRange does.
func (r *PortRange) UnmarshalText(text []byte) (err error) {
	*r, err = ParsePortRange(string(text))
	return err
}
