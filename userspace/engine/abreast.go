// SPDX-License-Identifier: Apache-2.0

package engine

import "sync"

// width is how many objects are taken at a time where all have to be: most of the
// time goes into waiting, for processes that end and for the kernel's grace periods.
const width = 8

// abreast calls f for all, some at a time, beginning in their order. After an error
// no more are begun; it returns the first.
func abreast[T any](all []T, f func(T) error) error {
	var mu sync.Mutex
	var first error
	next := 0
	take := func() (item T, more bool) {
		mu.Lock()
		defer mu.Unlock()
		if first != nil || next == len(all) {
			return item, false
		}
		next++
		return all[next-1], true
	}
	var workers sync.WaitGroup
	for range min(width, len(all)) {
		workers.Go(func() {
			for item, more := take(); more; item, more = take() {
				if err := f(item); err != nil {
					mu.Lock()
					if first == nil {
						first = err
					}
					mu.Unlock()
				}
			}
		})
	}
	workers.Wait()
	return first
}
