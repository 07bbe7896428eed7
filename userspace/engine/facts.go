// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
)

// facts are what the kernel chose for the things that the engine made: device
// indexes and the like. They are found again at start-up and never stored.
type facts struct {
	// made are the devices that stand for networks, the zero Device for one that has
	// none; a network that isn't there wasn't made yet.
	made known[link.Device]
	// remade are the networks whose device is another one than their services were told of.
	remade known[bool]
	// attached are the indexes of endpoints' devices on the host's side.
	attached known[int]
	// namespaces of sandboxes, by the sandbox. Of those that were adopted they were found to
	// be the right ones.
	namespaces known[netns.ID]
	host       atomic.Pointer[model.Host]
}

// known are facts by the ID of what they are about.
type known[V any] struct {
	mu sync.Mutex
	by map[string]V
}

func (k *known[V]) set(id string, v V) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.by == nil {
		k.by = make(map[string]V)
	}
	k.by[id] = v
}

// get returns the zero value for what isn't known.
func (k *known[V]) get(id string) V {
	v, _ := k.find(id)
	return v
}

func (k *known[V]) find(id string) (v V, is bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	v, is = k.by[id]
	return v, is
}

// all returns a copy.
func (k *known[V]) all() map[string]V {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.by)
}

func (k *known[V]) forget(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.by, id)
}

// hostNow is what the datapath was told of the host.
func (f *facts) hostNow() model.Host {
	if h := f.host.Load(); h != nil {
		return *h
	}
	return model.Host{}
}
