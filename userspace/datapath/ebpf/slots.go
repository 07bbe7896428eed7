// SPDX-License-Identifier: Apache-2.0

package ebpf

import "fmt"

// slots hands out the numbers 1 to size-1. A number that was given back is not
// handed out again before all others were.
type slots struct {
	what  string
	size  int
	used  map[uint16]bool
	after uint16
}

func newSlots(what string, size int) *slots {
	return &slots{what: what, size: size, used: make(map[uint16]bool)}
}

// take marks a slot that is known to be in use.
func (s *slots) take(slot uint16) { s.used[slot] = true }

func (s *slots) release(slot uint16) { delete(s.used, slot) }

func (s *slots) next() (uint16, error) {
	for range s.size - 1 {
		s.after++
		if s.after == 0 || int(s.after) >= s.size {
			s.after = 1
		}
		if !s.used[s.after] {
			s.used[s.after] = true
			return s.after, nil
		}
	}
	return 0, fmt.Errorf("no room for another %s: %d exist, which is the limit", s.what, s.size-1)
}
