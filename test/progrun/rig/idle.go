// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"fmt"
	"sync"

	"github.com/fairway-project/fairway/test/progrun/testrun"
)

// hosts are those that no test has, by their options.
type hosts struct {
	mu  sync.Mutex
	all map[string][]*testrun.Host
}

var idle = hosts{all: map[string][]*testrun.Host{}}

// take returns a host in the standard world.
func (i *hosts) take(opts Options) (*testrun.Host, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	key := fmt.Sprint(opts) // maps are printed in the order of their keys
	free := i.all[key]
	if len(free) == 0 {
		return testrun.Open(opts)
	}
	h := free[len(free)-1]
	i.all[key] = free[:len(free)-1]
	return h, h.Reuse()
}

// give takes a host back, or closes it if it isn't what others would get.
func (i *hosts) give(opts Options, h *Host) error {
	if h.altered {
		return h.Close()
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	key := fmt.Sprint(opts)
	i.all[key] = append(i.all[key], h.Host)
	return nil
}
