// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"strings"
	"testing"
)

// As many slots as a number of 16 bits tells apart, but for 0, which is nobody's.
func TestSlotsComeRound(t *testing.T) {
	s := newSlots("pool of backends", 1<<16)
	for want := range 1<<16 - 1 {
		if slot, err := s.next(); err != nil || int(slot) != want+1 {
			t.Fatalf("slot %d, %v, want %d", slot, err, want+1)
		}
	}
	if _, err := s.next(); err == nil || !strings.Contains(err.Error(), "no room for another pool of backends: 65535 exist, which is the limit") {
		t.Errorf("got %v, want a refusal", err)
	}
	for _, slot := range []uint16{7, 65535} {
		s.release(slot)
	}
	first, err := s.next()
	second, err2 := s.next()
	if first != 7 || second != 65535 || err != nil || err2 != nil {
		t.Errorf("got %d, %v and %d, %v, want 7 and 65535", first, err, second, err2)
	}
}
