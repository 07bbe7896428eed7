// SPDX-License-Identifier: Apache-2.0

package service

import (
	"fmt"
	"math/bits"
)

// slotsPerWord is how many slots have their bits in one word.
const slotsPerWord = 64

// Used returns the slots in which something may stand, in order: of some a crash may have left
// the mark only.
func (t *Table) Used() (used []uint16, err error) {
	words, err := readAll[uint64](t.slots)
	if err != nil {
		return nil, fmt.Errorf("slots of pools: %w", err)
	}
	for i, word := range words {
		for ; word != 0; word &= word - 1 {
			used = append(used, uint16(i*slotsPerWord+bits.TrailingZeros64(word)))
		}
	}
	return used, nil
}

// mark says whether something may stand in a slot: before it is put there, and after all of it
// was taken away. Callers serialise their changes: a word is read and written back.
func (t *Table) mark(slot uint16, used bool) error {
	at, bit := uint32(slot/slotsPerWord), uint64(1)<<(slot%slotsPerWord)
	var word uint64
	err := t.slots.Lookup(at, &word)
	want := word &^ bit
	if used {
		want |= bit
	}
	if err == nil && want != word {
		err = t.slots.Put(at, want)
	}
	if err != nil {
		return fmt.Errorf("slot of pool %d: %w", slot, err)
	}
	return nil
}
