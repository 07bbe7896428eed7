// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
)

// The file format of bbolt (its format version 2), in the host's byte order. A
// page begins with id u64, flags u16, count u16, overflow u32.
const (
	pageHeader = 16
	element    = 16
	metaLen    = 64

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagFreelist = 0x10

	boltMagic   = 0xED0CDAED
	boltVersion = 2
	noFreelist  = ^uint64(0)
)

var native = binary.NativeEndian

// image is a bbolt file in memory. Its methods panic with a bounds error of Go
// on what leads outside of the file; checkImage makes ErrCorrupt of that.
type image struct {
	content  []byte
	pageSize uint64
	// pages is the number of pages in use, by the meta page.
	pages uint64
	// seen are the pages that were reached.
	seen map[uint64]bool
}

// meta is what is needed of a meta page.
type meta struct {
	pageSize                    uint32
	root, freelist, pages, txid uint64
}

// checkImage examines whether bbolt may map the content: there is a valid meta page, every
// page that is reached is there, of the right kind and reached once, and nothing leads out of
// its page. bbolt's own Check can't be asked that: it follows what it reads, in a goroutine
// of its own, so that a number that leads out of the map, or a circle of pages, ends the
// process; and it looks neither into small buckets nor at the numbers of free pages. What
// is left to it is how pages relate: the order of their keys, and free ones that are in use.
func checkImage(content []byte) (err error) {
	if len(content) == 0 {
		return ErrEmpty
	}
	m, err := newestMeta(content)
	if err != nil {
		return err
	}
	img := &image{content: content, pageSize: uint64(m.pageSize), pages: m.pages, seen: map[uint64]bool{}}
	if need := m.pages * img.pageSize; m.pages > uint64(len(content)) || uint64(len(content)) < need {
		return fmt.Errorf("%w: truncated, %d of %d bytes are left", ErrCorrupt, len(content), need)
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, r)
		}
	}()
	if err := img.checkTree(m.root); err != nil {
		return err
	}
	return img.checkFreelist(m.freelist)
}

// newestMeta returns the valid meta page with the higher transaction number.
func newestMeta(content []byte) (meta, error) {
	first, ok := parseMeta(content, 0)
	if ok && (first.pageSize < 1024 || first.pageSize&(first.pageSize-1) != 0) {
		// bbolt believes it, since the checksum is right.
		return meta{}, fmt.Errorf("%w: pages of %d bytes", ErrCorrupt, first.pageSize)
	}
	best, found := first, ok
	for size := uint32(1024); size <= 65536; size *= 2 {
		second, valid := parseMeta(content, uint64(size))
		if valid && second.pageSize == size && (!found || second.txid > best.txid) {
			best, found = second, true
		}
	}
	if found {
		return best, nil
	}
	if len(content) >= pageHeader+4 && native.Uint32(content[pageHeader:]) != boltMagic {
		return meta{}, fmt.Errorf("%w: it doesn't begin like one", ErrForeign)
	}
	return meta{}, fmt.Errorf("%w: neither meta page is valid", ErrCorrupt)
}

func parseMeta(content []byte, at uint64) (meta, bool) {
	at += pageHeader
	if uint64(len(content)) < at+metaLen {
		return meta{}, false
	}
	raw := content[at : at+metaLen]
	sum := fnv.New64a()
	sum.Write(raw[:metaLen-8])
	m := meta{
		pageSize: native.Uint32(raw[8:]),
		root:     native.Uint64(raw[16:]),
		freelist: native.Uint64(raw[32:]),
		pages:    native.Uint64(raw[40:]),
		txid:     native.Uint64(raw[48:]),
	}
	valid := native.Uint32(raw) == boltMagic && native.Uint32(raw[4:]) == boltVersion &&
		native.Uint64(raw[56:]) == sum.Sum64()
	return m, valid
}

// page returns the page and its overflow, and notes that it was reached.
func (img *image) page(id uint64) ([]byte, error) {
	if id < 2 || id >= img.pages {
		return nil, fmt.Errorf("%w: page %d of %d", ErrCorrupt, id, img.pages)
	}
	start := id * img.pageSize
	header := img.content[start : start+pageHeader]
	if got := native.Uint64(header); got != id {
		return nil, fmt.Errorf("%w: page %d says it is page %d", ErrCorrupt, id, got)
	}
	last := id + uint64(native.Uint32(header[12:]))
	if last >= img.pages {
		return nil, fmt.Errorf("%w: page %d goes on to page %d of %d", ErrCorrupt, id, last, img.pages)
	}
	for p := id; p <= last; p++ {
		if img.seen[p] {
			return nil, fmt.Errorf("%w: page %d is used twice", ErrCorrupt, p)
		}
		img.seen[p] = true
	}
	return img.content[start : (last+1)*img.pageSize], nil
}
