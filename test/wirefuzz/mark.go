// SPDX-License-Identifier: Apache-2.0

package wirefuzz

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// markSize divides the places at which datagrams are cut into fragments, so that each piece
// has whole marks.
const markSize = 16

const magic = "\xf2wirefz"

// Where things are in a mark, behind the magic. The check keeps damaged marks from being
// taken for others'.
const (
	originAt = len(magic)
	validAt  = originAt + 1
	checkAt  = validAt + 1
	serialAt = 12
)

// Mark is what a frame tells of its sender.
type Mark struct {
	// Origin names the generator.
	Origin byte
	// Serial numbers its frames, from 1 on.
	Serial uint32
	// Valid says that lengths and checksums were right when it was sent.
	Valid bool
}

// fill makes a payload of marks.
func (m Mark) fill(size int) []byte {
	one := m.bytes()
	return bytes.Repeat(one[:], size/markSize+1)[:size]
}

func (m Mark) bytes() (b [markSize]byte) {
	copy(b[:], magic)
	b[originAt] = m.Origin
	if m.Valid {
		b[validAt] = 1
	}
	binary.BigEndian.PutUint32(b[serialAt:], m.Serial)
	sum := crc32.ChecksumIEEE(b[:])
	b[checkAt], b[checkAt+1], b[checkAt+2] = byte(sum>>16), byte(sum>>8), byte(sum)
	return b
}

// Find returns the first whole mark in a frame.
func Find(frame []byte) (Mark, bool) {
	for {
		at := bytes.Index(frame, []byte(magic))
		if at < 0 || len(frame) < at+markSize {
			return Mark{}, false
		}
		b := frame[at:]
		m := Mark{Origin: b[originAt], Valid: b[validAt] == 1, Serial: binary.BigEndian.Uint32(b[serialAt:])}
		if want := m.bytes(); bytes.Equal(b[:markSize], want[:]) {
			return m, true
		}
		frame = frame[at+len(magic):]
	}
}
