// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"fmt"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/userspace/model"
)

const wordsPerProto = uint32(object.DatapathLimitPORT_WORDS)

// SetBit makes the programs look ports of this number and protocol up, or not.
// Callers serialise their changes: a word is read and written back.
func (t *Table) SetBit(proto model.Proto, port uint16, on bool) error {
	at, err := word(proto, port)
	if err != nil {
		return err
	}
	var w uint64
	if err := t.bits.Lookup(at, &w); err != nil {
		return fmt.Errorf("port bitmap word %d: %w", at, err)
	}
	bit := uint64(1) << (port % 64)
	want := w &^ bit
	if on {
		want = w | bit
	}
	if want == w {
		return nil
	}
	if err := t.bits.Put(at, want); err != nil {
		return fmt.Errorf("port bitmap word %d: %w", at, err)
	}
	return nil
}

// Bit reports whether the programs look ports of this number and protocol up.
func (t *Table) Bit(proto model.Proto, port uint16) (bool, error) {
	at, err := word(proto, port)
	if err != nil {
		return false, err
	}
	var w uint64
	if err := t.bits.Lookup(at, &w); err != nil {
		return false, fmt.Errorf("port bitmap word %d: %w", at, err)
	}
	return w>>(port%64)&1 != 0, nil
}

// Bits calls each for every bit that is set.
func (t *Table) Bits(each func(proto model.Proto, port uint16)) error {
	for i, proto := range []model.Proto{model.TCP, model.UDP, model.SCTP} {
		for n := range wordsPerProto {
			var w uint64
			at := uint32(i)*wordsPerProto + n
			if err := t.bits.Lookup(at, &w); err != nil {
				return fmt.Errorf("port bitmap word %d: %w", at, err)
			}
			for b := range uint16(64) {
				if w>>b&1 != 0 {
					each(proto, uint16(n)*64+b)
				}
			}
		}
	}
	return nil
}

// word returns the index of the word that holds a port's bit: TCP's words come
// first, then UDP's, then SCTP's.
func word(proto model.Proto, port uint16) (uint32, error) {
	base := map[model.Proto]uint32{model.TCP: 0, model.UDP: wordsPerProto, model.SCTP: 2 * wordsPerProto}
	at, ok := base[proto]
	if !ok {
		return 0, fmt.Errorf("port bitmap: %s has no ports", proto)
	}
	return at + uint32(port)/64, nil
}
