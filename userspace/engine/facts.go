// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"maps"
	"sync"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/netns"
)

// facts are what the kernel chose for the things that the engine made: device
// indexes and the like. They are found again at start-up and never stored.
type facts struct {
	mu        sync.Mutex
	bridges   map[string]link.Device
	hostIndex map[string]int
	// adopted are the namespaces of others that were found to be the right ones.
	adopted map[string]netns.ID
	host    datapath.Host
}

func newFacts() *facts {
	return &facts{bridges: make(map[string]link.Device), hostIndex: make(map[string]int), adopted: make(map[string]netns.ID)}
}

func (f *facts) setBridge(networkID string, d link.Device) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bridges[networkID] = d
}

func (f *facts) bridge(networkID string) link.Device {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bridges[networkID]
}

// madeBridges returns the device index of every network's bridge that was not adopted.
func (f *facts) madeBridges() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make(map[string]int)
	for id, d := range f.bridges {
		if d.Owner != "" {
			out[id] = d.Index
		}
	}
	return out
}

func (f *facts) forgetBridge(networkID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.bridges, networkID)
}

func (f *facts) setHostIndex(endpointID string, index int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hostIndex[endpointID] = index
}

// endpointIndex is 0 for an endpoint that isn't attached.
func (f *facts) endpointIndex(endpointID string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hostIndex[endpointID]
}

func (f *facts) forgetEndpoint(endpointID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.hostIndex, endpointID)
}

// attached returns a copy of the device index of every attached endpoint.
func (f *facts) attached() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.hostIndex)
}

func (f *facts) setNamespace(sandboxID string, id netns.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.adopted[sandboxID] = id
}

// namespace is the zero ID for a sandbox whose namespace isn't adopted, or wasn't found.
func (f *facts) namespace(sandboxID string) netns.ID {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.adopted[sandboxID]
}

func (f *facts) forgetNamespace(sandboxID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.adopted, sandboxID)
}

func (f *facts) setHost(h datapath.Host) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.host = h
}

func (f *facts) hostNow() datapath.Host {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.host
}
