// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"fmt"
)

// checkTree examines the page and what hangs on it.
func (img *image) checkTree(id uint64) error {
	page, err := img.page(id)
	if err != nil {
		return err
	}
	switch flags := native.Uint16(page[8:]); flags {
	case flagLeaf:
		return img.checkLeaf(id, page)
	case flagBranch:
		return img.checkBranch(id, page)
	default:
		return fmt.Errorf("%w: page %d is of kind %#x", ErrCorrupt, id, flags)
	}
}

func count(page []byte) int { return int(native.Uint16(page[10:])) }

// checkLeaf examines a leaf page, or the page inside of a small bucket. bbolt's Check
// leaves small buckets out, so the order of keys is looked at here.
func (img *image) checkLeaf(id uint64, page []byte) error {
	var previous []byte
	for i := range count(page) {
		at := pageHeader + i*element
		e := page[at : at+element]
		from := uint64(at) + uint64(native.Uint32(e[4:]))
		middle := from + uint64(native.Uint32(e[8:]))
		key, value := page[from:middle], page[middle:middle+uint64(native.Uint32(e[12:]))]
		if i > 0 && bytes.Compare(previous, key) >= 0 {
			return fmt.Errorf("%w: key %d of page %d is out of order", ErrCorrupt, i, id)
		}
		previous = key
		if native.Uint32(e)&1 != 0 {
			if err := img.checkBucket(id, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkBucket examines the bucket in a leaf: root page u64, sequence u64, and
// where root is 0 a leaf page inline.
func (img *image) checkBucket(id uint64, value []byte) error {
	if root := native.Uint64(value[:pageHeader]); root != 0 {
		return img.checkTree(root)
	}
	inline := value[pageHeader:]
	if flags := native.Uint16(inline[8:]); flags != flagLeaf {
		return fmt.Errorf("%w: bucket in page %d is of kind %#x", ErrCorrupt, id, flags)
	}
	return img.checkLeaf(id, inline)
}

func (img *image) checkBranch(id uint64, page []byte) error {
	n := count(page)
	if n == 0 {
		return fmt.Errorf("%w: branch page %d is empty", ErrCorrupt, id)
	}
	for i := range n {
		at := pageHeader + i*element
		e := page[at : at+element]
		from := uint64(at) + uint64(native.Uint32(e))
		_ = page[from : from+uint64(native.Uint32(e[4:]))] // the key is inside of the page
		if err := img.checkTree(native.Uint64(e[8:])); err != nil {
			return err
		}
	}
	return nil
}

// checkFreelist looks for what bbolt takes as it is: the length of the list, and its page
// numbers. A count of 0xffff means that the real one is the first element.
func (img *image) checkFreelist(id uint64) error {
	if id == noFreelist {
		return nil
	}
	page, err := img.page(id)
	if err != nil {
		return err
	}
	if flags := native.Uint16(page[8:]); flags != flagFreelist {
		return fmt.Errorf("%w: free list page %d is of kind %#x", ErrCorrupt, id, flags)
	}
	free, n := page[pageHeader:], uint64(count(page))
	if n == 0xffff {
		n, free = native.Uint64(free), free[8:]
	}
	if n > uint64(len(free))/8 {
		return fmt.Errorf("%w: free list of %d pages", ErrCorrupt, n)
	}
	for i := range n {
		if p := native.Uint64(free[i*8:]); p < 2 || p >= img.pages {
			return fmt.Errorf("%w: free page %d of %d", ErrCorrupt, p, img.pages)
		}
	}
	return nil
}
